# Snakemake deletes the outputs of a job before it starts it, so an archive that is there is no rule's output.
ABSENT = [name for name, dataset in STUDY.datasets.items() if dataset.url and not Path(dataset.source).exists()]


rule fetch_dataset:
    output:
        "resources/{dataset}/{archive}",
    log:
        "results/logs/fetch_dataset/{dataset}/{archive}.log",
    wildcard_constraints:
        dataset="|".join(map(re.escape, ABSENT)) or "none",
        archive="|".join(re.escape(Path(STUDY.datasets[name].source).name) for name in ABSENT) or "none",
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


# The published architecture of a vision-language model or encoder: kilobytes, so that it can be tried before anything is trained.
rule fetch_config:
    input:
        lambda w: [file for file in own_files(w) if file.endswith("config.json")],
    output:
        paths.MODEL_CONFIG,
    log:
        "results/logs/fetch_config/{model}-{weights_key}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        model=model_settings,
        gated=lambda w, output: gated(STUDY.models[w.model]),  # untracked, as the terms below
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_config.py" --model {params.model:q} {params.gated} --output {output:q}'
        " > {log:q} 2> >(tee -a {log:q} >&2)"


rule fetch_weights:
    input:
        own_files,
    output:
        paths.WEIGHTS,
    log:
        "results/logs/fetch_weights/{model}-{weights_key}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        model=model_settings,
        # Taking `output` keeps this untracked: it does not change what is downloaded.
        terms=lambda w, output: f"{terms(STUDY.models[w.model])} {gated(STUDY.models[w.model])}",
        code=model_code("fetch_weights"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_weights.py" --model {params.model:q} {params.terms}'
        " --output {output:q} > {log:q} 2> >(tee -a {log:q} >&2)"


# What only text needs of a published model: its tokenizer, and language-model head or text tower.
rule fetch_tokenizer:
    input:
        own_files,
    output:
        paths.TOKENIZER,
    log:
        "results/logs/fetch_tokenizer/{model}-{weights_key}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        model=model_settings,
        gated=lambda w, output: gated(STUDY.models[w.model]),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_tokenizer.py" --model {params.model:q} {params.gated} --output {output:q}'
        " > {log:q} 2> >(tee -a {log:q} >&2)"


rule fetch_text_weights:
    input:
        own_files,
    output:
        paths.TEXT_WEIGHTS,
    log:
        "results/logs/fetch_text_weights/{model}-{weights_key}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        model=model_settings,
        gated=lambda w, output: gated(STUDY.models[w.model]),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/fetch_weights.py" --text --model {params.model:q} {params.gated} --output {output:q}'
        " > {log:q} 2> >(tee -a {log:q} >&2)"
