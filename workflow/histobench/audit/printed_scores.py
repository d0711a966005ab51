"""Reading a printed table: a CSV of models, settings and scores, each `0.91`, `0.91 ± 0.02`, `0.91 (0.02)` or per cent."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from histobench.audit.text_files import Row, read_table
from histobench.io.errors import HistoBenchError

MAX_ROWS = 5_000

METRICS = {
    "accuracy": "accuracy acc overall_accuracy image_level_accuracy",
    "balanced_accuracy": "balanced_accuracy bacc bal_acc balanced_acc",
    "precision": "precision prec ppv positive_predictive_value",
    "recall": "recall rec sensitivity sens sen tpr true_positive_rate",
    "specificity": "specificity spec spe tnr true_negative_rate",
    "npv": "npv negative_predictive_value",
    "f1": "f1 f1_score f1score f_1 f_score f_measure f1_measure fscore fmeasure dice",
    "mcc": "mcc matthews matthews_correlation_coefficient",
    "kappa": "kappa cohen_kappa cohens_kappa",
    "auc": "auc auroc roc_auc roc auc_roc area_under_the_curve",
}
"""Score -> its names in tables, in lower case, with one underscore between words."""
COUNTS = {
    "positives": "positives n_positive n_pos malignant n_malignant positive",
    "negatives": "negatives n_negative n_neg benign n_benign negative",
}
SIGNED = ("mcc", "kappa")
_NAMES = {name: key for names in (METRICS, COUNTS) for key, text in names.items() for name in text.split()}
_MEAN, _DEVIATION = (
    ("mean", "avg", "average"),
    ("std", "sd", "dev", "stdev", "std_dev", "deviation", "standard_deviation"),
)
_NUMBER = r"[-+−]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"
_CELL = re.compile(
    rf"(?P<value>{_NUMBER})\s*(?P<percent>%?)"
    rf"(?:\s*(?:±|\+/?[-−]|\\pm)\s*(?P<plus>{_NUMBER})\s*%?|\s*[(\[]\s*(?:±\s*)?(?P<in>{_NUMBER})\s*%?\s*[)\]]"
    rf"|\s*(?P<interval>[(\[].*[)\]]))?\s*%?"
)
_P_VALUE = re.compile(rf"(?:p\s*)?(?P<sign>[<>=≤≥]=?)?\s*(?P<value>{_NUMBER})")


@dataclass(frozen=True)
class Printed:
    """A printed number, exactly, and half a unit of its last digit."""

    value: Fraction
    half: Fraction
    text: str
    deviation: "Printed | None" = None
    """Standard deviation over folds."""
    sign: str = ""
    """Of a p-value: `<` or `>` where a bound is printed instead of the value."""


@dataclass(frozen=True)
class PrintedRow:
    """A row of a table."""

    line: int
    """Its line in the file."""
    setting: Mapping[str, str]
    """What is neither a score nor a count: model, mode, magnification."""
    scores: Mapping[str, Printed]
    """Key of :data:`METRICS` -> fraction of 1."""
    counts: Mapping[str, int]
    p_values: Mapping[str, Printed] = field(default_factory=dict)
    """Column -> p-value."""

    @property
    def name(self) -> str:
        """Return the settings in words, with the column where they are but a number; the line where there are none."""
        known = {name: text for name, text in self.setting.items() if text}
        if len(known) == 1 and all(text.isdigit() for text in known.values()):
            return " ".join(*known.items())
        return " ".join(known.values()) or f"line {self.line}"


@dataclass(frozen=True)
class PrintedTable:
    """The rows of a file, and what was guessed about it."""

    path: Path
    rows: Sequence[PrintedRow]
    warnings: Sequence[str]


def read(path: Path, columns: Mapping[str, str]) -> PrintedTable:
    """Return a printed table.

    Args:
        path: a table; see :func:`histobench.audit.text_files.read_table`.
        columns: name of a column -> what it holds: a key of :data:`METRICS` or :data:`COUNTS`, `KEY_std` for its deviation, `p`
            for p-values, or `setting`. Other columns are told by their names.

    Raises:
        HistoBenchError: the file is no such table.
    """
    path = Path(path)
    header, lines, warnings = read_table(path, "a header, and a row of scores for each model and setting", MAX_ROWS)
    given = {_words(name): meaning for name, meaning in columns.items()}
    unknown = [name for name in columns if _words(name) not in map(_words, header)]
    if unknown:
        raise HistoBenchError(
            f"{path}: has no column {unknown[0]!r}; its columns are {', '.join(header)[:300]}, correct the options"
        )
    meanings = [given.get(_words(name)) or meaning_of(name) for name in header]
    named = [meaning for meaning in meanings if meaning not in ("setting", "p")]
    twice = next((meaning for meaning in named if named.count(meaning) > 1), None)
    if twice:
        raise HistoBenchError(
            f"{path}: two columns hold {twice} ({', '.join(name for name, found in zip(header, meanings, strict=True) if found == twice)}); "
            "say in `columns` of the options which of them is a `setting`"
        )
    if not set(meanings) & (METRICS.keys() | {"p"}):
        raise HistoBenchError(
            f"{path}: no column is a score; give one line of names such as accuracy, precision, recall, f1, auc or p, and "
            "a row for each model and setting (`columns` in the options says what others hold)"
        )
    scales = {}
    for place, meaning in enumerate(meanings):
        key = meaning.removesuffix("_std")
        if key in METRICS:
            texts = [cells[place] for _, cells in lines]
            percent = "%" in header[place] or "percent" in _words(header[place])
            scales[place] = _is_percent(texts, key, percent, path, header[place])
    for place, meaning in enumerate(meanings):  # deviations of a column in per cent may all be below 1
        if meaning.endswith("_std") and meaning.removesuffix("_std") in meanings:
            scales[place] = scales[meanings.index(meaning.removesuffix("_std"))]
    if any(scales.values()):
        names = [header[place] for place, percent in scales.items() if percent]
        warnings.append(f"Read as per cent: {', '.join(names)}.")
    lines, merged = _unmerged(header, meanings, lines)
    warnings += merged
    header, meanings = [*header, "heading"], [*meanings, "setting"]
    rows = _told_apart([_row(path, line, header, meanings, cells, scales) for line, cells in lines])
    rows, spare = _without_spare_zeros(rows)
    ignored = [name for name, meaning in zip(header[:-1], meanings, strict=False) if meaning == "setting"]
    if ignored:
        warnings.append(f"Read as settings, not as scores: {', '.join(ignored)}.")
    return PrintedTable(path, rows, warnings + spare)


def meaning_of(name: str) -> str:
    """Return what a column holds by its name: `accuracy`, `accuracy_std`, `positives`, `p` or `setting`."""
    words = _words(name)
    if words in ("p", "p_value", "pvalue", "p_values") or words.endswith(("_p", "_p_value", "_pvalue")):
        return "p"
    if words in _NAMES:
        return _NAMES[words]
    for deviations, suffix in ((_MEAN, ""), (_DEVIATION, "_std")):
        for word in deviations:
            for rest in (words.removesuffix(f"_{word}"), words.removeprefix(f"{word}_")):
                if rest != words and _NAMES.get(rest) in METRICS:
                    return _NAMES[rest] + suffix
    return "setting"


def number(text: str) -> Printed:
    """Return a printed number; its half unit is that of its last digit.

    Raises:
        ValueError: the text is not a number.
    """
    plain = text.strip().replace("−", "-").replace(",", ".").lower()
    if not re.fullmatch(_NUMBER, plain) or len(plain) > 30:
        raise ValueError(text)
    digits, _, power = plain.partition("e")
    if abs(int(power or 0)) > 30:
        raise ValueError(text)
    scale = Fraction(10) ** int(power or 0)
    half = Fraction(1, 2 * 10 ** len(digits.partition(".")[2])) * scale
    return Printed(Fraction(digits.rstrip(".")) * scale, half, text.strip())


def p_value(text: str) -> Printed:
    """Return a p-value such as `0.021`, `p < 0.001` or `0.03*`.

    Raises:
        ValueError: the text is no number from 0 to 1.
    """
    match = _P_VALUE.fullmatch(_bare(text))
    if not match:
        raise ValueError(text)
    found, sign = number(match["value"]), (match["sign"] or "").replace("≤", "<").replace("≥", ">")[:1].strip("=")
    if not 0 <= found.value <= 1:
        raise ValueError(text)
    return Printed(found.value, Fraction(0) if sign else found.half, text.strip(), sign=sign)


def _unmerged(header: Sequence[str], meanings: Sequence[str], lines: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows with the settings that a printed table has once for several, and what was filled in.

    A setting is that of the row above where its cell is empty and one to its right is not, as merged cells become. A row with
    text in its first cell alone is a heading, a setting of the rows below.
    """
    settings = [place for place, meaning in enumerate(meanings) if meaning == "setting"]
    above, found, filled, heading = [""] * len(header), [], set(), ""
    for line, cells in lines:
        cells = list(cells)
        if settings[:1] == [0] and cells[0] and not any(cells[1:]):
            heading, above = cells[0], [""] * len(header)
            continue
        last = max((place for place in settings if cells[place]), default=-1)
        for place in settings:
            if not cells[place] and place < last and above[place]:
                cells[place] = above[place]
                filled.add(header[place])
        above = cells
        found.append((line, [*cells, heading]))
    names = ", ".join(name for name in header if name in filled)
    told = [f"Empty cells were read as the cell above them: {names}."] if filled else []
    return found, told + ["Rows with text in the first cell alone were read as headings of the rows below."] * bool(
        heading
    )


