LEDGER = os.path.relpath(ROOT / "resources" / "paper" / "claims.yaml")


rule claims_published:
    input:
        claims=LEDGER,
        tables=[published(number) for number in range(1, 8)],
    output:
        report_table("results/claims_published.csv", "claims_published", "Claims"),
        "results/claims_published.md",
        "results/claims_published.tex",
    log:
        "results/logs/claims_published.log",
    benchmark:
        "results/benchmarks/claims_published.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        # The true architectures, which the paper speaks of.
        models=canonical_json(
            {
                model.label or name: model.settings.config
                for name, model in STUDY.models.items()
                if hasattr(model.settings.weights, "hub")
            }
        ),
        prefix=lambda w, output: prefix(output),
        code=code("claims_published"),
    shell:
        "python $HISTOBENCH_SCRIPTS/claims_published.py --claims {input.claims} --tables {input.tables}"
        " --models {params.models:q} --output-prefix {params.prefix} > {log} 2>&1"


rule claims:
    input:
        claims=LEDGER,
        published=rules.claims_published.output[0],
        metrics=rules.score.output.metrics,
        summary=rules.score.output.summary,
        intervals=rules.compare.output.intervals,
        comparisons=rules.compare.output.comparisons,
        parameters=rules.check_arms.output,
        external=(
            [rules.score_external.output.metrics, rules.compare_external.output[0]]
            if STUDY.tested
            else []
        ),
    output:
        report_table(f"{RESULTS}/claims.csv", "claims", "Claims"),
        f"{RESULTS}/claims.md",
        f"{RESULTS}/claims.tex",
    log:
        f"results/logs/claims/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/claims/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        rows=f"--dataset {DATASET} --split {SPLIT}"
        f" --without-augmentation {NUMBERED[4]} --with-augmentation {NUMBERED[5]}",
        external=lambda w, input: (
            "--external-metrics {} --external-intervals {}".format(*input.external)
            if input.external
            else ""
        ),
        table6=canonical_json(table6_rows()),
        prefix=lambda w, output: prefix(output),
        code=code("claims"),
    shell:
        "python $HISTOBENCH_SCRIPTS/claims.py --claims {input.claims} --published {input.published}"
        " --metrics {input.metrics} --summary {input.summary} --intervals {input.intervals}"
        " --comparisons {input.comparisons} --parameters {input.parameters} {params.external}"
        " --table6 {params.table6:q} {params.rows} {params.heading}"
        " --output-prefix {params.prefix} > {log} 2>&1"
