"""What a claim can be held against: the published tables, and the result files of a study.

Both answer in terms of *cells*: one score of one arm at one magnification in Table 4, 5 or 6. The paper has a printed
number for a cell; a study has an estimate with a 95 % interval for a cell or for a weighted sum of cells.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.metrics import SCORES

Rows = Sequence[Mapping[str, str]]
ALL, EXTERNAL = (4, 5), 6
"""Tables 4 and 5 hold the cross-validation without and with augmentation, Table 6 the external test."""

_ARM = ("dataset", "model", "mode", "split", "magnification", "augmentation")
_PAIR = ("dataset", "split", "magnification", "augmentation", "selection", "first", "second", "metric")
FILES: dict[str, tuple[str, ...]] = {
    "metrics": (*_ARM, "selection", "fold", "images", *SCORES),
    "summary": (*_ARM, "selection", "folds", "accuracy_mean", "accuracy_std"),
    "intervals": (*_ARM, "selection", "metric", "estimate", "low", "high"),
    "comparisons": (*_PAIR, "pooled_difference", "low", "high"),
    "external_metrics": (*_ARM, "on", "fold", *SCORES),
    "external_intervals": (*_ARM, "on", "metric", "estimate", "low", "high"),
    "parameters": ("model", "mode", "trainable"),
}
"""The result files of a study, and the columns of each that are read."""

_CELL = re.compile(r"table([456]) ([^/\s]+)/(\S+)(?: (\d+)x)? (\w+)")


class NotPublished(Exception):
    """The published tables have no such number; the message is a sentence."""


class NotRun(Exception):
    """The study lacks a file, an arm or an interval; the message is a sentence."""


@dataclass(frozen=True)
class Cell:
    """The mean of one score of one arm, in one of the paper's tables."""

    table: int
    """4, 5 or 6."""
    model: str
    """Name in print, which is the model's `label` in the configuration."""
    mode: str
    magnification: str
    """Of the images trained and tested on, for example `200`; empty in Table 6, whose headline has one."""
    metric: str

    @classmethod
    def parse(cls, address: str) -> "Cell":
        """Return the cell of an address such as `table4 SmolVLM/ft 200x accuracy` or `table6 ResNet34/ft auc`.

        Raises:
            ValueError: it is not of that form.
        """
        match = _CELL.fullmatch(address)
        if not match or match[5] not in SCORES or (match[1] == "6") == bool(match[4]):
            raise ValueError(
                f"{address!r} is no cell; write for example `table4 SmolVLM/ft 200x accuracy` or `table6 ResNet34/ft auc`"
            )
        table, model, mode, magnification, metric = match.groups()
        return cls(int(table), model, mode, magnification or "", metric)

    @property
    def arm(self) -> str:
        """Return for example `SmolVLM/ft`."""
        return f"{self.model}/{self.mode}"

    @property
    def setting(self) -> str:
        """Return where the cell stands, without its arm: for example `accuracy, 200X, Table 4`."""
        places = [self.metric, f"{self.magnification}X" if self.magnification else "", f"Table {self.table}"]
        return ", ".join(filter(None, places))


Terms = Mapping[Cell, Fraction]
"""A weighted sum of cells."""


class Patient(NamedTuple):
    """A patient folder of the BreakHis archive, which is a pair of subtype and slide."""

    malignant: bool
    slide: str
    accession: str
    images: tuple[int, ...]
    """Number of images at each magnification of Table 1, in its order."""


