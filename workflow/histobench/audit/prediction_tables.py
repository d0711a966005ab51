"""Tables of predictions that other people publish: an image name and a score, votes for each class, or a predicted class.

Files are not trusted: they are read as text within fixed limits, and a fault is one sentence. Columns are recognised by their names
and content, or given by :class:`Columns`. Malignant is the positive class.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from histobench.audit import names
from histobench.audit.class_names import class_of
from histobench.audit.prediction_columns import Columns, Roles, described, roles
from histobench.audit.table_text import number, plain
from histobench.audit.text_files import Row, read_table
from histobench.io.errors import HistoBenchError

SCALES = ("probability", "logit")
FILES = ("", "folds", "methods")
"""What several files are; methods where it is empty and all have the same images, else folds."""
MAX_ROWS = 500_000


@dataclass(frozen=True)
class Reading:
    """How files of predictions are read."""

    columns: Columns = field(default_factory=Columns)
    dataset: str = ""
    """``breakhis``, ``bach``, or empty where the names say it or `patient` is given."""
    patient: str = ""
    """Of another dataset: the column, or the regular expression on the name, that gives the patient."""
    positive: str = ""
    """The class that counts as malignant in columns of labels and predicted classes, where its name does not say so; every other
    one counts as benign."""
    scale: str = "probability"
    """``probability``, scores from 0 to 1, or ``logit``, any numbers."""
    threshold: float | None = None
    """The score from which on an image is called malignant; 0.5, and 0 for logits, where it is None. A tie of votes is benign."""


class Prediction(NamedTuple):
    """What a method says of one image."""

    image: names.ImageName
    label: int
    """0 benign, 1 malignant."""
    called: bool
    """Whether it is called malignant."""
    score: float | None
    """Probability, share of votes or logit of malignant; None where the file has only classes."""
    tie: bool
    """Whether both classes have equal votes."""


@dataclass(frozen=True)
class PredictionFile:
    """The predictions of one file."""

    path: Path
    rows: Sequence[tuple[str, str, Prediction]]
    """Method, fold (both empty where the file has no such column), and what is predicted."""
    kind: str
    """What the scores are: `probabilities`, `shares of votes`, `logits`, or nothing."""
    votes: str
    """`28 votes an image` where all images have as many, else nothing."""
    naming: names.Naming
    warnings: Sequence[str]


def read(path: Path, how: Reading | None = None) -> PredictionFile:
    """Return the predictions of a file.

    Raises:
        HistoBenchError: the file is no such table, or its content contradicts itself or the names of its images.
    """
    how = how or Reading()
    header, rows, warnings = _cells(path)
    found = roles(path, header, rows, how.columns, how.positive)
    given = [row[found.name] for _, row in rows]
    label = header[found.label] if found.label is not None else ""
    try:
        naming = names.Naming.of(given, how.dataset, how.patient, "", [name.strip().lower() for name in header])
    except HistoBenchError as error:
        raise HistoBenchError(f"{path}: {error}") from None
    warnings += described(path, header, found)
    labels = _labels(path, rows, found, naming, header, how)
    turned = labels.turned
    kept: list[tuple[str, str, Prediction]] = []
    seen: dict[tuple[str, str, str], tuple[int, Prediction]] = {}
    twice = unofficial = 0
    values = _Values(path, found, how, header)
    for line, row, image in labels.rows:
        score, called, tie = values.of(line, row, turned)
        one = Prediction(image, labels.label[line], called, score, tie)
        method = row[found.method].strip() if found.method is not None else ""
        fold = row[found.fold].strip() if found.fold is not None else ""
        key = (method, fold, image.image)
        if key in seen:
            first, before = seen[key]
            if (before.called, before.score) != (one.called, one.score):
                raise HistoBenchError(
                    f"{path}, lines {first} and {line}: {image.image} is predicted twice, differently; keep one of the two, or name "
                    "the column that tells folds (--fold-column) or methods (--method-column) apart"
                )
            twice += 1
            continue
        seen[key] = (line, one)
        unofficial += naming.dataset in names.KNOWN and not image.official
        kept.append((method, fold, one))
    if twice:
        warnings.append(f"{path.name}: {twice} lines repeat an image with the same prediction and are counted once")
    if unofficial:
        warnings.append(
            f"{path.name}: {unofficial} names are not of official images of {naming.dataset}; they are counted"
        )
    if labels.skipped:
        warnings.append(
            f"{path.name}: {len(labels.skipped)} lines name no image of {naming.dataset} and are left out, the first is line "
            f"{labels.skipped[0]}"
        )
    if turned:
        warnings.append(
            f"{path.name}: column {label} has 1 for benign and 0 for malignant images, by their names; scores and predicted classes "
            "are read the same way"
        )
    return PredictionFile(path, kept, values.kind(), values.votes(), naming, warnings)


def _cells(path: Path) -> tuple[list[str], Sequence[Row], list[str]]:
    """Return the header, which has no name twice, the rows and notes of a table of predictions."""

    def is_row(cells: Sequence[str]) -> bool:
        return bool(names.dataset_of(cells[:1])) or any(names.read_breakhis(cell) for cell in cells)

    header, rows, notes = read_table(
        path, "a line for each image with its name and a score, votes or a class", MAX_ROWS, is_row
    )
    known = [plain(name) for name in header]
    if again := [name for at, name in enumerate(known) if name and name in known[:at]]:
        raise HistoBenchError(f"{path}: two columns are named {again[0]!r:.80}; rename one of them")
    return header, rows, notes


class _Labels(NamedTuple):
    rows: list[tuple[int, Sequence[str], names.ImageName]]
    """Line, cells and image of what is counted."""
    label: dict[int, int]
    """Line -> 0 or 1."""
    turned: bool
    """Whether the column of labels has 1 for benign."""
    skipped: list[int]


def _labels(
    path: Path,
    rows: Sequence[Row],
    found: Roles,
    naming: names.Naming,
    header: Sequence[str],
    how: Reading,
) -> _Labels:
    """Return image and label of each row, from the name and the column."""
    lowered = [name.strip().lower() for name in header]
    kept, skipped = [], []
    label: dict[int, int] = {}
    contradict: list[tuple[int, str]] = []
    both = 0
    for line, row in rows:
        image = naming.identify(row[found.name], dict(zip(lowered, row, strict=True)))
        if image is None:
            skipped.append(line)
            continue
        told = {"benign": 0, "malignant": 1}.get(image.label)
        if naming.dataset == "breakhis" and told is None:
            raise HistoBenchError(
                f"{path}, line {line}: {image.image} has a letter for the class that its subtype contradicts; correct the name"
            )
        value = None
        if found.label is not None:
            value = class_of(row[found.label], how.positive)
            text = row[found.label].strip()
            needed = told is None or (how.columns.label and text)  # a guessed column may be of something else
            if value is None and needed:
                raise HistoBenchError(
                    f"{path}, line {line}: label is {text!r:.60}, expected a class such as benign or malignant, or 0 or 1; say which "
                    "class is malignant (--positive)"
                )
        if told is None and value is None:
            raise HistoBenchError(
                f"{path}, line {line}: neither the name {row[found.name]!r:.80} nor a column says whether the image is benign or "
                "malignant; name the column of labels (--label-column)"
            )
        if told is not None and value is not None:
            both += 1
            if told != value:
                contradict.append((line, row[found.label] if found.label is not None else ""))
        label[line] = told if told is not None else int(value or 0)
        kept.append((line, row, image))
    if not kept:
        raise HistoBenchError(
            f"{path}: no line names an image of {naming.dataset}; name the column of image names (--name-column), or the dataset (--dataset)"
        )
    codes = {text.strip() for _, text in contradict}
    turned = bool(both) and len(contradict) == both and codes <= {"0", "1", "0.0", "1.0"} and not how.positive
    if contradict and not turned:
        line, text = contradict[0]
        raise HistoBenchError(
            f"{path}, line {line}: label {text!r:.40} contradicts the name of the image (lines with such a label: {len(contradict)} of "
            f"{both}); correct the labels, or say which class is malignant (--positive)"
        )
    return _Labels(kept, label, turned, skipped)


class _Values:
    """Scores and predicted classes of the rows of a file."""

    def __init__(self, path: Path, found: Roles, how: Reading, columns: Sequence[str]):
        self._path, self._found, self._how, self._columns = path, found, how, columns
        self._sums: set[float] = set()

    def of(self, line: int, row: Sequence[str], turned: bool) -> tuple[float | None, bool, bool]:
        """Return score, whether malignant is called, and whether votes are equal."""
        found, how = self._found, self._how
        score, called, tie = None, None, False
        limit = how.threshold if how.threshold is not None else 0.0 if how.scale == "logit" else 0.5
        if found.votes:
            score, called, tie = self._voted(line, row, limit)
        elif found.score is not None:
            score = self._number(line, row, found.score)
            if how.scale == "probability" and not 0 <= score <= 1:
                raise HistoBenchError(
                    f"{self._path}, line {line}: score is {row[found.score].strip():.40}, outside 0 to 1; divide per cent by 100, or say "
                    "that scores are logits (--scale logit)"
                )
            if found.inverted != turned:
                score = -score if how.scale == "logit" else 1 - score
            called = score >= limit
        if found.predicted is not None:
            value = class_of(row[found.predicted], how.positive)
            if value is None:
                raise HistoBenchError(
                    f"{self._path}, line {line}: the predicted class is {row[found.predicted]!r:.60}, expected one such as benign or "
                    "malignant, or 0 or 1; say which class is malignant (--positive)"
                )
            if how.threshold is None:
                called = bool(value) != (turned and row[found.predicted].strip() in ("0", "1", "0.0", "1.0"))
        return score, bool(called), tie

    def _number(self, line: int, row: Sequence[str], at: int) -> float:
        value = number(row[at])
        if value is None or not math.isfinite(value):
            raise HistoBenchError(
                f"{self._path}, line {line}: {self._columns[at] or 'score'} is {row[at]!r:.60}, expected a finite number; correct it, "
                "or leave the image out"
            )
        return value

    def _voted(self, line: int, row: Sequence[str], limit: float) -> tuple[float, bool, bool]:
        values = [(self._number(line, row, at), kind) for at, kind in self._found.votes]
        of_class = [[value for value, kind in values if kind == label] for label in (0, 1)]
        best = [max(one) for one in of_class]
        if self._how.scale == "logit":
            score = best[1] - best[0]
            if len(values) > 2:  # the probability of the malignant classes, as a logit
                score = _log_sum(of_class[1]) - _log_sum(of_class[0])
            called = score >= limit if self._how.threshold is not None or len(values) == 2 else best[1] > best[0]
            return score, called, best[0] == best[1]
        total = sum(value for value, _ in values)
        if min(value for value, _ in values) < 0 or total <= 0:
            raise HistoBenchError(
                f"{self._path}, line {line}: votes are {', '.join(f'{value:g}' for value, _ in values)}, expected numbers of at least 0 "
                "with a sum above 0; say that they are logits (--scale logit), or correct them"
            )
        self._sums.add(total if abs(total - 1) > 2e-3 else 1.0)
        share = sum(of_class[1]) / total
        called = share >= limit if self._how.threshold is not None else best[1] > best[0]
        return share, called, best[0] == best[1]

    def kind(self) -> str:
        """Return what the scores are."""
        if self._how.scale == "logit" and (self._found.votes or self._found.score is not None):
            return "logits"
        if self._found.votes:
            return "probabilities" if self._sums == {1.0} else "shares of votes"
        return "probabilities" if self._found.score is not None else ""

    def votes(self) -> str:
        """Return how many votes an image has, where all have as many."""
        if self.kind() != "shares of votes" or len(self._sums) != 1:
            return ""
        return f"{next(iter(self._sums)):g} votes an image"


def _log_sum(values: Sequence[float]) -> float:
    """Return the logarithm of the sum of exponentials."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def by_method_and_fold(file: PredictionFile) -> Mapping[tuple[str, str], list[Prediction]]:
    """Return the predictions of a file by its method and fold, in the order of the file."""
    found: dict[tuple[str, str], list[Prediction]] = {}
    for method, fold, one in file.rows:
        found.setdefault((method, fold), []).append(one)
    return found
