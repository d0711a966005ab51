# Snakemake deletes the outputs of a rule before it runs it, so an archive that is there is no rule's output.
ABSENT = [
    name
    for name, dataset in STUDY.datasets.items()
    if dataset.url and not Path(dataset.source).exists()
]
for name, model in STUDY.models.items():
    if own_weights(model) == paths.WEIGHTS.format(model=name):
        raise WorkflowError(
            f"models.{name}.weights.file: {own_weights(model)} is where the converted weights of"
            " this model go; give the file or the model another name."
        )
for name in dict.fromkeys(run.model for run in STUDY.runs):
    if not Path(paths.WEIGHTS.format(model=name)).exists():
        try:
            check_own(STUDY.models[name].weights)
        except HistoBenchError as error:
            raise WorkflowError(f"models.{name}.weights: {error}") from None


rule fetch_dataset:
    output:
        "resources/{dataset}/{archive}",
    log:
        "results/logs/fetch_dataset/{dataset}/{archive}.log",
    benchmark:
        "results/benchmarks/fetch_dataset/{dataset}/{archive}.tsv"
    wildcard_constraints:
        dataset="|".join(ABSENT) or "none",
    conda:
        "../../envs/compute.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=grows(720),
    params:
        url=lambda w: option("--url", STUDY.datasets[w.dataset].url),
        mirrors=lambda w: options("--mirrors", STUDY.datasets[w.dataset].mirrors),
        sha256=lambda w: option("--sha256", STUDY.datasets[w.dataset].sha256),
        terms=lambda w: terms(STUDY.datasets[w.dataset]),
        code=code("fetch_dataset"),
    shell:
        "python $HISTOBENCH_SCRIPTS/fetch_dataset.py {params.url} {params.mirrors} {params.sha256} {params.terms}"
        " --output {output} 2>&1 > {log} | tee -a {log} >&2"


# The published architecture of a vision-language model: kilobytes, so that it can be tried before anything is trained.
rule fetch_config:
    input:
        lambda w: [file for file in own_files(w) if file.endswith("config.json")],
    output:
        paths.MODEL_CONFIG,
    log:
        "results/logs/fetch_config/{model}.log",
    conda:
        "../../envs/compute.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=grows(10),
    params:
        model=lambda w: canonical_json(
            STUDY.models[w.model].settings.model_dump(mode="json")
        ),
    shell:
        "python $HISTOBENCH_SCRIPTS/fetch_config.py --model {params.model:q} --output {output}"
        " 2>&1 > {log} | tee -a {log} >&2"


rule fetch_weights:
    input:
        own_files,
    output:
        paths.WEIGHTS,
    log:
        "results/logs/fetch_weights/{model}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{model}.tsv"
    conda:
        "../../envs/compute.yaml"
    resources:
        mem_mb=grows(16000),
        runtime=grows(720),
    params:
        model=lambda w: canonical_json(
            STUDY.models[w.model].settings.model_dump(mode="json")
        ),
        # A function of the output is not tracked: it says nothing of what is downloaded.
        terms=lambda w, output: terms(STUDY.models[w.model]),
        code=weights_code,
    shell:
        "python $HISTOBENCH_SCRIPTS/fetch_weights.py --model {params.model:q} {params.terms} --output {output}"
        " 2>&1 > {log} | tee -a {log} >&2"
