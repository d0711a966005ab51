rule score:
    input:
        predictions=[run.predictions for run in STUDY.runs],
    output:
        metrics=report_table(f"{RESULTS}/metrics.csv", "metrics", "Scores"),
        summary=report_table(f"{RESULTS}/summary.csv", "summary", "Scores"),
    log:
        f"results/logs/score/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/score/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        runs=digest([run.predictions for run in STUDY.runs]),
        code=code("score"),
    shell:
        "python $HISTOBENCH_SCRIPTS/score.py --predictions {input.predictions}"
        " --metrics {output.metrics} --summary {output.summary} > {log} 2>&1"
