# Snakemake deletes the outputs of a job before it starts it, so an archive that is there is no rule's output.
ABSENT = [
    name
    for name, dataset in STUDY.datasets.items()
    if dataset.url and not Path(dataset.source).exists()
]


rule fetch_dataset:
    output:
        "resources/{dataset}/{archive}",
    log:
        "results/logs/fetch_dataset/{dataset}/{archive}.log",
    wildcard_constraints:
        dataset="|".join(ABSENT) or "none",
    conda:
        "../../envs/compute.yaml"
    params:
        url=lambda w: option("--url", STUDY.datasets[w.dataset].url),
        mirrors=lambda w: option("--mirrors", *STUDY.datasets[w.dataset].mirrors),
        sha256=lambda w: option("--sha256", STUDY.datasets[w.dataset].sha256),
        terms=lambda w: terms(STUDY.datasets[w.dataset]),
        code=code("fetch_dataset"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_dataset.py" {params.url} {params.mirrors} {params.sha256}'
        " {params.terms} --output {output:q} > {log:q} 2> >(tee -a {log:q} >&2)"


rule fetch_weights:
    input:
        own_files,
    output:
        paths.WEIGHTS,
    log:
        "results/logs/fetch_weights/{model}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        model=lambda w: canonical_json(
            STUDY.models[w.model].settings.model_dump(mode="json")
        ),
        # A function of the output is not tracked: it does not change what is downloaded.
        terms=lambda w, output: terms(STUDY.models[w.model]),
        code=model_code("fetch_weights"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_weights.py" --model {params.model:q} {params.terms}'
        " --output {output} > {log} 2> >(tee -a {log} >&2)"
