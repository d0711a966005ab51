"""A made-up study on disk, complete enough for its report page: numbers are random, nothing was trained."""

import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from histobench.claims.ledger import COLUMNS as CLAIMS
from histobench.datasets.folds import CENSUS_COLUMNS
from histobench.evaluation.comparisons import COMPARISONS_COLUMNS as COMPARISONS
from histobench.evaluation.comparisons import INTERVALS_COLUMNS as INTERVALS
from histobench.evaluation.summary import ARM
from histobench.io.files import read_csv, write_csv
from histobench.metrics import SCORES
from histobench.report import render
from histobench.report.page.page import PageInput
from histobench.report.tables import costs
from histobench.report.tables.folds_table import folds_table
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scores_tables import scores_table
from histobench.study.resolved import Arm, Study
from tests.report import studies

NOTES = ["The images are SYNTHETIC.", "Models start from RANDOM weights."]
ARMS = [
    Arm("alexnet", "ft", "AlexNet", "cnn", "all"),
    Arm("resnet34", "ft", "ResNet34", "cnn", "all"),
    Arm("smolvlm", "ft", "SmolVLM", "smolvlm", "lora"),
]
CNN = {
    "family": "cnn",
    "weights": "random",
    "image_size": 336,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
VLM = {"family": "smolvlm", "weights": {"hub": "owner/name"}, "image_size": 336, "readout": "end_marker"}
CROP = {"RandomResizedCrop": {"scale": [0.9, 1.0], "ratio": [0.05, 1.1], "p": 0.8}}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
"""The smallest grey PNG."""


def study(**changes: object) -> Study:
    """Return the resolved study, with some fields changed."""
    content = {"name": "made", "arms": ARMS, "notes": NOTES, "datasets": {"breakhis": {"format": "breakhis"}}}
    content |= {"augmentations": {"none": [], "paper": [{"HorizontalFlip": {"p": 0.5}}, CROP]}}
    content |= {"comparisons": {"pairs": [], "magnification": 200, "draws": 10000, "seed": 0}}
    made = studies.study(**content | changes)
    return replace(made, models={arm.model: CNN if arm.family == "cnn" else VLM for arm in made.arms})


def claim(identity: str, published_verdict: str, study_verdict: str, effect: str = "", **texts: str) -> dict[str, str]:
    made = {
        "id": identity, "section": "4.2", "sentence": f"Sentence {identity} <of the paper> & more", "predicate": "above",
        "wording": "quotation" if identity == "three" else "paraphrase",
        "published_verdict": published_verdict, "published_evidence": "0.9408 is above 0.9405",
        "study_verdict": study_verdict, "effect": effect, "low": "", "high": "", "study_evidence": "0.91 against 0.90",
    }  # fmt: skip
    ends = {"low": f"{float(effect) - 0.01:.6f}", "high": f"{float(effect) + 0.01:.6f}"} if effect else {}
    return made | ends | texts


GROUPS = {"unit": "patient", "groups": 81, "benign_groups": 24, "malignant_groups": 57, "freedom": 19}


def interval(setting: dict[str, object], metric: str, value: float) -> dict[str, object]:
    ends = {"low": value - 0.04, "high": value + 0.03}
    ends |= {"folds": 5, "fold_mean": value - 0.01, "fold_mean_low": value - 0.05, "fold_mean_high": value + 0.04}
    ends |= {
        "accession_mean": value,
        "accession_low": value - 0.06,
        "accession_high": value + 0.05,
        "seeds": 1,
        "one_class": "",
        "few_groups": "",
    }
    return setting | {"metric": metric, "estimate": value, "level": 0.95, "images": 1995} | GROUPS | ends


def pair(
    setting: dict[str, object], first: str, second: str, values: tuple[float, float], p: float
) -> dict[str, object]:
    apart = values[0] - values[1]
    row = {key: value for key, value in setting.items() if key not in ("model", "mode")}
    row |= {"first": first, "second": second}
    row |= {"folds": 5, **GROUPS, "first_value": values[0], "second_value": values[1], "difference": apart}
    row |= {"effect_size": apart * 20, "low": apart - 0.02, "high": apart + 0.02, "pooled_difference": apart}
    row |= {"difference_low": apart - 0.03, "difference_high": apart + 0.03}
    row |= {"wilcoxon_p": 0.0625, "wilcoxon_floor": 0.0625, "nadeau_bengio_t": apart * 30, "nadeau_bengio_p": p}
    row |= {"bootstrap_p": p / 20, "sign_flip_p": 0.00009999, "holm_p": p}
    return row | ({"mcnemar_p": 1e-7} if row["metric"] == "accuracy" else {"delong_p": 0.00002})


def make(folder: Path) -> PageInput:
    """Write the study's CSVs and figures below `folder`; return what its page is built from."""
    made = study()
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    summary, intervals, comparisons = [], [], []
    for magnification in (40, 200):
        for augmentation in made.augmentations:
            for selection in ("last", "best_epoch"):
                values: dict[tuple[str, str], float] = {}
                for place, arm in enumerate(made.arms):
                    names = ("breakhis", arm.model, arm.mode, "patient", magnification, augmentation)
                    setting = dict(zip(ARM, names, strict=True)) | {"selection": selection}
                    means = {name: 0.8 + 0.03 * place + draw.random() / 30 for name in (*SCORES, "patient_rate")}
                    summary.append(
                        setting | {"folds": 5} | GROUPS | {f"{name}_mean": mean for name, mean in means.items()}
                    )
                    summary[-1] |= {f"{name}_std": draw.random() / 10 for name in means}
                    for metric in ("accuracy", "auc", "ece"):
                        values[f"{arm.model}/{arm.mode}", metric] = value = 0.8 + 0.03 * place + draw.random() / 30
                        intervals.append(interval(setting, metric, value))
                arms = dict.fromkeys(name for name, _ in values)
                for metric in ("accuracy", "auc") if selection == "last" else ():
                    for first, second in combinations(arms, 2):
                        both = values[first, metric], values[second, metric]
                        comparisons.append(pair(setting | {"metric": metric}, first, second, both, draw.random() / 15))
    claims = [
        claim("one", "holds", "supported", "0.021234567"),
        claim("two", "contradicted", "contradicted", "-0.031234567"),
        claim("three", "impossible", "not run"),
        claim("four", "implausible", "undecided", "0.00123"),
        claim("five", "not checkable", "not applicable", sentence='A "quoted", comma, sentence'),
    ]
    cost = {"runs": 5, "trainable": 21285185, "seconds": 1234.5, "training_seconds": 1111.1, "feature_seconds": 0.0,
            "images_per_second": 520.3,
            "host_mib": 612, "device_mib": "", "device": "cpu (x86_64)", "precision": "fp32",
            "versions": "python 3.11.7, torch 2.15.0"}  # fmt: skip
    spent = [{key: row[key] for key in ARM} | cost for row in summary if row["selection"] == "last"]
    gaps = [{"where": "alexnet/ft 40x fold 3", "what": "NaN logit in 2 images"}]
    results = {"intervals": (INTERVALS, intervals), "comparisons": (COMPARISONS, comparisons), "claims": (CLAIMS, claims),
               "gaps": (("where", "what"), gaps), "costs": (costs.COLUMNS, spent)}  # fmt: skip
    for name, (columns, rows) in results.items():
        write_csv(folder / f"{name}.csv", columns, rows)
    texts = [{key: str(value) for key, value in row.items()} for row in summary]
    tables = []
    for number in (4, 5):
        published = read_csv(
            Path(__file__).parents[2] / f"resources/papers/zhaksylyk-2026/tables/table{number}.csv", ()
        )
        table, beside = results_tables(texts, published, number, "last", made)
        prefix = folder / "tables" / f"table{number}"
        render.write(table, prefix, beside)
        tables += [Path(f"{prefix}.csv"), Path(f"{prefix}-beside-published.csv")]
    render.write(scores_table(texts, {}, made), folder / "tables" / "scores")
    census = [
        dict(zip(CENSUS_COLUMNS, map(str, (fold, label, 400, 16, 100 + fold, 4, 0, 0, 0, 0.1 * fold, 0)), strict=True))
        for fold in range(1, 6)
        for label in ("benign", "malignant")
    ]
    render.write(folds_table({("breakhis", "patient"): census}, made), folder / "tables" / "folds")
    figures, captions = folder / "figures", folder / "captions"
    figures.mkdir(exist_ok=True)
    captions.mkdir(exist_ok=True)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="700" height="200"><rect width="700" height="200"/>'
    (figures / "figure5.svg").write_text(f"{drawing}</svg>")
    (captions / "ladder.rst").write_text("The ladder.\n")
    (captions / "figure5.rst").write_text("Accuracy by magnification,\n*with* intervals.\n")
    (figures / "ladder.svg").write_text(f"{drawing}<!--{'x' * 300_000}--></svg>")
    (figures / "ladder.png").write_bytes(PIXEL)
    return PageInput(
        study=made,
        tables=[*tables, folder / "tables" / "scores.csv", folder / "tables" / "folds.csv"],
        figures=[figures / "figure5.svg", figures / "ladder.svg"],
        results={name: folder / f"{name}.csv" for name in results},
        captions=captions,
        commit="0123456789abcdef",
    )
