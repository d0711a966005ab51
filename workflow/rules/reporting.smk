rule table_dataset:
    input:
        manifest=paths.MANIFEST.format(dataset=DATASET),
        folds=paths.FOLDS.format(dataset=DATASET, split=SPLIT),
        digest=paths.FOLDS_DIGEST.format(dataset=DATASET, split=SPLIT),
        published=published(1),
    output:
        table_files("table1"),
    log:
        f"results/logs/tables/{STUDY.study}/table1.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table1.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(names=False),
        rows=f"--dataset {DATASET} --split {SPLIT}",
        split_by=lambda w: STUDY.splits[SPLIT].by,
        prefix=lambda w, output: prefix(output),
        code=code("table_dataset"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_dataset.py --manifest {input.manifest} --folds {input.folds}"
        " --split-by {params.split_by} {params.rows} {params.heading}"
        " --published {input.published} --output-prefix {params.prefix} > {log} 2>&1"


rule table_models:
    input:
        parameters=rules.check_arms.output,
        published=published(2),
    output:
        table_files("table2"),
    log:
        f"results/logs/tables/{STUDY.study}/table2.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table2.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        models=canonical_json(
            {
                name: STUDY.models[name].settings.model_dump(mode="json")
                for name in STUDY.labels
            }
        ),
        prefix=lambda w, output: prefix(output),
        code=code("table_models"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_models.py --parameters {input.parameters} --models {params.models:q}"
        " {params.heading} --published {input.published}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule table_hyperparameters:
    input:
        published=published(3),
    output:
        table_files("table3"),
    log:
        f"results/logs/tables/{STUDY.study}/table3.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table3.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        recipes=canonical_json(recipes_of_arms()),
        augmentations=canonical_json(
            {
                name: STUDY.augmentations[name]
                for name in dict.fromkeys(run.augmentation for run in STUDY.runs)
            }
        ),
        splits=SPLITS,
        prefix=lambda w, output: prefix(output),
        code=code("table_hyperparameters"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_hyperparameters.py --recipes {params.recipes:q}"
        " --augmentations {params.augmentations:q} --splits {params.splits:q}"
        " {params.heading} --published {input.published}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule table_results:
    input:
        summary=rules.score.output.summary,
        published=lambda w: published(w.number),
    output:
        table_files("table{number}{suffix}"),
    log:
        f"results/logs/tables/{STUDY.study}/table{{number}}{{suffix}}.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table{{number}}{{suffix}}.tsv"
    wildcard_constraints:
        number="4|5",
        suffix="|-best-epoch",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        rows=f"--dataset {DATASET} --split {SPLIT}",
        augmentation=lambda w: NUMBERED[int(w.number)],
        selection=lambda w: SELECTIONS[w.suffix],
        prefix=lambda w, output: prefix(output),
        code=code("table_results"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_results.py --summary {input.summary} --number {wildcards.number}"
        " {params.rows} --augmentation {params.augmentation} --selection {params.selection}"
        " {params.heading} --published {input.published}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule table_scores:
    input:
        summary=rules.score.output.summary,
        folds=list(
            dict.fromkeys(
                paths.FOLDS_CENSUS.format(dataset=run.dataset, split=run.split)
                for run in STUDY.runs
            )
        ),
    output:
        table_files("scores", companion=False),
    log:
        f"results/logs/tables/{STUDY.study}/scores.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/scores.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        splits=SPLITS,
        prefix=lambda w, output: prefix(output),
        code=code("table_scores"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_scores.py --summary {input.summary} --folds {input.folds} --splits {params.splits:q}"
        " {params.heading}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule table_external:
    input:
        summary=rules.score_external.output.summary,
        groups=rules.score_external.output.groups,
        published=published(6),
    output:
        table_files("table6") + table_files("external", companion=False),
    log:
        f"results/logs/tables/{STUDY.study}/external.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/external.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=external_heading(),
        rows=canonical_json(table6_rows()),
        folder=lambda w, output: os.path.dirname(output[0]),
        code=code("table_external"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_external.py --summary {input.summary} --groups {input.groups}"
        " --rows {params.rows:q} {params.heading}"
        " --published {input.published} --output {params.folder} > {log} 2>&1"


rule table_comparisons:
    input:
        comparisons=rules.compare.output.comparisons,
        published=published(7),
    output:
        table_files("table7"),
        table_files("table7-honest", companion=False),
    log:
        f"results/logs/tables/{STUDY.study}/table7.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table7.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        rows=f"--dataset {DATASET} --split {SPLIT}",
        magnification=STUDY.comparisons.magnification,
        augmentation=NUMBERED[4],
        prefix=lambda w, output: prefix(output),
        code=code("table_comparisons"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_comparisons.py --comparisons {input.comparisons}"
        " {params.rows} --magnification {params.magnification} --augmentation {params.augmentation}"
        " {params.heading} --published {input.published}"
        " --output-prefix {params.prefix} > {log} 2>&1"


rule table_intervals:
    input:
        intervals=lambda w: (
            rules.compare_external.output
            if w.number == "6"
            else rules.compare.output.intervals
        ),
        published=lambda w: published(w.number),
    output:
        table_files("table{number}{suffix}-intervals", companion=False),
    log:
        f"results/logs/tables/{STUDY.study}/table{{number}}{{suffix}}-intervals.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY.study}/table{{number}}{{suffix}}-intervals.tsv"
    wildcard_constraints:
        number="4|5|6",
        suffix="|-best-epoch",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        rows=lambda w: canonical_json(interval_rows(w)),
        prefix=lambda w, output: prefix(output),
        code=code("table_intervals"),
    shell:
        "python $HISTOBENCH_SCRIPTS/table_intervals.py --intervals {input.intervals} --number {wildcards.number}"
        " --rows {params.rows:q} {params.heading} --published {input.published}"
        " --output-prefix {params.prefix} > {log} 2>&1"
