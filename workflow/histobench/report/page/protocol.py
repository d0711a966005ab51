"""The protocol of a study in words, from its resolved configuration."""

from collections.abc import Iterable
from typing import Any

from histobench.report.terms import BACH_PATIENTS, classifier, count, magnified
from histobench.study.paper import counted
from histobench.study.resolved import Settings, Study, printed_mode
from histobench.study.spec import settings_kind

NUMBERED = "as the dataset's authors number them (slide number)"
SPLITS = {
    "patient": f"no patient, {NUMBERED}, is on both sides of a fold",
    "accession": "no accession number is on both sides of a fold, the strictest grouping",
    "image": "images are assigned one by one, so that a patient is on both sides of a fold: a control that leaks on purpose",
    "official": (
        "the official lists of the dataset's authors, which divide no folder of one subtype and slide; the two copies of slide 14-13412, under "
        "two subtypes, may be on both sides, and so may an accession number"
    ),
    "file": "a given table says which images train and which evaluate, whatever patients they show",
}
GIVEN = ("official", "file")
"""Split policies whose folds are not drawn here."""
BREAKHIS = (
    "an accession number is a slide number without its last letters: BreakHis has 82 pairs of subtype and slide, 81 slide "
    "numbers (one slide has two subtypes) and 70 accession numbers, nine of which hold several slides"
)
READOUTS = {
    "end_marker": "the last position (without text the end-of-image marker), after the final norm",
    "last_image_token": "the last visual token, after the final norm",
    "mean": "the mean over the visual tokens, after the final norm",
}


def describe(study: Study) -> dict[str, Any]:
    """Return splits, augmentations and recipes of a study, each by its name, :func:`has_accessions` and :func:`decisions`."""
    return {
        "splits": {name: f"{_folds(split)}: {apart(study, split)}." for name, split in study.splits.items()},
        "accessions": has_accessions(study),
        "augmentations": {name: [_transform(one) for one in several] for name, several in study.augmentations.items()},
        "recipes": {arm.name: _recipe(study.recipes[arm.model][arm.mode]) for arm in study.arms},
        "decisions": decisions(study),
    }


def has_accessions(study: Study) -> bool:
    """Return whether a dataset has BreakHis's names, which number slides and not patients."""
    return any(dataset["format"] == "breakhis" for dataset in study.datasets.values())


def apart(study: Study, split: Settings) -> str:
    """Return what a split policy keeps apart; other datasets than BreakHis name their patients themselves."""
    text = SPLITS[split["by"]]
    return text if has_accessions(study) else text.replace(f", {NUMBERED},", "")


