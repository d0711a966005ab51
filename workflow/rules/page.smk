rule costs:
    input:
        [f"{run.folder}/run.json" for run in STUDY.runs],
    output:
        report_table(f"{RESULTS}/costs.csv", "costs", "Provenance"),
    log:
        f"results/logs/costs/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/costs/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        runs=digest([run.folder for run in STUDY.runs]),
        code=code("costs"),
    shell:
        "python $HISTOBENCH_SCRIPTS/costs.py --records {input} --output {output} > {log} 2>&1"


rule page:
    input:
        tables=page_tables(),
        captions=[path.replace(".csv", ".md") for path in page_tables()],
        figures=page_figures(),
        words=[page_caption(path) for path in page_figures()],
        pictures=[path.replace(".svg", ".png") for path in page_figures()],
        results=page_results(),
    output:
        report_table(f"{RESULTS}/report.html", "page", "Report page"),
    log:
        f"results/logs/page/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/page/{STUDY.study}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        # Not tracked: a new commit alone makes no new page.
        commit=lambda w: commit(),
        mem_mb=grows(4000),
        runtime=grows(20),
    params:
        heading=heading(),
        files=digest([page_tables(), page_figures(), page_results()]),
        configuration=page_configuration(),
        captions=lambda w, input: os.path.dirname(input.words[0]),
        code=code("page"),
    shell:
        "python $HISTOBENCH_SCRIPTS/page.py {params.heading} --configuration {params.configuration:q}"
        " --tables {input.tables} --figures {input.figures} --results {input.results}"
        " --captions {params.captions} --commit '{resources.commit}' --output {output} > {log} 2>&1"
