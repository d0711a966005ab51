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
    benchmark:
        paths.RUN_BENCHMARK
    priority: 2
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        device=STUDY.device,
        gpu=lambda w: gpu_slots(STUDY.gpu(w.model, w.mode)),
        share=lambda w: share(STUDY.gpu(w.model, w.mode)),
        # Hardware settings are resources, since these are not tracked; 0 stands for the default.
        micro_batch=lambda w: STUDY.mode(w.model, w.mode).micro_batch or 0,
        gradient_checkpointing=lambda w: int(
            STUDY.mode(w.model, w.mode).gradient_checkpointing
        ),
        mem_mb=training_mb,
        runtime=training_minutes,
    params:
        specification=lambda w: specification(w).canonical(),
        split_by=lambda w: STUDY.splits[w.split].by,
        data=train_arguments,
        code=training_code,
    # A queue tells every process of a job to end, and a shell in between would end before the checkpoint is written.
    shell:
        "exec python -m histobench.warm $HISTOBENCH_SCRIPTS/train.py --specification {params.specification:q}"
        " --manifest {input.manifest} --folds {input.folds} --split-by {params.split_by} {params.data}"
        " --device {resources.device} --share {resources.share} --workers {threads} --threads {threads}"
        " --micro-batch {resources.micro_batch} --gradient-checkpointing {resources.gradient_checkpointing}"
        " --output {output.predictions} --history {output.history}"
        " --run {output.run} > {log} 2>&1"


# The first job of every study: what only a library can judge is tried here, before anything is downloaded or trained.
rule check_arms:
    input:
        configs=[
            paths.MODEL_CONFIG.format(model=name)
            for name in dict.fromkeys(run.model for run in STUDY.runs)
            if STUDY.models[name].family != "cnn" and not STUDY.models[name].config
        ],
    output:
        report_table(f"{RESULTS}/parameters.csv", "parameters", "Tables"),
    log:
        f"results/logs/check_arms/{STUDY.study}.log",
    benchmark:
        f"results/benchmarks/check_arms/{STUDY.study}.tsv"
    priority: 3
    conda:
        "../../envs/compute.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=grows(20),
    params:
        # A function, because Snakemake would take braces in a string for wildcards.
        trials=lambda w: canonical_json(STUDY.trials()),
        code=code("check_arms", {STUDY.models[run.model].family for run in STUDY.runs}),
    shell:
        "python -m histobench.warm $HISTOBENCH_SCRIPTS/check_arms.py --trials {params.trials:q}"
        " --config-json {input.configs} --output {output} > {log} 2>&1"