def decisions(study: Study) -> list[tuple[str, str, str]]:
    """Return the points that the paper leaves open: point, what the paper says, what is decided here.

    Points that do not apply are left out, for example those on vision-language models in a study without any.
    """
    recipes = [recipe for modes in study.recipes.values() for recipe in modes.values()]
    trained = [recipe for recipe in recipes if recipe["trainable"] != "none"]
    decay, batch = (_list(f"{recipe[key]:g}" for recipe in trained) for key in ("weight_decay", "batch_size"))
    cnns, encoders, vlms = (
        [model for model in study.models.values() if settings_kind(model) == kind] for kind in ("CNN", "Encoder", "VLM")
    )
    real = any(one["format"] == "breakhis" and not one.get("synthetic") for one in study.datasets.values())
    patients = [BREAKHIS] if real else []
    trained = {cell["dataset"] for cell in study.cells}
    bach = any(one["format"] == "bach" for name, one in study.datasets.items() if name in trained)
    patients += [BACH_PATIENTS.rstrip(".")] if bach else []
    patients += [f"{name}: {apart(study, split)}" for name, split in study.splits.items()]
    cnn_input = vlm_input = ""
    if cnns:
        (mean, std), *others = sorted({(tuple(model["mean"]), tuple(model["std"])) for model in cnns})
        norm = "each model's own channel means and deviations" if others else f"channel means {mean}, deviations {std}"
        cnn_input = f"the whole image is resized to {_sizes(cnns)} pixels (aspect ratio not kept), antialiased; {norm}"
    encoder_input = (
        f"resized to {_sizes(encoders)} pixels (aspect ratio not kept); channel means and deviations as each model was published; "
        f"embedding: {_list(model['pooling'] for model in encoders)}"
        if encoders
        else ""
    )
    if vlms:
        prompted = any("prompt" in recipe or "prompts" in recipe for recipe in recipes)
        text = "text after the image in some modes" if prompted else "no text"
        vlm_input = (
            f"resized to {_sizes(vlms)} pixels (aspect ratio not kept), then rescaled and normalized by the native "
            f"processor alone; no tiling, {text}; the visual tokens are between the model's begin- and end-of-image markers"
        )
    checkpoints = {
        f"{study.label(name)}: {model['weights']['hub']}"
        for name, model in study.models.items()
        if "hub" in model["weights"]
    }
    crops = {
        f"scale {_plain(arguments.get('scale'))}, ratio {_plain(arguments.get('ratio'))}"
        for transforms in study.augmentations.values()
        for transform in transforms
        for kind, arguments in transform.items()
        if kind == "RandomResizedCrop"
    }
    external = (
        f"every run of {', '.join(block['models'])} ({', '.join(map(printed_mode, block['modes']))}) trained at "
        f"{', '.join(map(magnified, block['magnifications']))} is evaluated on {block['on']}, images {' and '.join(block['scales'])}; the headline is "
        f"{magnified(block['headline'])}, another table has all"
        for block in study.external
    )
    kept = sorted({recipe["validation"] for recipe in recipes if recipe.get("validation")})
    choice = (
        f"; modes with `validation` keep {_list(f'{share:g}' for share in kept)} of the training groups for choosing epoch, threshold "
        "and temperature, an honest choice"
        if kept
        else ""
    )
    given = all(split["by"] in GIVEN for split in study.splits.values())
    made = (
        "as given" if given else "stratified by label and by histological type, one assignment for all magnifications"
    )
    points = [
        ("Training runs", "280: seven arms, four magnifications, five folds, two augmentations", counted(study)),
        ("Patients", "82 patients", "; ".join(patients)),
        (
            "Folds",
            "5-fold, patient level",
            f"{count((split['folds'] for split in study.splits.values()), 'fold')}, {made}; "
            f"{'a class may be absent in a fold' if study.classes else 'every fold has both classes'}",
        ),
        (
            "Which epoch counts",
            "model selection and performance estimation by cross-validation",
            "the last: nothing is chosen on the evaluation fold; the best epoch on that fold is reported too, labelled "
            f"optimistic{choice}",
        ),
        (
            "Cosine annealing",
            "T_max = |D_train| × epochs",
            "optimizer steps per epoch × epochs, stepped once per optimizer step",
        ),
        ("Weight decay", "not given", f"AdamW with {decay}"),
        ("CNN input", "336 × 336, ImageNet weights", cnn_input),
        ("Encoder input", "none", encoder_input),
        ("VLM input", "native image processor, no additional normalization", vlm_input),
        ("Which checkpoints", "Qwen2-VL-2B and SmolVLM", "; ".join(sorted(checkpoints))),
        ("Final hidden state", "h_T", _list(READOUTS[model["readout"]] for model in vlms)),
        (
            "LoRA",
            "attention layers of the decoder, vision encoder frozen",
            "; ".join(sorted({_adapters(recipe["lora"]) for recipe in recipes if recipe["lora"]})),
        ),
        (
            "Batch",
            "64; SmolVLM 8 with 8 accumulation steps",
            f"logical batch {batch}; the micro-batch is a hardware setting, which changes rounding and masks of dropout",
        ),
        (
            "Crop",
            "scale [0.9, 1.1], ratio [0.05, 1.1]",
            f"no crop is larger than the image: {_list(crops)}" if crops else "",
        ),
        (
            "Scores",
            "mean ± std over folds",
            "per fold, then the mean; the class of the largest logit; macro scores are means over the classes that have images"
            if study.classes
            else "per fold, then mean and sample standard deviation (ddof 1); threshold 0.5, positive = malignant",
        ),
        ("External test", "best-performing models, no fine-tuning", "; ".join(external)),
        (
            "Significance",
            "Wilcoxon on five fold scores, p below 0.05 throughout",
            "exact two-sided signed-rank test with the smallest p it can give; paired bootstrap and sign flips of "
            f"{' and '.join(dict.fromkeys(f'{study.unit(split)}s' for split in study.splits))} with "
            f"{study.comparisons['draws']:,} draws, Nadeau-Bengio corrected t, Holm over the "
            "declared pairs",
        ),
    ]
    without = ("Significance",) if study.classes else ()
    return [point for point in points if point[2] and point[0] not in without]


