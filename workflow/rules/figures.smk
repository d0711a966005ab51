use rule score as figure_samples with:
    input:
        study=STUDY_FILE,
        manifests=[STUDY.path(paths.MANIFEST, dataset=dataset) for dataset in SAMPLED],
        # The manifests tell of changed pixels; an archive's date does not.
        sources=ancient(lambda w: [STUDY.source(dataset) for dataset in SAMPLED]),
    output:
        figure("figure1", "figure2"),
    log:
        report_log("samples"),
    localrule: False
    params:
        **script("figure_samples"),
        tree=lambda w: [tree_state(STUDY.source(dataset)) for dataset in SAMPLED],


use rule score as figure_methods with:
    input:
        study=STUDY_FILE,
        parameters=rules.check_arms.output,
        configs=rules.check_arms.input.configs,
    output:
        figure("figure3", "figure4"),
    log:
        report_log("methods"),
    params:
        **script("figure_methods"),


use rule score as figure_accuracy with:
    input:
        study=STUDY_FILE,
        intervals=rules.compare.output.intervals,
        published=beside(*RESOLVED.numbered),
    output:
        figure("figure5"),
    log:
        report_log("figure5"),
    params:
        **script("figure_accuracy"),


use rule score as figure_losses with:
    input:
        study=STUDY_FILE,
        histories=[STUDY.path(paths.HISTORY, **vars(run)) for run in TRAINED],
    output:
        figure("figure6", "figure7"),
    log:
        report_log("losses"),
    params:
        **script("figure_losses"),


use rule score as figure_ladder with:
    input:
        study=STUDY_FILE,
        metrics=rules.score.output.metrics,
        published=beside(4),
    output:
        figure("ladder"),
    log:
        report_log("ladder"),
    params:
        **script("figure_ladder"),


use rule score as figure_patients with:
    input:
        study=STUDY_FILE,
        predictions=MAIN_PREDICTIONS,
        manifest=STUDY.path(paths.MANIFEST, dataset=RESOLVED.dataset),
    output:
        figure("patients"),
    log:
        report_log("patients"),
    params:
        **script("figure_patients"),


use rule score as figure_curves with:
    input:
        study=STUDY_FILE,
        predictions=MAIN_PREDICTIONS,
    output:
        figure("roc", "precision-recall", "confusion"),
    log:
        report_log("curves"),
    params:
        **script("figure_curves"),


use rule score as figure_reliability with:
    input:
        study=STUDY_FILE,
        calibration=rules.compare.output.calibration,
    output:
        figure("reliability"),
    log:
        report_log("reliability"),
    params:
        **script("figure_reliability"),


use rule score as figure_variance with:
    input:
        study=STUDY_FILE,
        variance=rules.variance.output.variance,
    output:
        figure("variance-shares"),
    log:
        report_log("figure_variance"),
    params:
        **script("figure_variance"),


use rule score as figure_external with:
    input:
        study=STUDY_FILE,
        groups=rules.score_external.output.groups,
    output:
        figure("bach"),
    log:
        report_log("bach"),
    params:
        **script("figure_external"),


use rule score as figure_cost with:
    input:
        study=STUDY_FILE,
        costs=rules.costs.output.costs,
        parameters=rules.check_arms.output,
        summary=rules.score.output.summary,
    output:
        figure("cost"),
    log:
        report_log("cost"),
    params:
        **script("figure_cost"),


use rule score as figure_few_shot with:
    input:
        study=STUDY_FILE,
        intervals=rules.compare.output.intervals,
    output:
        figure("few-shot"),
    log:
        report_log("few-shot"),
    params:
        **script("figure_few_shot"),


use rule score as figure_trained_parameters with:
    input:
        study=STUDY_FILE,
        intervals=rules.compare.output.intervals,
        parameters=rules.check_arms.output,
    output:
        figure("trained-parameters"),
    log:
        report_log("trained-parameters"),
    params:
        **script("figure_trained_parameters"),


use rule score as figure_augmentations with:
    input:
        study=STUDY_FILE,
        effects=f"{RESULTS}/tables/augmentation-effects.csv",
    output:
        figure("augmentation-effects"),
    log:
        report_log("augmentation-effects"),
    params:
        **script("figure_augmentations"),


# Weights that runs kept are beside their predictions; no rule has them as an output.
rule heat_maps:
    input:
        study=ancient(STUDY_FILE),
        summary=rules.score.output.summary,
        manifest=STUDY.path(paths.MANIFEST, dataset=RESOLVED.dataset),
        predictions=HEADLINE_PREDICTIONS,
        pixels=sorted({pixels(RESOLVED.dataset, model) for model in MAPPED}),
    output:
        HEAT_MAPS,
    log:
        report_log("heat_maps"),
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        **on_device(lambda w: "whole" if any(STUDY.gpu(model) == "whole" for model in MAPPED) else "shared"),
    params:
        code=code("heat_maps", sorted({STUDY.models[model].family for model in MAPPED})),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/heat_maps.py" --study {input.study:q} --summary {input.summary:q}'
        " --manifest {input.manifest:q} --predictions {input.predictions:q} --pixels {input.pixels:q}"
        " --device {resources.device} --share {resources.share} --threads {threads} --output {output:q} > {log:q} 2>&1"


use rule score as figure_errors with:
    input:
        study=STUDY_FILE,
        summary=rules.score.output.summary,
        manifest=STUDY.path(paths.MANIFEST, dataset=RESOLVED.dataset),
        predictions=HEADLINE_PREDICTIONS,
        # Pictures of any size will do: those of the smallest.
        pixels=min(
            (pixels(RESOLVED.dataset, run.model) for run in HEADLINE), key=lambda file: (len(file), file), default=[]
        ),
        heat_maps=HEAT_MAPS if MAPPED else [],
    output:
        figure("error-pictures"),
    log:
        report_log("figure_errors"),
    localrule: False
    params:
        **script("figure_errors"),