def _told_apart(rows: Sequence[PrintedRow]) -> list[PrintedRow]:
    """Return the rows with their line as a setting where several have one name."""
    names = Counter(row.name for row in rows)
    return [
        replace(row, setting={**row.setting, "line": f"line {row.line}"}) if names[row.name] > 1 else row
        for row in rows
    ]


def _bare(text: str) -> str:
    """Return a cell without the marks of LaTeX, Markdown and significance."""
    text = re.sub(r"\\(?:text|math|under|ul|emph|bf|it)[a-z]*|\\(?=%)|\\[,;! ]", " ", text)
    return re.sub(r"\s+", " ", re.sub(r"[{}$*†‡~^]", " ", text)).strip()


def _row(
    path: Path,
    line: int,
    header: Sequence[str],
    meanings: Sequence[str],
    cells: Sequence[str],
    scales: Mapping[int, bool],
) -> PrintedRow:
    setting, scores, counts, p_values, deviations = {}, {}, {}, {}, {}
    for place, (name, meaning, text) in enumerate(zip(header, meanings, cells, strict=True)):
        if meaning == "setting":
            setting[name] = text
        elif text.lower().strip("-–—.") in ("", "n/a", "na", "nan", "ns", "n.s"):
            continue
        else:
            try:
                if meaning == "p":
                    p_values[name] = p_value(text)
                elif meaning in COUNTS:
                    counts[meaning] = int(text.replace(",", "").replace(" ", ""))
                    if not 0 < counts[meaning] <= 10**7:
                        raise ValueError
                else:
                    key, unit = meaning.removesuffix("_std"), Fraction(1, 100 if scales.get(place) else 1)
                    found = _score(text, unit)
                    if not (-1 if key in SIGNED else 0) <= found.value <= 1:
                        raise ValueError
                    (deviations if key != meaning else scores)[key] = found
            except (ValueError, ArithmeticError):
                what = {"p": "a p-value from 0 to 1", "positives": "a count", "negatives": "a count"}.get(
                    meaning, "a score such as 0.91, 91.2 %, 0.91 ± 0.02 or 0.91 (0.02)"
                )
                raise HistoBenchError(
                    f"{path}, line {line}, column {name}: {text[:60]!r} is not {what}; correct the cell, or leave it empty"
                ) from None
    for key, deviation in deviations.items():
        if key in scores:
            mean = scores[key]
            scores[key] = Printed(mean.value, mean.half, mean.text, deviation)
    return PrintedRow(line, setting, scores, counts, p_values)


