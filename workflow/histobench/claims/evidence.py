"""What a study says about cells of the published tables: estimates with 95 % intervals, from its result files."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from histobench.claims.table_cells import Cell, Row, Terms, Unavailable, arm_name, table_title
from histobench.evaluation.bootstrap import interval
from histobench.evaluation.comparisons import DRAWS, name_of_draws
from histobench.io.files import read_csv
from histobench.study import paper
from histobench.study.resolved import Study
from histobench.study.run_files import HISTORY
from histobench.study.runs import Run

Key = TypeVar("Key")

CROSS_VALIDATION = {"table4": 4, "table5": 5}
"""The tables of the paper that have the cross-validation without and with augmentation, with their numbers in a study."""
EXTERNAL = "table6"
"""Its table of the external test."""
FILES = ("metrics", "summary", "intervals", "external_intervals", "parameters")
"""The result files of a study that claims are compared with, without `.csv`."""


@dataclass(frozen=True)
class Estimate:
    """A number of a study and its interval."""

    effect: float
    ends: Callable[[int], tuple[float, float]]
    """Number of cases -> the interval of one of them; the intervals of all are simultaneously 95 % (Bonferroni)."""
    basis: str = ""
    """What is random: a clause that ends the evidence."""

    @property
    def low(self) -> float:
        """Return the lower end of the 95 % interval."""
        return self.ends(1)[0]

    @property
    def high(self) -> float:
        """Return the upper end of the 95 % interval."""
        return self.ends(1)[1]


@dataclass(frozen=True)
class Drawn:
    """The mean over folds of a cell, or of a sum of cells, in a study and in each bootstrap draw of it."""

    effect: float
    draws: np.ndarray
    """(draws,) float32 or float64; cells of a dataset share the drawn groups, so that a sum of draws is paired."""
    freedom: float
    """Degrees of freedom of the interval: the smallest of the cells."""
    units: frozenset[str]
    """What is resampled, for example `patients`."""
    seeds: int
    """Number of seeds that were trained: the smallest of the cells."""

    def estimate(self) -> Estimate:
        """Return the effect with the interval of :func:`histobench.evaluation.bootstrap.interval`."""
        training = "one seed: training variance is not included"
        if self.seeds > 1:
            training = f"{self.seeds} seeds: training variance is included"
        basis = f"{' and '.join(sorted(self.units))} resampled, {training}"
        return Estimate(self.effect, lambda cases: interval(self.effect, self.draws, self.freedom, cases=cases), basis)


def total(parts: Iterable[tuple[float, Drawn]]) -> Drawn:
    """Return a weighted sum, formed in each draw."""
    weights, cells = zip(*parts, strict=True)
    return Drawn(
        sum(weight * cell.effect for weight, cell in zip(weights, cells, strict=True)),
        np.sum([weight * cell.draws for weight, cell in zip(weights, cells, strict=True)], axis=0),
        min(cell.freedom for cell in cells),
        frozenset().union(*(cell.units for cell in cells)),
        min(cell.seeds for cell in cells),
    )


@dataclass(frozen=True)
class Results:
    """The result files of a study."""

    study: Study
    files: Mapping[str, Sequence[Row]]
    """Name in :data:`FILES` -> rows; a file that does not exist has no entry."""
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    """Name in :data:`DRAWS` -> name of an array -> (draws,) mean over folds of a score in each bootstrap draw."""
    histories: Mapping[Run, Row] = field(default_factory=dict)
    """Run -> last row of its history.csv."""

    def estimate(self, terms: Terms) -> Estimate:
        """Return a weighted sum of cells, means over folds, with its bootstrap interval.

        The sum is formed in each draw, so that it is paired over groups and images. The external test resamples its own
        images, independently.

        Raises:
            Unavailable: the study lacks a file, an arm or an interval.
        """
        return total((float(weight), self.drawn(cell)) for cell, weight in terms.items()).estimate()

    def drawn(self, cell: Cell) -> Drawn:
        """Return a cell: the `fold_mean` of intervals.csv, in Table 6 the `estimate` of external_intervals.csv.

        Raises:
            Unavailable: the study lacks it.
        """
        file, columns = "draws", ("fold_mean", "fold_mean_low", "freedom")
        if cell.table == EXTERNAL:
            file, columns = "external_draws", ("estimate", "low", "freedom")
        row = self._rows("intervals", cell, metric=cell.metric)[0]
        if file not in self.draws:
            raise Unavailable(f"there is no {file}.npz")
        key, fault = name_of_draws(row, file), f"no interval of {cell.arm} ({cell.setting})"
        if key not in self.draws[file]:
            raise Unavailable(fault)
        effect, _, freedom = (_number(row[name], fault) for name in columns)
        unit = f"images of {row['on'].upper()} (by patient where known)" if "on" in row else f"{row['unit']}s"
        return Drawn(effect, self.draws[file][key], freedom, frozenset({unit}), int(row["seeds"]))

    def fold_scores(self, cell: Cell) -> dict[str, float]:
        """Return fold -> score of a cell of Tables 4 and 5, a mean over seeds."""
        fault = f"{cell.arm} has no {cell.metric}"
        return _means((row["fold"], _number(row[cell.metric], fault)) for row in self._rows("metrics", cell))

    def final_losses(self, arm: str, loss: str) -> dict[tuple[int, int], float]:
        """Return magnification and fold -> a column of history.csv after the last epoch, a mean over seeds.

        Args:
            arm: `MODEL/MODE`, in the setting of Table 4.
            loss: the column.

        Raises:
            Unavailable: there is none.
        """
        model, _, mode = arm.rpartition("/")
        place = self.study.main | {"model": self._name(model), "mode": mode}
        found = _means(
            ((run.magnification, run.fold), float(row[loss]))
            for run, row in self.histories.items()
            if place.items() <= vars(run).items()
        )
        if not found:
            raise Unavailable(f"there is no history.csv of {arm_name(arm)}")
        return found

    def table4(self) -> list[Row]:
        """Return the rows of summary.csv that Table 4 is made of."""
        return self._select("summary", self._columns("table4"))

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

    def _columns(self, table: str) -> dict[str, str]:
        """Return the columns that select the rows of Table 4, 5 or 6."""
        study = self.study
        if table == EXTERNAL and not study.table6:
            raise Unavailable("the study has no external test")
        if table == EXTERNAL:
            return study.table6
        if table not in CROSS_VALIDATION:
            raise Unavailable(f"a study has no {table_title(table)}")
        place = {"dataset": study.dataset, "split": study.split, "selection": "last"}
        return place | {"augmentation": study.numbered[CROSS_VALIDATION[table]]}

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


def read_results(study: Study, paths: Mapping[str, Path | None], histories: Iterable[str] = ()) -> Results:
    """Return the result files of a study, without the arms and settings that are not the paper's.

    Args:
        study: the resolved study.
        paths: name in :data:`FILES` or :data:`DRAWS` -> path; a name may be absent, and so may the file. Other names are
            ignored.
        histories: paths of history.csv of runs.
    """
    found = {name: path for name in (*FILES, *DRAWS) if (path := paths.get(name)) and Path(path).is_file()}
    study = replace(study, arms=paper.arms(study))
    names = {"/".join(arm.key) for arm in study.arms}
    other = {name for table, name in study.numbered.items() if not paper.is_augmentation(study, table)}

    def belongs(row: Mapping[str, Any]) -> bool:
        elsewhere = "on" in row and study.datasets[row["on"]]["format"] != "bach"
        return f"{row['model']}/{row['mode']}" in names and row.get("augmentation") not in other and not elsewhere

    runs = {Run.of(path): path for path in histories}
    return Results(
        study,
        {name: [row for row in read_csv(found[name], ()) if belongs(row)] for name in FILES if name in found},
        {name: np.load(found[name]) for name in DRAWS if name in found},
        {run: read_csv(Path(path), HISTORY)[-1] for run, path in runs.items() if belongs(vars(run))},
    )


def _means(values: Iterable[tuple[Key, float]]) -> dict[Key, float]:
    """Return the mean of the values of each key."""
    of_key: dict[Key, list[float]] = {}
    for key, value in values:
        of_key.setdefault(key, []).append(value)
    return {key: float(np.mean(own)) for key, own in of_key.items()}


def _number(text: str, fault: str) -> float:
    """Return a number of a table; it may be empty or nan, where a score or an interval is undefined."""
    value = float(text or "nan")
    if math.isfinite(value):
        return value
    raise Unavailable(fault)
