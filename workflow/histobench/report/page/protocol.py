"""The protocol of a study in words, from its resolved configuration."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from histobench.report.terms import count
from histobench.study.resolved import Study, printed_mode

Settings = Mapping[str, Any]

SPLITS = {
    "patient": "no patient (in BreakHis: slide id) is on both sides of a fold",
    "accession": "no accession number (slide id without its last letters) is on both sides of a fold, the strictest grouping",
    "image": "images are assigned one by one, so that a patient is on both sides of a fold: a control that leaks on purpose",
    "official": "the official lists of the dataset's authors",
}
BREAKHIS = (
    "BreakHis has 82 pairs of subtype and slide, 81 slide ids (one slide has two subtypes) and 70 accession numbers"
)
READOUTS = {
    "end_marker": "the last position, the end-of-image marker, after the final norm",
    "last_image_token": "the last visual token, after the final norm",
    "mean": "the mean over the visual tokens, after the final norm",
}


def splits(study: Study) -> list[tuple[str, str]]:
    """Return name and description of each split policy."""
    return [
        (name, f"{split['folds']} folds, seed {split['seed']}: {SPLITS[split['by']]}.")
        for name, split in study.splits.items()
    ]


def augmentations(study: Study) -> list[tuple[str, list[str]]]:
    """Return name and transforms of each augmentation."""
    return [
        (name, [_transform(transform) for transform in transforms]) for name, transforms in study.augmentations.items()
    ]


def recipes(study: Study) -> list[tuple[str, str]]:
    """Return name and recipe of each arm."""
    return [(arm.name, _recipe(study.recipes[arm.model][arm.mode])) for arm in study.arms]


def decisions(study: Study) -> list[tuple[str, str, str]]:
    """Return the points that the paper leaves open: point, what the paper says, what is decided here.

    Points that do not apply are left out, for example those on vision-language models in a study without any.
    """
    splits = study.splits.values()
    points = [
        (
            "Patients",
            "82 patients",
            "; ".join([*_breakhis(study), *(f"{name}: {SPLITS[one['by']]}" for name, one in study.splits.items())]),
        ),
        (
            "Folds",
            "5-fold, patient level",
            f"{_list({str(split['folds']) for split in splits})} folds, stratified by label, one assignment for all "
            "magnifications; every fold has both classes",
        ),
        (
            "Which epoch counts",
            "model selection and performance estimation by cross-validation",
            "the last: nothing is chosen on the evaluation fold; the best epoch on that fold is reported too, labelled "
            "optimistic",
        ),
        (
            "Cosine annealing",
            "T_max = |D_train| × epochs",
            "optimizer steps per epoch × epochs, stepped once per optimizer step",
        ),
        ("Weight decay", "not given", f"AdamW with {_values(study, 'weight_decay')}"),
        ("CNN input", "336 × 336, ImageNet weights", _cnn_input(study)),
        ("VLM input", "native image processor, no additional normalization", _vlm_input(study)),
        ("Which checkpoints", "Qwen2-VL-2B and SmolVLM", _checkpoints(study)),
        ("Final hidden state", "h_T", _readout(study)),
        ("LoRA", "attention layers of the decoder, vision encoder frozen", _lora(study)),
        (
            "Batch",
            "64; SmolVLM 8 with 8 accumulation steps",
            f"logical batch {_values(study, 'batch_size')}; the micro-batch is a hardware setting that changes results by "
            "rounding only",
        ),
        ("Crop", "scale [0.9, 1.1], ratio [0.05, 1.1]", _crops(study)),
        (
            "Scores",
            "mean ± std over folds",
            "per fold, then mean and sample standard deviation (ddof 1); threshold 0.5, positive = malignant",
        ),
        ("External test", "best-performing models, no fine-tuning", _external(study)),
        (
            "Significance",
            "Wilcoxon on five fold scores, p below 0.05 throughout",
            "exact two-sided signed-rank test with the smallest p it can give; patient-clustered paired bootstrap with "
            f"{study.comparisons['draws']:,} draws, patient-level sign flips, Nadeau-Bengio corrected t, Holm over the "
            "declared pairs",
        ),
    ]
    return [point for point in points if point[2]]


def _breakhis(study: Study) -> list[str]:
    datasets = study.datasets.values()
    return [BREAKHIS] if any(one["format"] == "breakhis" and not one.get("synthetic") for one in datasets) else []


def _models(study: Study, vlm: bool) -> list[Settings]:
    return [model for model in study.models.values() if (model["family"] != "cnn") == vlm]


def _values(study: Study, key: str) -> str:
    return _list({f"{recipe[key]:g}" for recipe in _recipes(study)})


def _recipes(study: Study) -> Iterable[Settings]:
    return (recipe for modes in study.recipes.values() for recipe in modes.values())


def _list(texts: Iterable[str]) -> str:
    *first, last = sorted(texts)
    return f"{', '.join(first)} and {last}" if first else last


def _sizes(models: Sequence[Settings]) -> str:
    return _list({f"{model['image_size']} × {model['image_size']}" for model in models})


def _cnn_input(study: Study) -> str:
    models = _models(study, vlm=False)
    if not models:
        return ""
    scales = {(tuple(model["mean"]), tuple(model["std"])) for model in models}
    (mean, std), *others = sorted(scales)
    scale = "each model's own channel means and deviations" if others else f"channel means {mean}, deviations {std}"
    return f"the whole image is resized to {_sizes(models)} pixels (aspect ratio not kept), antialiased; {scale}"


def _vlm_input(study: Study) -> str:
    models = _models(study, vlm=True)
    if not models:
        return ""
    return (
        f"resized to {_sizes(models)} pixels (aspect ratio not kept), then rescaled and normalized by the native processor "
        "alone; no tiling, no text; the visual tokens are between the model's begin- and end-of-image markers"
    )


def _readout(study: Study) -> str:
    return _list({READOUTS[model["readout"]] for model in _models(study, vlm=True)} or [""])


def _checkpoints(study: Study) -> str:
    found = {
        f"{study.label(name)}: {model['weights']['hub']}"
        for name, model in study.models.items()
        if isinstance(model["weights"], Mapping) and "hub" in model["weights"]
    }
    return "; ".join(sorted(found))


def _lora(study: Study) -> str:
    found = set()
    for recipe in _recipes(study):
        if lora := recipe["lora"]:
            layers = "every decoder layer" if lora["layers"] is None else f"decoder layers {lora['layers']}"
            tower = "on the vision tower's attention too" if lora["vision"] else "nothing in the vision tower"
            connector = "the connector trained" if lora["connector"] else "nothing in the connector"
            found.add(f"{', '.join(lora['projections'])} projections of {layers}, {tower}, {connector}")
    return "; ".join(sorted(found))


def _external(study: Study) -> str:
    blocks = [
        f"every run of {', '.join(block['models'])} ({', '.join(map(printed_mode, block['modes']))}) trained at "
        f"{', '.join(f'{value}×' for value in block['magnifications'])} is evaluated on {block['on']}; the headline is "
        f"{block['headline']}×, another table has all"
        for block in study.external
    ]
    return "; ".join(blocks)


def _crops(study: Study) -> str:
    found = {
        f"scale {_plain(arguments.get('scale'))}, ratio {_plain(arguments.get('ratio'))}"
        for transforms in study.augmentations.values()
        for transform in transforms
        for kind, arguments in transform.items()
        if kind == "RandomResizedCrop"
    }
    return f"no crop is larger than the image: {_list(found)}" if found else ""


def _recipe(recipe: Settings) -> str:
    trained = {"all": "all parameters", "head": "linear head on the frozen backbone", "lora": "LoRA adapters and head"}
    parts = [
        trained[recipe["trainable"]],
        count([recipe["epochs"]], "epoch"),
        f"batch {recipe['batch_size']}",
        f"learning rate {recipe['learning_rate']:g}, cosine",
        f"weight decay {recipe['weight_decay']:g}",
    ]
    if lora := recipe["lora"]:
        parts.append(f"rank {lora['rank']}, alpha {lora['alpha']}, dropout {lora['dropout']:g}")
    return ", ".join(parts)


def _transform(transform: Mapping[str, Settings]) -> str:
    ((kind, arguments),) = transform.items()
    return f"{kind}({', '.join(f'{name} {_plain(value)}' for name, value in arguments.items())})"


def _plain(value: Any) -> str:
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list | tuple) else str(value)