@dataclass(frozen=True)
class Paper:
    """The published numbers, and what is known of the things that they are about."""

    tables: Mapping[int, Rows]
    """Rows of Tables 1 to 7."""
    patients: Sequence[Patient] = ()
    """The official census of BreakHis; may be empty."""
    models: Mapping[str, Mapping] = field(default_factory=dict)
    """For the name in print of each vision-language model, its true architecture: the keys of its published
    `config.json` that matter (`text_config`, `vision_config`)."""

    def row(self, cell: Cell) -> Mapping[str, str]:
        """Return the row of Table 4, 5 or 6 that a cell stands in.

        Raises:
            NotPublished: there is none.
        """
        for row in self.tables[cell.table]:
            if (row["model"], row["mode"], row.get("magnification", "")) == (cell.model, cell.mode, cell.magnification):
                return row
        where = f" at {cell.magnification}X" if cell.magnification else ""
        raise NotPublished(f"Table {cell.table} has no row {cell.arm}{where}")

    def value(self, cell: Cell) -> Fraction:
        """Return the printed mean, exactly as printed."""
        return Fraction(self.row(cell)[f"{cell.metric}_mean"])

    def images(self, column: str) -> dict[str, int]:
        """Return a column of Table 1 for each magnification."""
        return {row["magnification"]: int(row[column]) for row in self.tables[1] if row["magnification"].isdecimal()}

    def hyperparameter(self, name: str) -> str:
        """Return a value of Table 3."""
        return next(row["value"] for row in self.tables[3] if row["hyperparameter"] == name)


@dataclass(frozen=True)
class Estimate:
    """A number of a study and its 95 % interval."""

    effect: float
    low: float
    high: float
    freedom: float = math.inf
    """Degrees of freedom of a t interval; infinite for a bootstrap interval."""

    def widened(self, cases: int) -> "Estimate":
        """Return the interval for one of several cases: simultaneously 95 %, by Bonferroni.

        Both ends move away from the effect by the ratio of the quantiles at 1 - 0.025 / cases and at 0.975, those of
        Student's t or of the normal distribution. For a bootstrap interval this is an approximation.
        """
        from scipy.special import ndtri, stdtrit

        wide, narrow = (
            float(ndtri(share) if math.isinf(self.freedom) else stdtrit(self.freedom, share))
            for share in (1 - 0.025 / cases, 0.975)
        )
        low, high = (self.effect + (end - self.effect) * wide / narrow for end in (self.low, self.high))
        return Estimate(self.effect, low, high, self.freedom)


