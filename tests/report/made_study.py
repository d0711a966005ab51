"""A made-up study on disk, complete enough for its report page: numbers are drawn, nothing was trained."""

import random
from pathlib import Path

from histobench.io.files import write_csv
from histobench.metrics import SCORES
from histobench.report import published_tables, render
from histobench.report.page.page import PageInput
from histobench.report.tables import costs
from histobench.report.tables.results_tables import results_tables, scores_table
from histobench.study.resolved import Arm, Study

NAMES = {"resnet34": "ResNet34", "alexnet": "AlexNet", "smolvlm": "SmolVLM"}
NOTES = ["The images are SYNTHETIC.", "Models start from RANDOM weights."]
METRICS = ("accuracy", "auc", "ece")
KEYS = ("dataset", "model", "mode", "split", "magnification", "augmentation", "selection")
LORA = {
    "rank": 16, "alpha": 32, "dropout": 0.05, "projections": ["q", "k", "v", "o"], "layers": None, "vision": False,
    "connector": False,
}  # fmt: skip
RECIPE = {
    "trainable": "all", "epochs": 20, "batch_size": 64, "learning_rate": 1e-4, "weight_decay": 0.01,
    "standardise": False, "lora": None, "keep_weights": False,
}  # fmt: skip
CONFIGURATION = {
    "study": "made",
    "seed": 0,
    "datasets": {"breakhis": {"format": "breakhis"}},
    "splits": {"patient": {"by": "patient", "folds": 5, "seed": 0, "files": []}},
    "augmentations": {
        "none": [],
        "paper": [
            {"HorizontalFlip": {"p": 0.5}},
            {"RandomResizedCrop": {"scale": [0.9, 1.0], "ratio": [0.05, 1.1], "p": 0.8}},
        ],
    },
    "models": {
        "alexnet": {"label": "AlexNet", "settings": {"family": "cnn", "weights": "random", "image_size": 336,
                    "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
        "resnet34": {"label": "ResNet34", "settings": {"family": "cnn", "weights": "random", "image_size": 336,
                     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
        "smolvlm": {"label": "SmolVLM", "settings": {"family": "smolvlm", "weights": {"hub": "owner/name"},
                    "image_size": 336, "readout": "end_marker"}},
    },
    "recipes": {
        "alexnet": {"ft": RECIPE},
        "resnet34": {"ft": RECIPE},
        "smolvlm": {"ft": RECIPE | {"trainable": "lora", "lora": LORA}},
    },
    "tables": {"dataset": "breakhis", "split": "patient", "without_augmentation": "none", "with_augmentation": "paper"},
    "external": [],
    "comparisons": {"pairs": [], "magnification": 200, "draws": 10000, "seed": 0},
}  # fmt: skip
COMPARISON_KEYS = ("dataset", "split", "magnification", "augmentation", "selection", "first", "second", "metric")
COMPARISONS = (
    *COMPARISON_KEYS, "folds", "patients", "first_value", "second_value", "difference", "effect_size", "low", "high",
    "pooled_difference", "wilcoxon_p", "wilcoxon_floor", "nadeau_bengio_t", "nadeau_bengio_p", "bootstrap_p",
    "sign_flip_p", "holm_p", "mcnemar_p", "delong_p",
)  # fmt: skip
CLAIMS = (
    "id", "section", "sentence", "predicate", "published_verdict", "published_evidence", "study_verdict", "effect", "low",
    "high", "study_evidence",
)  # fmt: skip


def claim(identity: str, published_verdict: str, study_verdict: str, effect: str = "", **texts: str) -> dict[str, str]:
    return {
        "id": identity,
        "section": "4.2",
        "sentence": f"Sentence {identity} <of the paper> & more",
        "predicate": "above",
        "published_verdict": published_verdict,
        "published_evidence": "0.9408 is above 0.9405",
        "study_verdict": study_verdict,
        "effect": effect,
        "low": f"{float(effect) - 0.01:.6f}" if effect else "",
        "high": f"{float(effect) + 0.01:.6f}" if effect else "",
        "study_evidence": "0.91 against 0.90" if study_verdict != "not run" else "no such arm",
    } | texts


def resolved(configuration: dict, names: dict[str, str]) -> Study:
    """Return the study that has this resolved configuration."""
    models = configuration["models"]
    return Study(
        name=configuration["study"],
        notes=NOTES,
        arms=[
            Arm(model, mode, names.get(model, model), models[model]["settings"]["family"], recipe["trainable"])
            for model, modes in configuration["recipes"].items()
            for mode, recipe in modes.items()
        ],
        models={name: model["settings"] for name, model in models.items()},
        grid=configuration.get("grid", []),
        **{
            key: configuration[key]
            for key in ("seed", "recipes", "datasets", "splits", "augmentations", "tables", "external", "comparisons")
        },
    )


def make(
    folder: Path,
    arms: tuple[tuple[str, str], ...] = (("alexnet", "ft"), ("resnet34", "ft"), ("smolvlm", "ft")),
    magnifications: tuple[int, ...] = (40, 200),
    augmentations: tuple[str, ...] = ("none", "paper"),
    configuration: dict = CONFIGURATION,
    names: dict[str, str] = NAMES,
) -> PageInput:
    """Write the study's CSVs and figures below `folder`; return what its page is made of."""
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    summary, intervals, comparisons = [], [], []
    values: dict[tuple[str, int, str, str], float] = {}
    for place, (model, mode) in enumerate(arms):
        for magnification in magnifications:
            for augmentation in augmentations:
                for selection in ("last", "best_epoch"):
                    row = dict(zip(KEYS, ("breakhis", model, mode, "patient", magnification, augmentation, selection),
                                   strict=True))  # fmt: skip
                    scores = {
                        f"{score}_mean": 0.8 + 0.03 * place + draw.random() / 30 for score in (*SCORES, "patient_rate")
                    }
                    summary.append(
                        row | {"folds": 5} | scores | {key[:-4] + "std": draw.random() / 10 for key in scores}
                    )
                    for metric in METRICS:
                        value = 0.8 + 0.03 * place + draw.random() / 30
                        if selection == "last":
                            values[f"{model}/{mode}", magnification, augmentation, metric] = value
                        intervals.append(row | {"metric": metric, "estimate": value, "low": value - 0.04,
                                                "high": value + 0.03, "level": 0.95, "patients": 81, "images": 1995})  # fmt: skip
    labels = [f"{model}/{mode}" for model, mode in arms]
    for first, second in ((one, other) for place, one in enumerate(labels) for other in labels[place + 1 :]):
        for magnification in magnifications:
            for augmentation in augmentations:
                for metric in METRICS[:2]:
                    ones = values[first, magnification, augmentation, metric]
                    others = values[second, magnification, augmentation, metric]
                    apart = ones - others
                    keys = ("breakhis", "patient", magnification, augmentation, "last", first, second, metric)
                    comparisons.append(
                        dict(zip(COMPARISON_KEYS, keys, strict=True))
                        | {"folds": 5, "patients": 81, "first_value": ones, "second_value": others, "difference": apart,
                           "effect_size": apart * 20, "low": apart - 0.02, "high": apart + 0.02,
                           "pooled_difference": apart, "wilcoxon_p": 0.0625, "wilcoxon_floor": 0.0625,
                           "nadeau_bengio_t": apart * 30, "nadeau_bengio_p": draw.random() / 5,
                           "bootstrap_p": draw.random() / 100, "sign_flip_p": 0.00009999, "holm_p": draw.random() / 15}
                        | ({"mcnemar_p": 1e-7} if metric == "accuracy" else {"delong_p": 0.00002})
                    )  # fmt: skip
    write_csv(
        folder / "intervals.csv", (*KEYS, "metric", "estimate", "low", "high", "level", "patients", "images"), intervals
    )
    write_csv(folder / "comparisons.csv", COMPARISONS, comparisons)
    write_csv(
        folder / "claims.csv",
        CLAIMS,
        [
            claim("one", "holds", "supported", "0.021234567"),
            claim("two", "contradicted", "contradicted", "-0.031234567"),
            claim("three", "impossible", "not run"),
            claim("four", "impossible", "undecided", "0.00123"),
            claim("five", "not checkable", "not run", sentence='A "quoted", comma, sentence'),
        ],
    )
    write_csv(
        folder / "gaps.csv", ("where", "what"), [{"where": "alexnet/ft 40x fold 3", "what": "NaN logit in 2 images"}]
    )
    write_csv(
        folder / "costs.csv",
        costs.COLUMNS,
        [
            {"dataset": "breakhis", "model": model, "mode": mode, "split": "patient", "magnification": magnification,
             "augmentation": augmentation, "runs": 5, "trainable": 21285185, "seconds": 1234.5, "training_seconds": 1111.1,
             "images_per_second": 520.3, "host_mib": 612, "device_mib": "", "device": "cpu (x86_64)", "precision": "fp32",
             "versions": "python 3.11.7, torch 2.15.0"}
            for model, mode in arms for magnification in magnifications for augmentation in augmentations
        ],
    )  # fmt: skip
    texts = [{key: str(value) for key, value in row.items()} for row in summary]
    study = resolved(configuration, names)
    found = []
    for number in (4, 5)[: len(augmentations)]:
        rows = published_tables.load(Path(__file__).parents[2] / f"resources/paper/tables/table{number}.csv")
        table, beside = results_tables(texts, rows, number, "last", study)
        prefix = folder / "tables" / f"table{number}"
        render.write(table, prefix, beside)
        found += [Path(f"{prefix}.csv"), Path(f"{prefix}-beside-published.csv")]
    render.write(scores_table(texts, {}, study), folder / "tables" / "scores")
    found.append(folder / "tables" / "scores.csv")
    figures, captions = folder / "figures", folder / "captions"
    figures.mkdir(exist_ok=True)
    captions.mkdir(exist_ok=True)
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="700" height="200"><rect width="700" height="200" fill="#ddd"/>'
    )
    (figures / "figure5.svg").write_text(f"{drawing}</svg>")
    (captions / "ladder.rst").write_text("The ladder.\n")
    (captions / "figure5.rst").write_text("Accuracy by magnification,\n*with* intervals.\n")
    (figures / "ladder.svg").write_text(f"{drawing}<!--{'x' * 300_000}--></svg>")
    (figures / "ladder.png").write_bytes(PIXEL)
    return PageInput(
        study=study,
        tables=found,
        figures=[figures / "figure5.svg", figures / "ladder.svg"],
        results={name: folder / f"{name}.csv" for name in ("intervals", "comparisons", "claims", "gaps", "costs")},
        captions=captions,
        commit="0123456789abcdef",
    )


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
"""The smallest grey PNG."""
