rule train:
    input:
        unpack(train_inputs),
    output:
        predictions=paths.PREDICTIONS,
        history=paths.HISTORY,
        run=paths.RECORD,
    log:
        paths.RUN_LOG,
    benchmark:
        paths.RUN_BENCHMARK
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        device=STUDY.device,
        gpu=lambda w: 1 if STUDY.recipe(w.model, w.mode).trainable == "all" else 0,
    params:
        specification=lambda w: STUDY.specification(
            w.model, w.mode, int(w.magnification), w.augmentation, int(w.fold)
        ).canonical(),
        split_by=lambda w: STUDY.splits[w.split].by,
        data=train_arguments,
        code=code("train"),
    shell:
        "python -m histobench.warm $HISTOBENCH_SCRIPTS/train.py --specification {params.specification:q}"
        " --manifest {input.manifest} --folds {input.folds} --split-by {params.split_by} {params.data}"
        " --device {resources.device} --workers {threads} --threads {threads}"
        " --output {output.predictions} --history {output.history}"
        " --run {output.run} > {log} 2>&1"


rule count_parameters:
    output:
        report_table(f"{RESULTS}/parameters.csv", "parameters", "Tables"),
    log:
        f"results/logs/count_parameters/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/count_parameters/{STUDY.study}.tsv"
    conda:
        "../../envs/compute.yaml"
    params:
        models=canonical_json(
            {
                name: {
                    "settings": STUDY.models[name].settings.model_dump(mode="json"),
                    "recipes": recipes,
                }
                for name, recipes in recipes_of_arms().items()
            }
        ),
        code=code("count_parameters"),
    shell:
        "python -m histobench.warm $HISTOBENCH_SCRIPTS/count_parameters.py --models {params.models:q} --output {output}"
        " > {log} 2>&1"
