"""What a study says about cells of the published tables: estimates with 95 % intervals, from its result files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from histobench.claims.table_cells import CROSS_VALIDATION, EXTERNAL, Cell, Row, Terms, Unavailable, arm_name
from histobench.io.files import read_csv
from histobench.study import paper
from histobench.study.resolved import Study

FILES = ("metrics", "summary", "intervals", "comparisons", "external_metrics", "external_intervals", "parameters")
"""The result files of a study that claims are compared with, without `.csv`."""


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

        The distance of both ends from the effect grows by the ratio of the quantiles at 1 - 0.025 / cases and at 0.975,
        those of Student's t or of the normal distribution. For a bootstrap interval this is an approximation.
        """
        from scipy.special import ndtri, stdtrit

        wide, narrow = (
            float(ndtri(share) if math.isinf(self.freedom) else stdtrit(self.freedom, share))
            for share in (1 - 0.025 / cases, 0.975)
        )
        low, high = (self.effect + (end - self.effect) * wide / narrow for end in (self.low, self.high))
        return Estimate(self.effect, low, high, self.freedom)


def corrected_t(values: np.ndarray, test_to_train: float) -> Estimate:
    """Return the mean of fold scores with the corrected 95 % t interval.

    Nadeau and Bengio 2003 (Machine Learning 52, 239-281), eq. 9: mean ± t(k - 1) x sd x sqrt(1/k + n_test/n_train).

    Args:
        values: (k,) one number per fold.
        test_to_train: images tested on over images trained on.
    """
    from scipy.special import stdtrit

    folds = len(values)
    half = float(stdtrit(folds - 1, 0.975) * values.std(ddof=1) * math.sqrt(1 / folds + test_to_train))
    mean = float(values.mean())
    return Estimate(mean, mean - half, mean + half, folds - 1)


