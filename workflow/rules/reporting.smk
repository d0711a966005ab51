use rule score as table_dataset with:
    input:
        STUDY.path(paths.FOLDS_DIGEST, dataset=RESOLVED.dataset, split=RESOLVED.split),
        study=STUDY_FILE,
        manifest=STUDY.path(paths.MANIFEST, dataset=RESOLVED.dataset),
        folds=STUDY.path(paths.FOLDS, dataset=RESOLVED.dataset, split=RESOLVED.split),
        published=beside(1),
    output:
        table("table1", "table1-beside-published"),
    log:
        report_log("table1"),
    params:
        **script("table_dataset"),


use rule score as table_models with:
    input:
        study=STUDY_FILE,
        parameters=rules.check_arms.output,
        published=beside(2),
    output:
        table("table2", "table2-beside-published"),
    log:
        report_log("table2"),
    params:
        **script("table_models"),


use rule score as table_hyperparameters with:
    input:
        study=STUDY_FILE,
        published=beside(3),
    output:
        table("table3", "table3-beside-published"),
    log:
        report_log("table3"),
    params:
        **script("table_hyperparameters"),


use rule score as table_results with:
    input:
        study=STUDY_FILE,
        summary=rules.score.output.summary,
        published=lambda w: beside(outputs.numbered(w.table)[0]),
    output:
        table("{table}{selection}", "{table}{selection}-beside-published"),
    log:
        report_log("{table}{selection}"),
    wildcard_constraints:
        table="|".join(outputs.named(RESOLVED, ["table4", "table5"])),
        selection="|".join(outputs.SELECTIONS),
    params:
        **script("table_results"),


# A study with several classes has tables `results` of its own.
ruleorder: table_classes > table_results


use rule score as table_classes with:
    input:
        study=STUDY_FILE,
        scores=rules.score_classes.output.scores,
    output:
        table(*outputs.CLASS_TABLES) if RESOLVED.classes else [],
    log:
        report_log("table_classes"),
    params:
        **script("table_classes"),


use rule score as table_benchmark with:
    input:
        study=STUDY_FILE,
        scores=rules.score_classes.output.scores,
        published=[one.file for one in STUDY.published],
    output:
        table("published-rows"),
    log:
        report_log("table_benchmark"),
    params:
        **script("table_benchmark"),


use rule score as table_strict with:
    input:
        study=STUDY_FILE,
        summary=rules.score.output.summary,
    output:
        table("table4-strict"),
    log:
        report_log("table4-strict"),
    params:
        **script("table_strict"),


use rule score as table_errors with:
    input:
        study=STUDY_FILE,
        predictions=HEADLINE_PREDICTIONS,
    output:
        table("errors"),
    log:
        report_log("table_errors"),
    params:
        **script("table_errors"),


use rule score as table_scores with:
    input:
        study=STUDY_FILE,
        summary=rules.score.output.summary,
        folds=CENSUSES,
    output:
        table("scores"),
    log:
        report_log("scores"),
    params:
        **script("table_scores"),


use rule score as table_prompts with:
    input:
        study=STUDY_FILE,
        summary=rules.score.output.summary,
        predictions=MAIN_PREDICTIONS,
    output:
        table("prompts"),
    log:
        report_log("prompts"),
    params:
        **script("table_prompts"),


use rule score as table_variance with:
    input:
        study=STUDY_FILE,
        variance=rules.variance.output.variance,
    output:
        table("variance"),
    log:
        report_log("table_variance"),
    params:
        **script("table_variance"),


use rule score as table_augmentations with:
    input:
        study=STUDY_FILE,
        intervals=rules.compare.output.intervals,
        draws=rules.compare.output.draws,
    output:
        table("augmentation-effects"),
    log:
        report_log("table_augmentations"),
    params:
        **script("table_augmentations"),


use rule score as table_folds with:
    input:
        study=STUDY_FILE,
        folds=CENSUSES,
    output:
        table("folds"),
    log:
        report_log("folds"),
    params:
        **script("table_folds"),


use rule score as table_external with:
    input:
        study=STUDY_FILE,
        summary=rules.score_external.output.summary,
        groups=rules.score_external.output.groups,
        intervals=rules.score_external.output.intervals,
        draws=rules.score_external.output.draws,
        manifests=[STUDY.path(paths.MANIFEST, dataset=name) for name in TESTED],
        published=beside(6),
    output:
        table("table6", "table6-beside-published", *outputs.scales(RESOLVED), "external"),
    log:
        report_log("table6"),
    params:
        **script("table_external"),


use rule score as table_comparisons with:
    input:
        study=STUDY_FILE,
        comparisons=rules.compare.output.comparisons,
        published=beside(7),
    output:
        table("table7", "table7-beside-published", "table7-honest"),
    log:
        report_log("table7"),
    params:
        **script("table_comparisons"),


use rule score as table_intervals with:
    input:
        study=STUDY_FILE,
        intervals=lambda w: INTERVALS[outputs.numbered(w.table)[0]],
        published=lambda w: beside(outputs.numbered(w.table)[0]),
    output:
        table("{table}{selection}-intervals"),
    log:
        report_log("{table}{selection}-intervals"),
    wildcard_constraints:
        table="|".join(outputs.named(RESOLVED, ["table4", "table5", "table6"])),
        selection="|".join(outputs.SELECTIONS),
    params:
        **script("table_intervals"),


use rule score as table_patient_level with:
    input:
        study=STUDY_FILE,
        predictions=PREDICTIONS,
    output:
        table("patient-level"),
    log:
        report_log("patient-level"),
    params:
        **script("table_patient_level"),
