rule figure_samples:
    input:
        [paths.MANIFEST.format(dataset=dataset) for dataset in sampled().values()],
        # The manifests tell of changed pixels; an archive's date does not.
        [ancient(STUDY.source(dataset)) for dataset in sampled().values()],
    output:
        figure_files("figure1"),
        figure_files("figure2", "figure2" in sampled()),
    log:
        f"results/logs/figures/{STUDY.study}/samples.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/samples.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(60),
    params:
        figures=sample_figures(),
        tree=lambda w: [
            tree_state(STUDY.source(dataset)) for dataset in sampled().values()
        ],
        code=code("figure_samples"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_samples.py {params.figures} > {log} 2>&1"


rule figure_methods:
    input:
        rules.check_arms.output,
    output:
        figure_files("figure3", figure_forms("figure3")[0] in figures()),
        figure_files("figure4", figure_forms("figure4")[0] in figures()),
    log:
        f"results/logs/figures/{STUDY.study}/methods.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/methods.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        dataset=DATASET,
        models=rules.table_models.params.models,
        recipes=canonical_json(recipes_of_arms()),
        augmentations=rules.table_hyperparameters.params.augmentations,
        splits=SPLITS,
        figures=method_figures(),
        code=code("figure_methods"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_methods.py --parameters {input} --dataset {params.dataset}"
        " --models {params.models:q} --recipes {params.recipes:q} --augmentations {params.augmentations:q}"
        " --splits {params.splits:q} {params.heading} {params.figures} > {log} 2>&1"


rule figure_accuracy:
    input:
        intervals=rules.compare.output.intervals,
        published=list(panels().values()),
    output:
        figure_files("figure5"),
    log:
        f"results/logs/figures/{STUDY.study}/accuracy.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/accuracy.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        rows=f"--dataset {DATASET} --split {SPLIT}",
        panels=json.dumps(panels()),
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_accuracy"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_accuracy.py --intervals {input.intervals} {params.rows}"
        " --panels {params.panels:q} {params.heading} --output-prefix {params.prefix} > {log} 2>&1"


rule figure_losses:
    input:
        [f"{run.folder}/history.csv" for run in MAIN],
    output:
        figure_files("figure6"),
        figure_files("figure7"),
    log:
        f"results/logs/figures/{STUDY.study}/losses.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/losses.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        runs=digest([run.folder for run in MAIN]),
        # The magnification of Table 7, or the highest that there is.
        magnification=max(
            {run.magnification for run in MAIN} & {STUDY.comparisons.magnification}
            or {run.magnification for run in MAIN},
            default=0,
        ),
        folder=lambda w, output: os.path.dirname(output[0]),
        code=code("figure_losses"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_losses.py --histories {input} --magnification {params.magnification}"
        " {params.heading} --per-arm {params.folder}/figure6 --overlay {params.folder}/figure7 > {log} 2>&1"


rule figure_ladder:
    input:
        metrics=rules.score.output.metrics,
        published=published(4),
    output:
        figure_files("ladder"),
    log:
        f"results/logs/figures/{STUDY.study}/ladder.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/ladder.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        rows=f"--dataset {DATASET} --augmentation {NUMBERED[4]}",
        splits=SPLITS,
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_ladder"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_ladder.py --metrics {input.metrics} --published {input.published}"
        " {params.rows} --splits {params.splits:q} {params.heading}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule figure_patients:
    input:
        predictions=[run.predictions for run in MAIN],
        manifest=paths.MANIFEST.format(dataset=DATASET),
    output:
        figure_files("patients"),
    log:
        f"results/logs/figures/{STUDY.study}/patients.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/patients.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        runs=digest([run.folder for run in MAIN]),
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_patients"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_patients.py --predictions {input.predictions}"
        " --manifest {input.manifest} {params.heading} --output-prefix {params.prefix} > {log} 2>&1"


rule figure_reliability:
    input:
        rules.compare.output.calibration,
    output:
        figure_files("reliability"),
    log:
        f"results/logs/figures/{STUDY.study}/reliability.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/reliability.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        rows=main_rows(),
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_reliability"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_reliability.py --calibration {input} {params.rows}"
        " {params.heading} --output-prefix {params.prefix} > {log} 2>&1"


rule figure_external:
    input:
        rules.score_external.output.groups,
    output:
        figure_files("bach"),
    log:
        f"results/logs/figures/{STUDY.study}/external.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/external.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        rows=shlex.join(
            part for key in EXTERNAL_ARMS for part in (f"--{key}", EXTERNAL_ARMS[key])
        ),
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_external"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_external.py --groups {input} {params.rows}"
        " {params.heading} --output-prefix {params.prefix} > {log} 2>&1"


rule figure_cost:
    input:
        costs=f"{RESULTS}/costs.csv",
        parameters=rules.check_arms.output,
        summary=rules.score.output.summary,
    output:
        figure_files("cost"),
    log:
        f"results/logs/figures/{STUDY.study}/cost.log",
    benchmark:
        f"results/benchmarks/figures/{STUDY.study}/cost.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=figure_heading(),
        rows=main_rows(),
        prefix=lambda w, output: figure_prefix(output),
        code=code("figure_cost"),
    shell:
        "python $HISTOBENCH_SCRIPTS/figure_cost.py --costs {input.costs} --parameters {input.parameters}"
        " --summary {input.summary} {params.rows} {params.heading}"
        " --output-prefix {params.prefix} > {log} 2>&1"
