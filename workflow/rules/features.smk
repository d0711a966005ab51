rule features:
    input:
        unpack(feature_inputs),
    output:
        paths.FEATURES,
    log:
        "results/logs/features/{dataset}/{model}/{magnification}x-{augmentation}-{views}.log",
    benchmark:
        "results/benchmarks/features/{dataset}/{model}/{magnification}x-{augmentation}-{views}.tsv"
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        device=STUDY.device,
        gpu=1,
    params:
        specification=lambda w: STUDY.feature_specification(
            w.model, int(w.magnification), w.augmentation, int(w.views)
        ).canonical(),
        weights=lambda w, input: (
            f"--weights {input.weights}" if "weights" in input.keys() else ""
        ),
        code=code("features"),
    shell:
        "python -m histobench.warm $HISTOBENCH_SCRIPTS/features.py --specification {params.specification:q}"
        " --manifest {input.manifest} --pixels {input.pixels} {params.weights}"
        " --device {resources.device} --workers {threads} --output {output} > {log} 2>&1"
