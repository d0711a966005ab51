rule train:
    input:
        unpack(train_inputs),
        unpack(lambda w: checked(run_is_up_to_date(w))),
    output:
        predictions=paths.PREDICTIONS,
        history=paths.HISTORY,
        run=paths.RECORD,
    log:
        paths.RUN_LOG,
    priority: 2
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        **on_device(lambda w: STUDY.gpu(w.model, w.mode)),
        # Hardware settings are resources, because these are not tracked; 0 means the default.
        micro_batch=lambda w: STUDY.mode(w.model, w.mode).micro_batch or 0,
        found_sizes=paths.FOUND_SIZES,
        gradient_checkpointing=lambda w: int(STUDY.mode(w.model, w.mode).gradient_checkpointing),
        compile=lambda w: int(STUDY.mode(w.model, w.mode).compile),
        checkpoint_seconds=STUDY.checkpoint_seconds,
    params:
        specification=lambda w: STUDY.specification(w).canonical(),
        split_by=lambda w: STUDY.splits[w.split].by,
        data=computed_from,
        code=lambda w: codes.training_code(STUDY, w.model, w.mode),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/train.py" --specification {params.specification:q}'
        " --manifest {input.manifest:q} --folds {input.folds:q} --split-by {params.split_by} {params.data} --code {params.code}"
        " --device {resources.device} --share {resources.share} --workers {threads} --threads {threads}"
        " --micro-batch {resources.micro_batch} --found-sizes {resources.found_sizes}"
        " --gradient-checkpointing {resources.gradient_checkpointing} --compile {resources.compile}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --output {output.predictions:q} --history {output.history:q}"
        " --run {output.run:q} > {log:q} 2>&1"


# The first job of every study: what only a library can judge is tried here, before anything is downloaded or trained.
rule check_arms:
    input:
        study=ancient(STUDY_FILE),
        configs=[
            STUDY.path(paths.MODEL_CONFIG, model=name)
            for name, model in RESOLVED.models.items()
            if model["family"] != "cnn" and not model["config"]
        ],
    output:
        report_table(f"{RESULTS}/parameters.csv", "parameters", "Tables"),
    log:
        f"results/logs/check_arms/{STUDY.study}.log",
    priority: 3
    conda:
        "../../envs/compute.yaml"
    params:
        tried=digest([RESOLVED.models, RESOLVED.recipes, RESOLVED.augmentations, RESOLVED.grid, *RESOLVED.classes]),
        code=code("check_arms", sorted({arm.family for arm in RESOLVED.arms})),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/check_arms.py" --study {input.study:q}'
        " --config-json {input.configs:q} --output {output:q} > {log:q} 2>&1"