@dataclass(frozen=True)
class Study:
    """The result files of a study, as rows of text; None where there is no such file."""

    names: Mapping[str, str]
    """Name in print of each model."""
    dataset: str
    split: str
    augmentations: Mapping[int, str]
    """The augmentation of Tables 4 and 5."""
    table6: Mapping[str, str] = field(default_factory=dict)
    """What Table 6 shows: `on`, `dataset`, `split`, `magnification` and `augmentation`; empty without an external test."""
    metrics: Rows | None = None
    summary: Rows | None = None
    intervals: Rows | None = None
    comparisons: Rows | None = None
    external_metrics: Rows | None = None
    external_intervals: Rows | None = None
    parameters: Rows | None = None

    def estimate(self, terms: Terms) -> Estimate:
        """Return a weighted sum of cells with its interval.

        A single cell has the patient-clustered bootstrap interval of intervals.csv, or in Table 6 of
        external_intervals.csv, the difference of two arms in one setting of Tables 4 and 5 the paired one of
        comparisons.csv. Any other sum (across augmentations,
        magnifications, datasets, or of several differences) is formed fold by fold from the scores of metrics.csv and
        external_metrics.csv, and its interval is the corrected t interval of Nadeau and Bengio 2003 (Machine Learning
        52, 239-281), eq. 9: mean ± t(k - 1) x sd x sqrt(1/k + n_test/n_train). Where the external test is
        part of a sum, that interval speaks of training on other patients, not of other external images.

        Raises:
            NotRun: what that takes is not there.
        """
        if list(terms.values()) == [1]:
            return self._interval(*terms)
        inner = [cell for cell in terms if cell.table in ALL]
        if len(terms) == len(inner) == 2 and len({cell.setting for cell in inner}) == 1:
            first = next((cell for cell in inner if terms[cell] == 1), None)
            second = next((cell for cell in inner if terms[cell] == -1), None)
            if first and second:
                return self._comparison(first, second)
        return self._over_folds(terms)

    def unaugmented(self) -> Rows:
        """Return the rows of summary.csv that Table 4 is made of."""
        wanted = {
            "dataset": self.dataset,
            "split": self.split,
            "augmentation": self.augmentations[4],
            "selection": "last",
        }
        return _select(self.summary, "summary.csv", wanted)

    def deviation(self, cell: Cell) -> float:
        """Return the standard deviation over folds of a cell of Tables 4 and 5."""
        row = self._find(self.summary, "summary.csv", cell)
        return _number(row[f"{cell.metric}_std"], f"{cell.arm} has no deviation ({cell.setting})")

    def mean(self, cell: Cell) -> float:
        """Return the mean over folds of a cell of Tables 4 and 5."""
        return float(self._find(self.summary, "summary.csv", cell)[f"{cell.metric}_mean"])

    def trainable(self, model: str, mode: str) -> int:
        """Return the exact number of trained parameters of an arm."""
        if self.parameters is None:
            raise NotRun("there is no table of parameters")
        key = self.key(model)
        for row in self.parameters:
            if (row["model"], row["mode"]) == (key, mode):
                return int(row["trainable"])
        raise NotRun(f"the study has no arm {model}/{mode}")

    def key(self, model: str) -> str:
        """Return the name in the configuration of a model by its name in print."""
        keys = [key for key, name in self.names.items() if name == model]
        if not keys:
            raise NotRun(f"the study has no model {model}")
        if len(keys) > 1:
            raise HistoBenchError(
                f"models {' and '.join(keys)} are both named {model!r} in print, but claims find a model by that name; "
                "give each its own `label` in the configuration"
            )
        return keys[0]

    def _place(self, cell: Cell) -> dict[str, str]:
        """Return the columns that say where a cell of Tables 4 and 5 stands, its arm and metric apart."""
        return {
            "magnification": cell.magnification,
            "augmentation": self.augmentations[cell.table],
            "split": self.split,
            "dataset": self.dataset,
            "selection": "last",
        }

    def _arm(self, cell: Cell) -> dict[str, str]:
        return {"model": self.key(cell.model), "mode": cell.mode}

    def _find(self, rows: Rows | None, file: str, cell: Cell, **more: str) -> Mapping[str, str]:
        found = _select(rows, file, self._arm(cell) | more | self._place(cell))
        if not found:
            raise NotRun(f"{file} has no row for {cell.arm} ({cell.setting})")
        return found[0]

    def _find_external(self, rows: Rows | None, file: str, cell: Cell, **more: str) -> list[Mapping[str, str]]:
        if not self.table6:
            raise NotRun("the study has no external test")
        found = _select(rows, file, self._arm(cell) | more | dict(self.table6))
        if not found:
            raise NotRun(f"{file} has no row for {cell.arm} ({cell.setting})")
        return found

    def _interval(self, cell: Cell) -> Estimate:
        if cell.table in ALL:
            row = self._find(self.intervals, "intervals.csv", cell, metric=cell.metric)
        else:
            row = self._find_external(self.external_intervals, "external_intervals.csv", cell, metric=cell.metric)[0]
        return _estimate(row, "estimate", cell.arm, cell.setting)

    def _comparison(self, first: Cell, second: Cell) -> Estimate:
        keys = [f"{self.key(cell.model)}/{cell.mode}" for cell in (first, second)]
        pair = f"{first.arm} and {second.arm}"
        for (one, other), sign in ((keys, 1), (keys[::-1], -1)):
            wanted = {"first": one, "second": other, "metric": first.metric} | self._place(first)
            found = _select(self.comparisons, "comparisons.csv", wanted)
            if found:
                value = _estimate(found[0], "pooled_difference", pair, first.setting)
                return value if sign > 0 else Estimate(-value.effect, -value.high, -value.low)
        raise NotRun(f"comparisons.csv does not compare {pair} ({first.setting})")

    def _over_folds(self, terms: Terms) -> Estimate:
        sides = {cell: self._scores(cell) for cell in terms}
        folds = set.intersection(*map(set, sides.values()))
        if any(set(side) != folds for side in sides.values()) or len(folds) < 2:
            cell = next(iter(terms))
            raise NotRun(f"the arms do not share two or more complete folds ({cell.arm}, {cell.setting})")
        values = np.array([sum(float(weight) * sides[cell][fold] for cell, weight in terms.items()) for fold in folds])
        return corrected_t(values, self._test_to_train([cell for cell in terms if cell.table in ALL], len(folds)))

    def _scores(self, cell: Cell) -> dict[str, float]:
        """Return fold -> score of one arm."""
        if cell.table == EXTERNAL:
            found = self._find_external(self.external_metrics, "external_metrics.csv", cell)
        else:
            found = _select(self.metrics, "metrics.csv", self._arm(cell) | self._place(cell))
        if not found:
            raise NotRun(f"metrics.csv has no row for {cell.arm} ({cell.setting})")
        return {row["fold"]: _number(row[cell.metric], f"{cell.arm} has no {cell.metric}") for row in found}

    def _test_to_train(self, cells: Sequence[Cell], folds: int) -> float:
        """Return the mean over folds of test images to training images; 1 / (k - 1) for an external test alone."""
        if not cells:
            return 1 / (folds - 1)
        rows = _select(self.metrics, "metrics.csv", self._arm(cells[0]) | self._place(cells[0]))
        sizes = np.array([float(row["images"]) for row in rows])
        return float(np.mean(sizes / (sizes.sum() - sizes)))


