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
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        runs=digest([run.predictions for run in STUDY.runs]),
        code=code("score"),
    shell:
        "python $HISTOBENCH_SCRIPTS/score.py --predictions {input.predictions}"
        " --metrics {output.metrics} --summary {output.summary} > {log} 2>&1"


rule compare:
    input:
        predictions=[run.predictions for run in STUDY.runs],
        metrics=rules.score.output.metrics,
    output:
        intervals=report_table(
            f"{RESULTS}/intervals.csv", "intervals", "Intervals and comparisons"
        ),
        comparisons=report_table(
            f"{RESULTS}/comparisons.csv", "comparisons", "Intervals and comparisons"
        ),
        calibration=report_table(
            f"{RESULTS}/calibration.csv", "calibration", "Intervals and comparisons"
        ),
        gaps=report_table(f"{RESULTS}/gaps.csv", "gaps", "Intervals and comparisons"),
    log:
        f"results/logs/compare/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/compare/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        runs=digest([run.predictions for run in STUDY.runs]),
        splits=SPLITS,
        pairs=canonical_json(STUDY.comparisons.pairs),
        draws=STUDY.comparisons.draws,
        seed=STUDY.comparisons.seed,
        code=code("compare"),
    shell:
        "python $HISTOBENCH_SCRIPTS/compare.py --predictions {input.predictions}"
        " --metrics {input.metrics} --splits {params.splits:q}"
        " --pairs {params.pairs:q} --draws {params.draws} --seed {params.seed}"
        " --intervals {output.intervals} --comparisons {output.comparisons}"
        " --calibration {output.calibration} --gaps {output.gaps} > {log} 2>&1"


rule compare_external:
    input:
        predictions=[paths.external(*pair) for pair in STUDY.external_runs],
    output:
        report_table(f"{RESULTS}/external_intervals.csv", "intervals", "External test"),
    log:
        f"results/logs/compare_external/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/compare_external/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(60),
    params:
        runs=digest([paths.external(*pair) for pair in STUDY.external_runs]),
        draws=STUDY.comparisons.draws,
        seed=STUDY.comparisons.seed,
        code=code("compare_external"),
    shell:
        "python $HISTOBENCH_SCRIPTS/compare_external.py --predictions {input.predictions}"
        " --draws {params.draws} --seed {params.seed} --intervals {output} > {log} 2>&1"
