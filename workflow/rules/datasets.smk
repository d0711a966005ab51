rule synthesize:
    output:
        paths.ARCHIVE,
    log:
        "results/logs/synthesize/{dataset}-{data_key}.log",
    conda:
        "../../envs/report.yaml"
    threads: 8
    params:
        settings=lambda w: canonical_json(STUDY.datasets[w.dataset].synthetic.model_dump(mode="json")),
        code=code("synthesize"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/synthesize.py" --settings {params.settings:q} --workers {threads}'
        " --output {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        unpack(manifest_inputs),
    output:
        manifest=report_table(paths.MANIFEST, "manifest", "Dataset"),
        census=report_table(paths.CENSUS, "census", "Dataset"),
        digest=paths.ARCHIVE_DIGEST,
    log:
        "results/logs/manifest/{dataset}-{data_key}.log",
    conda:
        "../../envs/report.yaml"
    threads: 8
    params:
        format=manifest_format,
        source=lambda w: STUDY.source(w.dataset),
        tree=lambda w: tree_state(STUDY.source(w.dataset)),
        # Taking `input` keeps this untracked: another expected hash does not change the data.
        sha256=lambda w, input: option("--sha256", STUDY.datasets[w.dataset].sha256),
        code=code("manifest"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/manifest.py" --source {input.source:q} {params.format} {params.sha256}'
        " --workers {threads} --output {output.manifest:q} --census {output.census:q} --digest {output.digest:q}"
        " > {log:q} 2> >(tee -a {log:q} >&2)"


rule folds:
    input:
        manifest=paths.MANIFEST,
        lists=lambda w: STUDY.splits[w.split].lists,
    output:
        folds=paths.FOLDS,
        digest=paths.FOLDS_DIGEST,
        census=report_table(paths.FOLDS_CENSUS, "folds", "Dataset"),
    log:
        "results/logs/folds/{dataset}-{data_key}/{split}-{split_key}.log",
    conda:
        "../../envs/report.yaml"
    params:
        split=lambda w: canonical_json(STUDY.splits[w.split].model_dump(mode="json")),
        # Taking `input` keeps this untracked: folds are the same for any magnifications.
        magnifications=lambda w, input: option("--magnifications", *map(str, STUDY.magnifications(w.dataset, w.split))),
        code=code("folds"),
    shell:
        f"{WITHOUT_PYTORCH}"
        ' "$HISTOBENCH_SCRIPTS/folds.py" --manifest {input.manifest:q} --split {params.split:q}'
        " {params.magnifications} --output {output.folds:q} --census {output.census:q} > {log:q} 2> >(tee -a {log:q} >&2)"


# The manifest holds every image's pixel hash, so the archive's date does not matter here.
rule pixels:
    input:
        manifest=paths.MANIFEST,
        source=lambda w: ancient(STUDY.source(w.dataset)),
    output:
        paths.PIXELS,
    log:
        "results/logs/pixels/{dataset}-{data_key}/{size}px.log",
    conda:
        "../../envs/report.yaml"
    threads: 8
    params:
        tiles="",
        code=code("pixels"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/pixels.py" --source {input.source:q} --manifest {input.manifest:q} {params.tiles}'
        " --size {wildcards.size} --workers {threads} --output {output:q} > {log:q} 2> >(tee -a {log:q} >&2)"


# Tiles of another dataset's images, at the scale of the images that models were trained on.
use rule pixels as tiles with:
    input:
        manifest=lambda w: STUDY.path(paths.MANIFEST, dataset=w.on),
        source=lambda w: ancient(STUDY.source(w.on)),
        trained_on=paths.MANIFEST,
    output:
        paths.TILES,
    log:
        paths.TILES_LOG,
    params:
        # Taking `input` keeps this untracked: the path has a key of it.
        tiles=lambda w, input: shlex.join(
            ["--trained-on", input.trained_on, "--magnification", w.magnification, "--microns", microns(w)]
        ),
        code=code("pixels"),


# Images whose stain is normalised to that of the training images of a fold.
rule normalise:
    input:
        manifest=paths.MANIFEST,
        folds=paths.FOLDS,
        digest=paths.FOLDS_DIGEST,
        pixels=paths.PIXELS,
    output:
        pixels=paths.NORMALISED,
        reference=paths.REFERENCE,
    log:
        paths.NORMALISE_LOG,
    conda:
        "../../envs/report.yaml"
    threads: 8
    params:
        split_by=lambda w: STUDY.splits[w.split].by,
        kept=lambda w: "" if w.kept == "none" else option("--kept", *w.kept.split("-seed")),
        code=code("normalise"),
    shell:
        'exec python "$HISTOBENCH_SCRIPTS/normalise.py" --manifest {input.manifest:q} --folds {input.folds:q}'
        " --split-by {params.split_by} --fold {wildcards.fold} --magnification {wildcards.magnification} {params.kept}"
        " --stain {wildcards.stain} --size {wildcards.size} --pixels {input.pixels:q} --workers {threads}"
        " --output {output.pixels:q} --reference {output.reference:q} > {log:q} 2>&1"