def corrected_t(values: np.ndarray, test_to_train: float) -> Estimate:
    """Return the mean of fold scores with Nadeau and Bengio's corrected 95 % t interval.

    Args:
        values: (k,) one number per fold.
        test_to_train: images tested on over images trained on.
    """
    from scipy.special import stdtrit

    folds = len(values)
    half = stdtrit(folds - 1, 0.975) * values.std(ddof=1) * math.sqrt(1 / folds + test_to_train)
    mean = float(values.mean())
    return Estimate(mean, mean - float(half), mean + float(half), folds - 1)


def read_optional(path: Path | None, columns: Sequence[str]) -> Rows | None:
    """Read a result file of a study, or return None where there is none."""
    return read_csv(path, columns) if path is not None and Path(path).is_file() else None


def patients(images: Iterable, magnifications: Sequence[int] = (40, 100, 200, 400)) -> list[Patient]:
    """Return the patient folders of a dataset in the order in which they first occur.

    Args:
        images: things with `label` (benign or malignant), `subtype`, `slide`, `accession` and `magnification`.
        magnifications: order of the counts.
    """
    counts: dict[tuple[str, str, str, str], list[int]] = {}
    for image in images:
        key = image.label, image.subtype, image.slide, image.accession
        counts.setdefault(key, [0] * len(magnifications))[magnifications.index(image.magnification)] += 1
    return [
        Patient(label == "malignant", slide, accession, tuple(numbers))
        for (label, _, slide, accession), numbers in counts.items()
    ]


def _select(rows: Rows | None, file: str, wanted: Mapping[str, str]) -> list[Mapping[str, str]]:
    """Return the rows that hold the wanted texts."""
    if rows is None:
        raise NotRun(f"there is no {file}")
    items = list(wanted.items())
    return [row for row in rows if all(row[column] == value for column, value in items)]


def _estimate(row: Mapping[str, str], column: str, what: str, setting: str) -> Estimate:
    fault = f"no interval of {what} ({setting})"
    return Estimate(*(_number(row[name], fault) for name in (column, "low", "high")))


def _number(text: str, fault: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NotRun(fault)
    return value
