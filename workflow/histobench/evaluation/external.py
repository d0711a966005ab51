"""What the runs of a study say about another dataset: scores, and the rate of malignant calls in each of its classes.

Nothing was trained or chosen on that dataset. Every fold's model predicts all of its images, so that the deviation over
folds is that of the models, not of the images.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from histobench.evaluation import summary
from histobench.evaluation.predictions import Gap, named, read_rows
from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, PATIENT_RATE, decide, patient_rate, scores
from histobench.study.run_files import EXTERNAL
from histobench.study.runs import Run, of_external

KEYS = ("on", *ARM)
METRICS_COLUMNS = (*KEYS, "fold", *METRICS, "images", "patients")
SUMMARY_COLUMNS = (*KEYS, "folds", *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")))
RATE = "malignant_rate"
GROUPS_COLUMNS = (*KEYS, "group", "label", "fold", "images", "malignant_calls", RATE, f"{RATE}_std")
MEAN = "mean"
"""In the column `fold`: the row holds mean and sample standard deviation over folds."""

Row = dict[str, object]


@dataclass(frozen=True)
class External:
    """What one run says about the N images of another dataset."""

    image_id: tuple[str, ...]
    patient: np.ndarray
    """(N,) text."""
    group: np.ndarray
    """(N,) text: the class of the dataset, for example normal, benign, insitu or invasive."""
    label: np.ndarray
    """(N,) int8: 0 benign, 1 malignant; both occur."""
    logit: np.ndarray
    """(N,) float64, finite."""

    @property
    def images(self) -> tuple[object, ...]:
        """What files on the same images have in common."""
        return self.image_id, *(tuple(values.tolist()) for values in (self.patient, self.group, self.label))


def read(path: Path) -> External:
    """Read what one run predicts on another dataset.

    Raises:
        HistoBenchError: the file or a column is missing, a row is not what its columns hold, an image occurs twice, a
            group has both labels, or one of the two labels does not occur.
    """
    labels: dict[str, str] = {}

    def odd(row: Mapping[str, str]) -> str | None:
        if labels.setdefault(row["group"], row["label"]) == row["label"]:
            return None
        return f"group {row['group']} has label {row['label']} here and {labels[row['group']]} above"

    rows, label = read_rows(path, EXTERNAL, odd)
    return External(
        image_id=tuple(row["image_id"] for row in rows),
        patient=np.array([row["patient"] for row in rows]),
        group=np.array([row["group"] for row in rows]),
        label=label,
        logit=np.array([float(row["logit"]) for row in rows]),
    )


def read_runs(paths: Iterable[Path]) -> tuple[dict[tuple[str, Run], External], list[Gap]]:
    """Read what many runs predict on other datasets; a file that cannot be used is a gap, and the others are read.

    All runs must predict the same images of a dataset: a file is left out if its images, patients, groups or labels are
    not those of most files. Where two versions are as frequent, the first one counts.

    Args:
        paths: files whose folders say which they are, results/ON/predictions/DATASET/.../fold1.csv.

    Returns:
        The usable ones by dataset and run, in the order given, and the gaps.

    Raises:
        HistoBenchError: a path names no run, or two name the same one.
    """
    form = ".../ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1.csv"
    files = named(paths, of_external, form)
    found: dict[tuple[str, Run], External] = {}
    versions: dict[str, Counter[tuple[object, ...]]] = {}
    faults: dict[tuple[str, Run], str] = {}
    for key, path in files.items():
        try:
            found[key] = read(path)
        except HistoBenchError as error:
            faults[key] = str(error)
        else:
            versions.setdefault(key[0], Counter())[found[key].images] += 1
    usual = {on: counts.most_common(1)[0][0] for on, counts in versions.items()}
    examples = {on: next(key for key in found if key[0] == on and found[key].images == usual[on]) for on in usual}
    for key in [key for key, part in found.items() if part.images != usual[key[0]]]:
        example = examples[key[0]]
        faults[key] = (
            f"{files[key]}: images, patients, groups or labels are not those of {files[example]} "
            f"({len(found.pop(key).label)} and {len(found[example].label)} images); "
            "delete the file that is wrong to have it made again"
        )
    gaps = [Gap(f"{on}/{run.arm}/fold{run.fold}", faults[on, run]) for on, run in files if (on, run) in faults]
    return found, gaps


def score_run(on: str, run: Run, predictions: External) -> Row:
    """Return the row of `external_metrics.csv` for one run."""
    return (
        {"on": on}
        | asdict(run)
        | scores(predictions.label, predictions.logit)
        | {
            PATIENT_RATE: patient_rate(predictions.label, predictions.logit, predictions.patient),
            "images": len(predictions.label),
            "patients": len(np.unique(predictions.patient)),
        }
    )


def group_rates(on: str, run: Run, predictions: External) -> list[Row]:
    """Return for each class of the dataset how many of its images one run calls malignant; benign classes first."""
    called = decide(predictions.logit)
    rows: list[Row] = []
    for label in (0, 1):
        for group in dict.fromkeys(predictions.group[predictions.label == label].tolist()):
            own = called[predictions.group == group]
            counts = {"images": len(own), "malignant_calls": int(own.sum()), RATE: float(own.mean())}
            rows.append({"on": on} | asdict(run) | {"group": group, "label": label} | counts)
    return rows


def summarise(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """Return the rows of `external_summary.csv`: for each arm mean and sample standard deviation over folds.

    Args:
        rows: those of :func:`score_run`.
    """
    return summary.summarise(rows, KEYS)


def with_means(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """Return rows of :func:`group_rates`, and after those of each arm and class one with their mean over folds."""
    keys = (*KEYS, "group", "label")
    table: list[Row] = []
    for average in summary.summarise(rows, keys, (RATE,)):
        key = {name: average[name] for name in keys}
        members = [dict(row) for row in rows if all(row[name] == value for name, value in key.items())]
        spread = {RATE: average[f"{RATE}_mean"], f"{RATE}_std": average[f"{RATE}_std"]}
        table += [*members, key | {"fold": MEAN, "images": members[0]["images"]} | spread]
    return table
