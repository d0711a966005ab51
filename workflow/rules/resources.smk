rule fetch_dataset:
    output:
        "resources/{dataset}/{archive}",
    log:
        "results/logs/fetch_dataset/{dataset}/{archive}.log",
    benchmark:
        "results/benchmarks/fetch_dataset/{dataset}/{archive}.tsv"
    wildcard_constraints:
        dataset="|".join([name for name, d in STUDY.datasets.items() if d.url])
        or "none",
    conda:
        "../../envs/compute.yaml"
    params:
        url=lambda w: STUDY.datasets[w.dataset].url,
        sha256=lambda w: STUDY.datasets[w.dataset].sha256 or "",
    shell:
        "python $HISTOBENCH_SCRIPTS/fetch_dataset.py --url {params.url:q} --sha256 {params.sha256}"
        " --output {output} 2>&1 > {log} | tee -a {log} >&2"


rule fetch_weights:
    output:
        paths.WEIGHTS,
    log:
        "results/logs/fetch_weights/{model}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{model}.tsv"
    conda:
        "../../envs/compute.yaml"
    params:
        model=lambda w: canonical_json(
            STUDY.models[w.model].settings.model_dump(mode="json")
        ),
    shell:
        "python $HISTOBENCH_SCRIPTS/fetch_weights.py --model {params.model:q} --output {output}"
        " 2>&1 > {log} | tee -a {log} >&2"