def _folds(split: Settings) -> str:
    """Return how many folds a split policy has, and the seed of those that are not given."""
    return count([split["folds"]], "fold") + (", as given" if split["by"] in GIVEN else f", seed {split['seed']}")


def _list(texts: Iterable[str]) -> str:
    """Return different texts in order, for example `8, 16 and 64`; empty without any."""
    *first, last = sorted(set(texts)) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _sizes(models: Iterable[Settings]) -> str:
    return _list(f"{model['image_size']} × {model['image_size']}" for model in models)


def _adapters(lora: Settings) -> str:
    if lora["projections"] == ["conv"]:
        return "of a CNN every convolution that is not grouped, batch normalisation fixed"
    layers = "every decoder layer" if lora["layers"] is None else f"decoder layers {lora['layers']}"
    tower = "on the vision tower's attention too" if lora["vision"] else "nothing in the vision tower"
    connector = "the connector trained" if lora["connector"] else "nothing in the connector"
    if blocks := lora.get("vision_blocks"):
        connector += f", the last {count([blocks], 'block')} of the vision tower trained"
    return f"{', '.join(lora['projections'])} projections of {layers}, {tower}, {connector}"


def _recipe(recipe: Settings) -> str:
    if recipe["trainable"] == "none":
        answers = [f"{label} by {', '.join(map(repr, words))}" for label, words in recipe["answers"].items()]
        return f"nothing is trained, {count([len(recipe['prompts'])], 'prompt')}, {' and '.join(answers)}"
    trained = {"all": "all parameters", "head": "linear head on the frozen backbone", "lora": "LoRA adapters and head"}
    trained |= {"last": "last block, what follows it, and head"}
    parts = [
        classifier(recipe) or trained[recipe["trainable"]],
        count([recipe["epochs"]], "epoch"),
        f"batch {recipe['batch_size']}",
        f"learning rate {recipe['learning_rate']:g}, cosine",
        f"weight decay {recipe['weight_decay']:g}",
    ]
    if "classifier" in recipe:
        del parts[1:]
    if number := recipe.get("patients_per_class"):
        parts.append(f"images of {count([number], 'patient')} of each class")
    if text := recipe.get("prompt"):
        parts.append(f"text after the image: “{text}”")
    if share := recipe.get("validation"):
        parts.append(f"{share:g} of the training groups kept for choosing epoch, threshold and temperature")
    if stain := recipe.get("stain"):
        parts.append(
            f"stain of all images normalised to that of the training images by the method of {stain.capitalize()}"
        )
    if lora := recipe["lora"]:
        parts.append(f"rank {lora['rank']}, alpha {lora['alpha']}, dropout {lora['dropout']:g}")
    return ", ".join(parts)


def _transform(transform: Settings) -> str:
    ((kind, arguments),) = transform.items()
    return f"{kind}({', '.join(f'{name} {_plain(value)}' for name, value in arguments.items())})"


def _plain(value: Any) -> str:
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list | tuple) else str(value)
