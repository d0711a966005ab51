"""The external test: scores of a study's runs on another dataset, and the rate of malignant calls in each of its classes.

Nothing was trained or chosen on that dataset. The model of every fold predicts all of its images, so the deviation over
folds comes from the models, not from the images.
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
from histobench.metrics import METRICS, decide
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
    """The predictions of one run for the N images of another dataset."""

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
        """Everything but the logits: equal in all files on the same images."""
        return self.image_id, *(tuple(values.tolist()) for values in (self.patient, self.group, self.label))


def read(path: Path) -> External:
    """Read what one run predicts on another dataset.

    Raises:
        HistoBenchError: the file or a column is missing, a value is invalid, an image occurs twice, a group has both labels,
            or one of the two labels does not occur.
    """
    labels: dict[str, str] = {}

    def other_label(row: Mapping[str, str]) -> str | None:
        if labels.setdefault(row["group"], row["label"]) == row["label"]:
            return None
        return f"group {row['group']} has label {row['label']} here and {labels[row['group']]} above"

    rows, label = read_rows(path, EXTERNAL, other_label)
    return External(
        image_id=tuple(row["image_id"] for row in rows),
        patient=np.array([row["patient"] for row in rows]),
        group=np.array([row["group"] for row in rows]),
        label=label,
        logit=np.array([float(row["logit"]) for row in rows]),
    )


def read_runs(paths: Iterable[Path]) -> tuple[dict[tuple[str, Run], External], list[Gap]]:
    """Read the predictions of many runs for other datasets; a file that cannot be used becomes a gap.

    All runs must predict the same images of a dataset: a file is left out if its images, patients, groups or labels are
    not those of most files. Where two versions are as frequent, the first one counts.

    Args:
        paths: files, named results/ON/predictions/DATASET/.../fold1.csv.

    Returns:
        The usable ones by dataset and run, in the order given, and the gaps.

    Raises:
        HistoBenchError: a path names no run, or two name the same one.
    """
    form = ".../ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1.csv"
    files = named(paths, of_external, form)
    found: dict[tuple[str, Run], External] = {}
    faults: dict[tuple[str, Run], str] = {}
    for key, path in files.items():
        try:
            found[key] = read(path)
        except HistoBenchError as error:
            faults[key] = str(error)
    for other in {on for on, _ in found}:
        members = {key: part for key, part in found.items() if key[0] == other}
        usual = Counter(part.images for part in members.values()).most_common(1)[0][0]
        example = next(key for key, part in members.items() if part.images == usual)
        for key in [key for key, part in members.items() if part.images != usual]:
            faults[key] = (
                f"{files[key]}: images, patients, groups or labels are not those of {files[example]} "
                f"({len(found.pop(key).label)} and {len(found[example].label)} images); "
                "delete the file that is wrong to have it made again"
            )
    gaps = [Gap(f"{on}/{run.arm}/fold{run.fold}", faults[on, run]) for on, run in files if (on, run) in faults]
    return found, gaps


def score_run(on: str, run: Run, predictions: External) -> Row:
    """Return the row of `external_metrics.csv` for one run."""
    scores = summary.all_scores(predictions.label, predictions.logit, predictions.patient)
    counts: Row = {"images": len(predictions.label), "patients": len(np.unique(predictions.patient))}
    key: Row = {"on": on, **asdict(run)}
    return key | scores | counts


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
