rule train:
    input:
        unpack(train_inputs),
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
        device=STUDY.device,
        gpu=lambda w: gpu_jobs(STUDY.gpu(w.model, w.mode)),
        share=lambda w: share(STUDY.gpu(w.model, w.mode)),
        # Hardware settings are resources, because these are not tracked; 0 stands for the default.
        micro_batch=lambda w: STUDY.mode(w.model, w.mode).micro_batch or 0,
        gradient_checkpointing=lambda w: int(
            STUDY.mode(w.model, w.mode).gradient_checkpointing
        ),
    params:
        specification=lambda w: specification(w).canonical(),
        split_by=lambda w: STUDY.splits[w.split].by,
        data=train_data,
        code=lambda w: codes.training_code(STUDY, w.model, w.mode),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/train.py" --specification {params.specification:q}'
        " --manifest {input.manifest} --folds {input.folds} --split-by {params.split_by} {params.data}"
        " --device {resources.device} --share {resources.share} --workers {threads} --threads {threads}"
        " --micro-batch {resources.micro_batch} --gradient-checkpointing {resources.gradient_checkpointing}"
        " --output {output.predictions} --history {output.history}"
        " --run {output.run} > {log} 2>&1"


rule count_parameters:
    output:
        report_table(f"{RESULTS}/parameters.csv", "parameters", "Tables"),
    log:
        f"results/logs/count_parameters/{STUDY.study}.log",
    conda:
        "../../envs/compute.yaml"
    params:
        models=models_and_recipes,
        code=code(
            "count_parameters",
            sorted({STUDY.models[run.model].family for run in STUDY.runs}),
        ),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/count_parameters.py" --models {params.models:q}'
        " --output {output} > {log} 2>&1"
