# The rules of the report are this one with other files and another script. What only reads small tables runs where
# Snakemake itself does: in a queue it would wait longer than it runs.
rule score:
    input:
        predictions=[run.predictions for run in STUDY.runs],
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
        runs=digest([run.predictions for run in STUDY.runs]),
    shell:
        SCRIPT


use rule score as compare with:
    input:
        # Only the parameter below counts: a new label does not repeat the comparison.
        study=ancient(STUDY_FILE),
        predictions=[run.predictions for run in STUDY.runs],
    output:
        intervals=compared("intervals"),
        comparisons=compared("comparisons"),
        calibration=compared("calibration"),
        gaps=compared("gaps"),
    log:
        report_log("compare"),
    localrule: False
    params:
        **script("compare"),
        study=digest([RESOLVED.splits, STUDY.comparisons.pairs, *DRAWS]),


use rule score as score_external with:
    input:
        predictions=EXTERNAL,
    output:
        metrics=external("metrics", "external"),
        summary=external("summary", "external"),
        groups=external("groups", "external_groups"),
        gaps=external("gaps", "gaps"),
    log:
        report_log("score_external"),
    params:
        **script("score_external"),
        runs=digest(EXTERNAL),


use rule score as compare_external with:
    input:
        study=ancient(STUDY_FILE),
        predictions=EXTERNAL,
    output:
        intervals=external("intervals", "intervals"),
    log:
        report_log("compare_external"),
    localrule: False
    params:
        **script("compare_external"),
        runs=digest(EXTERNAL),
        study=digest(DRAWS),
