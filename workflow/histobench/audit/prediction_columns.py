"""Which column of a table of predictions is what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.audit import names
from histobench.audit.class_names import class_of, vote_class
from histobench.audit.table_text import number, plain
from histobench.audit.text_files import Row
from histobench.io.errors import HistoBenchError

_NAMES = ("image", "image_name", "img_name", "name", "filename", "file_name", "file", "path", "filepath", "file_path")
_NAMES += ("image_path", "img_path", "image_id", "image_file", "img", "fname", "id")
_SCORES = ("score", "probability", "prob", "proba", "p", "y_score", "y_prob", "y_proba", "pred_prob", "pred_proba")
_SCORES += ("malignant_score", "malignancy", "logit", "output", "y_pred_proba", "predicted_probability")
_PREDICTED = (
    "predicted",
    "prediction",
    "pred",
    "y_pred",
    "predicted_label",
    "predicted_class",
    "pred_label",
    "pred_class",
)
_PREDICTED += ("predict", "predictions", "yhat", "y_hat")
_LABELS = (
    "label",
    "true_label",
    "y_true",
    "true",
    "truth",
    "ground_truth",
    "gt",
    "target",
    "class",
    "true_class",
    "actual",
    "y",
)
_FOLDS = ("fold", "test_fold", "fold_id", "cv_fold")
_METHODS = ("method", "model", "arm", "classifier", "network", "architecture")


@dataclass(frozen=True)
class Columns:
    """Which column is what, by its name in any case; an empty name is recognised."""

    name: str = ""
    score: str = ""
    predicted: str = ""
    label: str = ""
    fold: str = ""
    method: str = ""


@dataclass(frozen=True)
class Roles:
    """Index of the column that is each thing, or None; votes are (index, class of the column: 0 benign or 1 malignant)."""

    name: int
    score: int | None
    inverted: bool
    """Whether the score is that of benign."""
    votes: tuple[tuple[int, int], ...]
    predicted: int | None
    label: int | None
    fold: int | None
    method: int | None


def roles(path: Path, header: Sequence[str], rows: Sequence[Row], own: Columns, positive: str) -> Roles:
    """Return what each column is: as given, or else by its name and content.

    Raises:
        HistoBenchError: a column that was given is not there, or no column has names, or scores, votes or classes.
    """
    names_of = [plain(name) for name in header]
    sample = [row for _, row in rows[:: max(1, len(rows) // 200)]]
    lowered = [name.strip().lower() for name in header]

    def given(what: str, name: str) -> int | None:
        if not name:
            return None
        for known, wanted in ((lowered, name.strip().lower()), (names_of, plain(name))):
            if wanted in known:
                return known.index(wanted)
        raise HistoBenchError(
            f"{path}: there is no column {name!r:.80} for the {what} (found: {', '.join(header)!r:.300}); give one of these"
        )

    def guessed(choices: Sequence[str], *taken: int | None) -> int | None:
        return next(
            (names_of.index(one) for one in choices if one in names_of and names_of.index(one) not in taken), None
        )

    name = given("image name", own.name)
    if name is None:
        name = next((at for at in range(len(header)) if names.dataset_of(row[at] for row in sample)), None)
    name = name if name is not None else guessed(_NAMES)
    if name is None:
        raise HistoBenchError(
            f"{path}: no column holds image names (found: {', '.join(header)!r:.300}); name it (--name-column), or give one called image"
        )
    label, fold = given("label", own.label), given("fold", own.fold)
    method, predicted = given("method", own.method), given("predicted class", own.predicted)
    label = label if label is not None else guessed(_LABELS, name)
    fold = fold if fold is not None else guessed(_FOLDS, name)
    method = method if method is not None else guessed(_METHODS, name)
    predicted = predicted if predicted is not None else guessed(_PREDICTED, name, label)
    score, inverted, votes = given("score", own.score), False, ()
    if score is None:
        taken = {name, label, fold, method, predicted}
        classes = [(at, vote_class(column, positive)) for at, column in enumerate(names_of) if at not in taken]
        numeric = [(at, kind) for at, kind in classes if kind is not None and _numbers(sample, at)]
        if {kind for _, kind in numeric} == {0, 1}:
            votes = tuple((at, kind) for at, kind in numeric if kind is not None)
        else:
            score = guessed(_SCORES, *taken)
            if score is None and len(numeric) == 1:
                score, inverted = numeric[0][0], numeric[0][1] == 0
    rest = [at for at in range(len(header)) if at not in (name, label, fold, method)]
    keys = [at for at in rest if names_of[at].startswith("key_")]  # of JSON, above the names
    left = [at for at in rest if at not in keys] or rest
    if score is None and not votes and predicted is None and len(left) == 1:  # the only other column
        score = left[0]
        keys = [at for at in keys if at != score]
    if fold is None and keys:
        fold = keys.pop()
    if method is None and keys:
        method = keys.pop()
    if predicted is not None and not own.predicted and score is None and not votes:
        # Called "prediction", but it holds scores.
        if _numbers(sample, predicted) and any(class_of(row[predicted]) is None for row in sample):
            score, predicted = predicted, None
    elif score is not None and not own.score and predicted is None:
        classes = [class_of(row[score], positive) for _, row in rows]
        score, predicted = (score, predicted) if None in classes else (None, score)
    if score is None and not votes and predicted is None:
        raise HistoBenchError(
            f"{path}: no column holds scores, votes or predicted classes (found: {', '.join(header)!r:.300}); name it (--score-column, "
            "--predicted-column), or give one called score or predicted"
        )
    return Roles(name, score, inverted, votes, predicted, label, fold, method)


def _numbers(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Tell whether most cells of a column are numbers."""
    return sum(number(row[at]) is not None for row in rows) * 2 > len(rows)


def described(path: Path, header: Sequence[str], found: Roles) -> list[str]:
    """Return which columns were taken for what, and which are not used."""
    told = [f"{header[found.name]} is the image"]
    told += (
        [f"{header[found.score]} the score of {'benign' if found.inverted else 'malignant'}"]
        if found.score is not None
        else []
    )
    if found.votes:
        kinds = [", ".join(header[at] for at, kind in found.votes if kind == label) for label in (0, 1)]
        told.append(f"{kinds[0]} the votes or probabilities of benign and {kinds[1]} those of malignant")
    for at, what in (
        (found.predicted, "the predicted class"),
        (found.label, "the label"),
        (found.fold, "the fold"),
        (found.method, "the method"),
    ):
        told += [f"{header[at]} {what}"] if at is not None else []
    used = {
        found.name,
        found.score,
        found.predicted,
        found.label,
        found.fold,
        found.method,
        *(at for at, _ in found.votes),
    }
    rest = [name for at, name in enumerate(header) if name and at not in used]
    unused = f"; not used: {', '.join(rest)[:200]}" if rest else ""
    return [f"{path.name}: columns were read so: {', '.join(told)}{unused}"]
