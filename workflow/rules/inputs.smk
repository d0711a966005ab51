# Input functions, and parameters that are worked out from the study.


def pixels(dataset, model):
    return STUDY.path(paths.PIXELS, dataset=dataset, size=STUDY.models[model].image_size)


def weights(model):
    """The pretrained weights of a model; none where they are random."""
    if STUDY.models[model].weights == "random":
        return {}
    return {"weights": STUDY.path(paths.WEIGHTS, model=model)}


def stored(pattern, w, augmentation, views, **others):
    """The store of embeddings (paths.FEATURES) or visual tokens (paths.TOKENS) for these wildcards, or with `others`."""
    names = {
        "augmentation": augmentation,
        "seed": STUDY.feature_seed(w.model, augmentation, int(w.seed)),
        "views": views,
        "prompt": STUDY.prompt(w) if pattern == paths.FEATURES else None,
    }
    # Rules of features have no mode, and no normalised ones of it.
    own = STUDY.normalised(w) if "mode" in w.keys() else {}
    return STUDY.path(pattern, **dict(w.items()) | names | own | others)


def normalised(pattern, w, **names):
    """A file of the images whose stain is normalised for the run of these wildcards: paths.NORMALISED and the like."""
    return STUDY.path(pattern, **dict(w.items()) | STUDY.normalised(w) | names)


def image_inputs(w):
    """What is computed from images needs: manifest, pixels and weights."""
    return {
        "manifest": STUDY.path(paths.MANIFEST, dataset=w.dataset),
        "pixels": pixels(w.dataset, w.model),
        **weights(w.model),
    }


def manifest_inputs(w):
    """The images and, where one lists them, their table."""
    table = STUDY.datasets[w.dataset].table
    return {"source": STUDY.source(w.dataset)} | ({"table": table} if table else {})


def manifest_format(w):
    """How a dataset is read, as command-line options."""
    dataset = STUDY.datasets[w.dataset]
    parts = ["--format", dataset.format]
    parts += ["--complete"] if dataset.complete else []
    if dataset.format in ("csv", "folders"):
        parts += ["--classes", canonical_json(dataset.classes)]
    parts += ["--table", dataset.table] if dataset.table else []
    parts += ["--patient", dataset.patient] if dataset.patient else []
    return shlex.join(parts)


