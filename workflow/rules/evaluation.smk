# The rules of the report are this one with other files and another script. What only reads small tables runs where
# Snakemake itself does: in a queue it would wait longer than it runs.
rule score:
    input:
        predictions=PREDICTIONS,
    output:
        metrics=report_table(f"{RESULTS}/metrics.csv", "metrics", "Scores"),
        summary=report_table(f"{RESULTS}/summary.csv", "summary", "Scores"),
    log:
        report_log("score"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **script("score"),
        arguments=arguments,
        runs=digest(PREDICTIONS),
    shell:
        SCRIPT


use rule score as compare with:
    input:
        # Only the parameter below counts: a new label does not repeat the comparison.
        study=ancient(STUDY_FILE),
        predictions=PREDICTIONS,
    output:
        intervals=compared("intervals"),
        comparisons=compared("comparisons"),
        calibration=compared("calibration"),
        gaps=compared("gaps"),
        draws=f"{RESULTS}/draws.npz",
    log:
        report_log("compare"),
    localrule: False
    params:
        **script("compare"),
        study=digest([RESOLVED.splits, STUDY.comparisons.pairs, *DRAWS]),


use rule score as score_classes with:
    input:
        study=ancient(STUDY_FILE),
        predictions=PREDICTIONS,
    output:
        scores=report_table(f"{RESULTS}/class_scores.csv", "class_scores", "Scores"),
    log:
        report_log("score_classes"),
    localrule: False
    params:
        **script("score_classes"),
        study=digest([RESOLVED.splits, list(RESOLVED.classes), *DRAWS]),


use rule score as variance with:
    input:
        study=ancient(STUDY_FILE),
        predictions=PREDICTIONS,
    output:
        variance=report_table(f"{RESULTS}/variance.csv", "variance", "Scores"),
    log:
        report_log("variance"),
    params:
        **script("variance"),
        study=digest(RESOLVED.splits),


use rule score as score_external with:
    input:
        study=ancient(STUDY_FILE),
        predictions=EXTERNAL,
    output:
        metrics=external("metrics", "external"),
        summary=external("summary", "external"),
        groups=external("groups", "external_groups"),
        intervals=external("intervals", "intervals"),
        gaps=external("gaps", "gaps"),
        draws=f"{RESULTS}/external_draws.npz",
    log:
        report_log("score_external"),
    localrule: False
    params:
        **script("score_external"),
        runs=digest(EXTERNAL),
        study=digest(DRAWS),
