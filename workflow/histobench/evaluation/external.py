"""The external test: scores of a study's runs on another dataset, and the rate of malignant calls in each of its classes.

Nothing was trained or chosen on that dataset. The model of every fold predicts all of its images, so the deviation over
folds comes from the models, not from the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from histobench.evaluation import summary
from histobench.evaluation.predictions import AGAIN, Gap, Predictions, named, read
from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, all_scores, decide
from histobench.study.runs import Run, of_external

KEYS = ("on", "scale", *ARM)
METRICS_COLUMNS = (*KEYS, "seed", "fold", *METRICS, "images", *summary.GROUPS, "malignant_calls")
SUMMARY_COLUMNS = (
    "on",
    "scale",
    *(name for name in summary.SUMMARY_COLUMNS if name not in ("selection", "few_groups", *summary.GROUPS)),
)
RATE = "malignant_rate"
GROUPS_COLUMNS = (*KEYS, "class", "label", "seed", "fold", "images", "malignant_calls", RATE, f"{RATE}_std")
MEAN = "mean"
"""In the column `fold`: the row holds mean and sample standard deviation over folds."""

Row = dict[str, object]


Tested = tuple[str, str, Run]
"""The dataset that is evaluated on, the scale of its images, and the run."""


def read_runs(paths: Iterable[Path]) -> tuple[dict[Tested, Predictions], list[Gap]]:
    """Read the predictions of many runs for other datasets; a file that cannot be used becomes a gap.

    Args:
        paths: files, named results/ON-KEY/predictions/SCALE-KEY/DATASET-KEY/.../fold1.csv.

    Returns:
        The usable ones by dataset, scale and run, in the order given, and the gaps.

    Raises:
        HistoBenchError: a path names no run, two name the same one, or two files are not about the same images of a dataset.
    """
    form = ".../ON-KEY/predictions/SCALE-KEY/DATASET-KEY/MODEL/MODE/SPLIT/40x/AUGMENTATION-KEY/seed0/fold1.csv"
    found: dict[Tested, Predictions] = {}
    gaps = []
    examples: dict[str, tuple[Path, list[tuple]]] = {}
    for (on, scale, run), path in named(paths, of_external, form).items():
        try:
            part = found[on, scale, run] = read(path)
        except HistoBenchError as error:
            gaps.append(Gap.of(f"{on}/{scale}/{run}", path, error))
            continue
        images = [part.image_id, part.classes, part.group.tolist(), part.label.tolist()]
        example, expected = examples.setdefault(on, (path, images))
        if images != expected:
            raise HistoBenchError(
                f"{path}: images, patients, groups or labels are not those of {example} "
                f"({len(images[0])} and {len(expected[0])} images); {AGAIN}"
            )
    return found, gaps


def score_run(on: str, scale: str, run: Run, predictions: Predictions) -> Row:
    """Return the row of `external_metrics.csv` for one run."""
    scores = all_scores(predictions.label, predictions.logit["last"], predictions.group)
    calls = int(decide(predictions.logit["last"]).sum())
    return {
        "on": on,
        "scale": scale,
        **asdict(run),
        **scores,
        **summary.counts([predictions]),
        "malignant_calls": calls,
    }


def group_rates(on: str, scale: str, run: Run, predictions: Predictions) -> list[Row]:
    """Return for each class of the dataset how many of its images one run calls malignant; benign classes first."""
    called, groups = decide(predictions.logit["last"]), np.array(predictions.classes)
    rows: list[Row] = []
    for label in (0, 1):
        for group in dict.fromkeys(groups[predictions.label == label].tolist()):
            own = called[groups == group]
            counts = {"images": len(own), "malignant_calls": int(own.sum()), RATE: float(own.mean())}
            rows.append({"on": on, "scale": scale} | asdict(run) | {"class": group, "label": label} | counts)
    return rows


def with_means(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """Return rows of :func:`group_rates`, and after those of each arm and class one with their mean over folds."""
    keys = (*KEYS, "class", "label")
    table: list[Row] = []
    for average in summary.summarise(rows, keys, (RATE,)):
        key = {name: average[name] for name in keys}
        members = [dict(row) for row in rows if all(row[name] == value for name, value in key.items())]
        spread = {RATE: average[f"{RATE}_mean"], f"{RATE}_std": average[f"{RATE}_std"]}
        table += [*members, key | {"fold": MEAN, "images": members[0]["images"]} | spread]
    return table