def _score(text: str, unit: Fraction) -> Printed:
    match = _CELL.fullmatch(_bare(text))
    if not match:
        raise ValueError(text)
    mean, spread = number(match["value"]), match["plus"] or match["in"]
    deviation = number(spread) if spread else None
    if deviation:
        deviation = Printed(deviation.value * unit, deviation.half * unit, deviation.text)
        if not 0 <= deviation.value <= 1:
            raise ValueError(text)
    return Printed(mean.value * unit, mean.half * unit, text.strip(), deviation)


def _is_percent(texts: Sequence[str], key: str, header: bool, path: Path, name: str) -> bool:
    """Return whether a column is in per cent: its name or a cell says so, or a number is above 1."""
    values = [match for text in texts if (match := _CELL.fullmatch(_bare(text)))]
    if header or any("%" in match[0] for match in values):
        return True
    try:
        largest = max((abs(number(match["value"]).value) for match in values), default=Fraction(0))
    except ValueError:
        return False
    if largest > 1 and any(0 < number(match["value"]).value <= 1 for match in values) and key not in SIGNED:
        raise HistoBenchError(
            f"{path}, column {name}: has numbers up to 1 and numbers above 1; give all as fractions of 1 or all in per cent"
        )
    return largest > 1


def _without_spare_zeros(rows: Sequence[PrintedRow]) -> tuple[list[PrintedRow], list[str]]:
    """Return the rows with deviations as precise as they are.

    Five or more deviations of a table that all end with 0 had one decimal less before they were printed: by chance this
    happens once in 100,000 tables.
    """
    found = [score.deviation for row in rows for score in row.scores.values() if score.deviation]
    if len(found) < 5 or any((deviation.value / (deviation.half * 2)) % 10 for deviation in found):
        return list(rows), []
    changed = []
    for row in rows:
        scores = {
            key: Printed(
                score.value,
                score.half,
                score.text,
                score.deviation and Printed(score.deviation.value, score.deviation.half * 10, score.deviation.text),
            )
            for key, score in row.scores.items()
        }
        changed.append(PrintedRow(row.line, row.setting, scores, row.counts, row.p_values))
    return changed, ["All deviations end with 0; this digit is taken as not computed, and they as rounded before it."]


def _words(name: str) -> str:
    """Return the name of a column in lower case, with one underscore between words and without units."""
    text = re.sub(r"\((?:%|percent|per cent)\)|%", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")
