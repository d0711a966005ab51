rule predict:
    input:
        unpack(predict_inputs),
    output:
        paths.EXTERNAL,
    log:
        paths.EXTERNAL_LOG,
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        **on_device(prediction_gpu),
        micro_batch=lambda w: STUDY.mode(w.model, w.mode).micro_batch or 0,
    params:
        specification=lambda w: STUDY.specification(w).canonical(),
        trained=lambda w: paths.TRAINED.format(**dict(w.items())),
        weights=lambda w, input: given(input, "weights", "tokenizer"),
        # Taking `input` keeps this untracked: the path has a key of it.
        microns=lambda w, input: option("--microns", microns(w)) if w.scale == "matched" else "",
        code=model_code("predict"),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/predict.py" --specification {params.specification:q}'
        " --trained {params.trained:q} {params.weights} {params.microns} --trained-on {input.trained_on:q}"
        " --manifest {input.manifest:q} --pixels {input.pixels:q} --device {resources.device}"
        " --share {resources.share} --threads {threads} --micro-batch {resources.micro_batch} --output {output:q} > {log:q} 2>&1"
