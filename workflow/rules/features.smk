rule features:
    input:
        unpack(feature_inputs),
        unpack(lambda w: checked(Path(stored(paths.FEATURES, w, w.augmentation, w.views)).exists())),
    output:
        paths.FEATURES,
    log:
        f"results/logs/features/{{dataset}}-{{data_key}}/{paths.VIEWS}.log",
    priority: 1
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        **on_device(lambda w: STUDY.gpu(w.model)),
    params:
        specification=feature_specification("embeddings"),
        data=computed_from,
        code=model_code("features"),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/features.py" --specification {params.specification:q}'
        " --manifest {input.manifest:q} {params.data}"
        " --device {resources.device} --share {resources.share} --workers {threads} --output {output:q} > {log:q} 2>&1"


# Visual tokens are large: a store is removed after the last job that needs it. Those jobs have a higher priority, so they
# run before the next store is made.
use rule features as tokens with:
    input:
        unpack(image_inputs),
        unpack(lambda w: checked(False)),
    output:
        temp(paths.TOKENS),
    log:
        f"results/logs/tokens/{{dataset}}-{{data_key}}/{paths.VIEWS}.log",
    priority: 0
    params:
        specification=feature_specification("tokens"),
        data=computed_from,
        code=model_code("features"),


use rule features as normalised_features with:
    input:
        unpack(normalised_feature_inputs),
        unpack(lambda w: checked(Path(paths.NORMALISED_FEATURES.format(**dict(w.items()))).exists())),
    output:
        paths.NORMALISED_FEATURES,
    log:
        paths.NORMALISED_FEATURES_LOG,
