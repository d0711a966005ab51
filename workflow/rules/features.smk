rule features:
    input:
        unpack(feature_inputs),
    output:
        paths.FEATURES,
    log:
        "results/logs/features/{dataset}/{model}/{magnification}x-{augmentation}-{views}.log",
    benchmark:
        "results/benchmarks/features/{dataset}/{model}/{magnification}x-{augmentation}-{views}.tsv"
    priority: 1
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        device=STUDY.device,
        gpu=lambda w: gpu_slots(STUDY.gpu(w.model)),
        share=lambda w: share(STUDY.gpu(w.model)),
        mem_mb=grows(24000),
        runtime=feature_minutes,
    params:
        specification=lambda w: STUDY.feature_specification(
            "embeddings", w.model, int(w.magnification), w.augmentation, int(w.views)
        ).canonical(),
        data=feature_arguments,
        code=feature_code,
    shell:
        "exec python -m histobench.launcher $HISTOBENCH_SCRIPTS/features.py --specification {params.specification:q}"
        " --manifest {input.manifest} {params.data}"
        " --device {resources.device} --share {resources.share} --workers {threads} --output {output} > {log} 2>&1"


# Visual tokens are large: a store is removed when the last job that needs it is done, and the priorities of its consumers
# see to it that this is before the next one is made.
use rule features as tokens with:
    input:
        unpack(token_inputs),
    output:
        temp(paths.TOKENS),
    log:
        "results/logs/tokens/{dataset}/{model}/{magnification}x-{augmentation}-{views}.log",
    benchmark:
        "results/benchmarks/tokens/{dataset}/{model}/{magnification}x-{augmentation}-{views}.tsv"
    priority: 0
    params:
        specification=lambda w: STUDY.feature_specification(
            "tokens", w.model, int(w.magnification), w.augmentation, int(w.views)
        ).canonical(),
        data=feature_arguments,
        code=feature_code,