@dataclass(frozen=True)
class Results:
    """The result files of a study."""

    study: Study
    files: Mapping[str, Sequence[Row]]
    """Name in :data:`FILES` -> rows; a file that does not exist has no entry."""

    def estimate(self, terms: Terms) -> Estimate:
        """Return a weighted sum of cells with its interval.

        - A single cell: the mean over folds with the patient-clustered bootstrap interval of intervals.csv, in Table 6 of
          external_intervals.csv.
        - The difference of two arms in one setting of Tables 4 and 5: the paired interval of comparisons.csv.
        - Any other sum (across augmentations, magnifications or datasets, or of several differences): formed fold by fold
          from metrics.csv and external_metrics.csv, with the interval of :func:`corrected_t`. Where the external test is
          part of the sum, the interval accounts for training on other patients, not for other external images.

        Raises:
            Unavailable: the study lacks a file, an arm or an interval.
        """
        cell = next(iter(terms))
        if list(terms.values()) == [1]:
            columns = ("estimate", "low", "high") if cell.table == EXTERNAL else _ends("fold_mean")
            return _estimate(self._rows("intervals", cell, metric=cell.metric)[0], columns, cell.arm, cell)
        if len({cell.setting for cell in terms}) == 1 and sorted(terms.values()) == [-1, 1] and cell.table != EXTERNAL:
            first, second = sorted(terms, key=terms.__getitem__, reverse=True)
            return self._comparison(first, second)
        return self._over_folds(terms)

    def summary(self, cell: Cell, statistic: str) -> float:
        """Return the `mean` or the `std` over folds of a cell of Tables 4 and 5."""
        text = self._rows("summary", cell)[0][f"{cell.metric}_{statistic}"]
        return _number(text, f"{cell.arm} has no deviation ({cell.setting})")

    def table4(self) -> list[Row]:
        """Return the rows of summary.csv that Table 4 is made of."""
        return self._select("summary", self._columns(4))

    def arm(self, row: Row) -> str:
        """Return the arm of a row as claims name it, with the model's name in print."""
        return f"{self.study.label(row['model'])}/{row['mode']}"

    def trainable(self, model: str, mode: str) -> int:
        """Return the exact number of trained parameters of an arm."""
        for row in self._select("parameters", {"model": self._name(model), "mode": mode}):
            return int(row["trainable"])
        raise Unavailable(f"the study has no arm {arm_name(f'{model}/{mode}')}")

    def _name(self, label: str) -> str:
        for name, text in self.study.labels.items():
            if text == label:
                return name
        raise Unavailable(f"the study has no {label} that is trained and tested as in the paper")

    def _columns(self, table: int) -> dict[str, str]:
        """Return the columns that select the rows of Table 4, 5 or 6."""
        study = self.study
        if table == EXTERNAL and not study.table6:
            raise Unavailable("the study has no external test")
        if table == EXTERNAL:
            return study.table6
        place = {"dataset": study.dataset, "split": study.split, "selection": "last"}
        return place | {"augmentation": study.numbered[table]}

    def _place(self, cell: Cell) -> dict[str, str]:
        return self._columns(cell.table) | ({"magnification": cell.magnification} if cell.magnification else {})

    def _select(self, file: str, wanted: Row) -> list[Row]:
        if file not in self.files:
            raise Unavailable(f"there is no {file}.csv")
        return [row for row in self.files[file] if all(row[column] == value for column, value in wanted.items())]

    def _rows(self, file: str, cell: Cell, **more: str) -> list[Row]:
        """Return the rows of a cell, at least one, in `file` or its counterpart for the external test."""
        arm = {"model": self._name(cell.model), "mode": cell.mode}
        file = f"external_{file}" if cell.table == EXTERNAL else file
        found = self._select(file, arm | self._place(cell) | more)
        if not found:
            raise Unavailable(f"{file}.csv has no row for {cell.arm} ({cell.setting})")
        return found

    def _comparison(self, first: Cell, second: Cell) -> Estimate:
        names = [f"{self._name(cell.model)}/{cell.mode}" for cell in (first, second)]
        pair = f"{first.arm} and {second.arm}"
        for (one, other), sign in ((names, 1), (names[::-1], -1)):
            columns = {"first": one, "second": other, "metric": first.metric} | self._place(first)
            for row in self._select("comparisons", columns):
                value = _estimate(row, _ends("difference"), pair, first)
                return value if sign > 0 else Estimate(-value.effect, -value.high, -value.low)
        raise Unavailable(f"comparisons.csv does not compare {pair} ({first.setting})")

    def _over_folds(self, terms: Terms) -> Estimate:
        scores = {
            cell: {
                row["fold"]: _number(row[cell.metric], f"{cell.arm} has no {cell.metric}")
                for row in self._rows("metrics", cell)
            }
            for cell in terms
        }
        cell = next(iter(terms))
        folds = list(scores[cell])
        if any(set(of_fold) != set(folds) for of_fold in scores.values()) or len(folds) < 2:
            raise Unavailable(f"the arms do not share two or more complete folds ({cell.arm}, {cell.setting})")
        values = np.array([sum(float(weight) * scores[cell][fold] for cell, weight in terms.items()) for fold in folds])
        inner = next((cell for cell in terms if cell.table in CROSS_VALIDATION), None)
        if inner is None:  # the external test alone: of k folds, one is tested on where k - 1 are trained on
            return corrected_t(values, 1 / (len(folds) - 1))
        sizes = np.array([float(row["images"]) for row in self._rows("metrics", inner)])
        return corrected_t(values, float(np.mean(sizes / (sizes.sum() - sizes))))


def read_results(study: Study, paths: Mapping[str, Path | None]) -> Results:
    """Return the result files of a study, without the arms and settings that are not the paper's.

    Args:
        study: the resolved study.
        paths: name in :data:`FILES` -> path; a name may be absent, and so may the file. Other names are ignored.
    """
    found = {name: path for name in FILES if (path := paths.get(name)) is not None and Path(path).is_file()}
    study = replace(study, arms=paper.arms(study))
    names = {"/".join(arm.key) for arm in study.arms}
    other = {name for table, name in study.numbered.items() if not paper.is_augmentation(study, table)}

    def belongs(row: Row) -> bool:
        arms = {row["first"], row["second"]} if "first" in row else {f"{row['model']}/{row['mode']}"}
        elsewhere = "on" in row and study.datasets[row["on"]]["format"] != "bach"
        return arms <= names and row.get("augmentation") not in other and not elsewhere

    return Results(study, {name: [row for row in read_csv(path, ()) if belongs(row)] for name, path in found.items()})


def _ends(column: str) -> tuple[str, ...]:
    return column, f"{column}_low", f"{column}_high"


def _estimate(row: Row, columns: Sequence[str], what: str, cell: Cell) -> Estimate:
    fault = f"no interval of {what} ({cell.setting})"
    return Estimate(*(_number(row[name], fault) for name in columns))


def _number(text: str, fault: str) -> float:
    """Return a number of a table; it may be empty or nan, where a score or an interval is undefined."""
    value = float(text or "nan")
    if math.isfinite(value):
        return value
    raise Unavailable(fault)