def tree_state(source):
    """Changes whenever a file of a dataset's folder does; for an archive Snakemake compares its own date."""
    files = sorted(path for path in Path(source).rglob("*") if path.is_file())
    return digest([[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files])


def own_files(w):
    """The files of a model's own folder of weights; none where its weights are of another kind, or the folder is gone."""
    model = STUDY.models[w.model]
    folder = getattr(model.weights, "folder", "")
    try:
        names = snapshot.files(Path(folder), model.family == "encoder") if folder else []
    except HistoBenchError:
        names = []
    return [os.path.relpath(os.path.join(folder, name)) for name in names]


def feature_inputs(w):
    """Embeddings of a vision-language model are made from its visual tokens, where these are stored."""
    inputs = image_inputs(w)
    if STUDY.embeds_tokens(w.model) and not Path(stored(paths.FEATURES, w, w.augmentation, w.views)).exists():
        inputs["tokens"] = stored(paths.TOKENS, w, w.augmentation, w.views)
    if STUDY.prompt(w) and weights(w.model):
        inputs["tokenizer"] = STUDY.path(paths.TOKENIZER, model=w.model)
    return inputs


def feature_specification(part):
    return lambda w: STUDY.feature_specification(
        *(part, w.model, int(w.magnification), w.augmentation, int(w.seed), int(w.views)),
        STUDY.prompt(w) if part == "embeddings" else None,
    ).canonical()


def normalised_feature_inputs(w):
    """Embeddings of normalised images are made from these images, by a whole model."""
    size = STUDY.models[w.model].image_size
    pixels = paths.NORMALISED.format(**dict(w.items()), size=size)
    return image_inputs(w) | {"pixels": pixels}


def train_inputs(w):
    """What all folds share is computed once: embeddings for a head or a CLIP's captions, visual tokens for LoRA or answers."""
    inputs = {
        "folds": STUDY.path(paths.FOLDS, dataset=w.dataset, split=w.split),
        "digest": STUDY.path(paths.FOLDS_DIGEST, dataset=w.dataset, split=w.split),
    }
    embedded = STUDY.from_embeddings(w.model, w.mode)
    if embedded:
        inputs["manifest"] = STUDY.path(paths.MANIFEST, dataset=w.dataset)
    else:
        inputs |= image_inputs(w)
    if STUDY.recipe(w.model, w.mode).trainable != "head":
        inputs |= STUDY.text_files(w.model, w.mode)
    if STUDY.normalised(w) and not embedded:
        inputs["pixels"] = normalised(paths.NORMALISED, w, size=STUDY.models[w.model].image_size)
    if embedded or (STUDY.tokens(w.model, w.mode) and not run_is_up_to_date(w)):
        pattern = paths.FEATURES if embedded else paths.TOKENS
        pattern = paths.NORMALISED_FEATURES if STUDY.normalised(w) else pattern
        views = STUDY.views(w.model, w.mode, w.augmentation)
        inputs["features"] = stored(pattern, w, w.augmentation, views)
        if STUDY.augmentations[w.augmentation]:
            inputs["evaluation_features"] = stored(pattern, w, STUDY.unaugmented, 1)
        if scales := STUDY.recipe(w.model, w.mode).scales:
            others = [scale for scale in scales if scale != int(w.magnification)]
            inputs["scale_features"] = [stored(pattern, w, w.augmentation, 1, magnification=scale) for scale in others]
    return inputs


def run_is_up_to_date(w):
    """Whether a run's results are there and were made with its present settings.

    Then it needs no visual tokens. They are temporary: as an input, tokens that are made again for a new arm would repeat
    every finished run. A run that is out of date for another reason computes its tokens itself.
    """
    return is_up_to_date(Path(paths.RUN.format(**dict(w.items()))), STUDY.specification(w))


def computed_from(w, input):
    """Options for what a job computes from: its stores of embeddings or tokens, else pixels; and weights, if any."""
    stores = given(input, "tokens", "features", "evaluation_features")
    if "scale_features" in input.keys():
        stores += f" {option('--scale-features', *input.scale_features)}"
    text = given(input, "tokenizer", "text_weights")
    return f"{stores or given(input, 'pixels')} {given(input, 'weights')}" + f" {text}" * bool(text)


def model_settings(w):
    """What decides the weights of a model before training, as JSON."""
    return canonical_json(keys.weights_settings(STUDY, w.model))


def checked(done):
    """An input that makes a job wait for the check of all arms; none for a job that is `done`, which a new check would repeat.

    `ancient` does not help: Snakemake compares no parameters while an input is still to be made.
    """
    return {} if done else {"checked": f"{RESULTS}/parameters.csv"}


def microns(w):
    """Micrometres per pixel of the other dataset and of that of training, as JSON."""
    return canonical_json(
        [STUDY.datasets[name].model_dump(mode="json")["microns_per_pixel"] for name in (w.on, w.dataset)]
    )


def predict_inputs(w):
    """The images of the other dataset, and the run that predicts them; its weights are beside its predictions."""
    size, place = STUDY.models[w.model].image_size, dict(w.items())
    matched = w.scale == "matched"
    return {
        "manifest": STUDY.path(paths.MANIFEST, dataset=w.on),
        "pixels": paths.TILES.format(size=size, **place) if matched else pixels(w.on, w.model),
        "trained_on": STUDY.path(paths.MANIFEST, dataset=w.dataset),
        "run": paths.PREDICTIONS.format(**dict(w.items())),
        **weights(w.model),
        **STUDY.text_files(w.model, w.mode),
    }


def stress_inputs(w):
    """The images and folds of a run, the run itself, whose weights are beside its predictions, and its target of stain."""
    size = STUDY.models[w.model].image_size
    target = {"reference": normalised(paths.REFERENCE, w, size=size)} if STUDY.normalised(w) else {}
    return {
        "folds": STUDY.path(paths.FOLDS, dataset=w.dataset, split=w.split),
        "digest": STUDY.path(paths.FOLDS_DIGEST, dataset=w.dataset, split=w.split),
        "run": paths.PREDICTIONS.format(**dict(w.items())),
        **target,
        **image_inputs(w),
        **STUDY.text_files(w.model, w.mode),
    }
