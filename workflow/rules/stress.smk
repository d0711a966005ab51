# One job evaluates a run on its evaluation images, as they are and under every shift and strength.
rule stress:
    input:
        unpack(stress_inputs),
    output:
        paths.STRESS,
    log:
        paths.STRESS_LOG,
    conda:
        "../../envs/compute.yaml"
    threads: 4
    resources:
        **on_device(prediction_gpu),
        micro_batch=lambda w: STUDY.mode(w.model, w.mode).micro_batch or 0,
    params:
        specification=lambda w: STUDY.specification(w).canonical(),
        split_by=lambda w: STUDY.splits[w.split].by,
        trained=lambda w: paths.TRAINED.format(**dict(w.items())),
        files=lambda w, input: given(input, "weights", "tokenizer", "reference"),
        code=model_code("stress"),
    shell:
        'exec python -m histobench.launcher "$HISTOBENCH_SCRIPTS/stress.py" --specification {params.specification:q}'
        " --trained {params.trained:q} {params.files} --manifest {input.manifest:q} --folds {input.folds:q}"
        " --split-by {params.split_by} --pixels {input.pixels:q} --device {resources.device} --share {resources.share}"
        " --threads {threads} --micro-batch {resources.micro_batch} --output {output:q} > {log:q} 2>&1"


use rule score as score_stress with:
    input:
        study=ancient(STUDY_FILE),
        predictions=STRESS,
    output:
        stress=report_table(f"{RESULTS}/stress.csv", "stress", "Stress test"),
    log:
        report_log("score_stress"),
    localrule: False
    params:
        **script("score_stress"),
        runs=digest(STRESS),
        study=digest([RESOLVED.stress, RESOLVED.splits, *DRAWS]),


use rule score as table_stress with:
    input:
        study=STUDY_FILE,
        stress=rules.score_stress.output.stress,
    output:
        table("stress"),
    log:
        report_log("table_stress"),
    params:
        **script("table_stress"),


use rule score as figure_stress with:
    input:
        study=STUDY_FILE,
        stress=rules.score_stress.output.stress,
    output:
        figure("stress"),
    log:
        report_log("figure_stress"),
    params:
        **script("figure_stress"),
