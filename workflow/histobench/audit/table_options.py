"""What a printed table does not say by itself: class counts, folds, how scores were averaged, tests."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from histobench.audit.text_files import read_text, structure
from histobench.io.errors import HistoBenchError

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrintedTest(_Strict):
    """A p-value in a text: `{name: ResNet34 against SmolVLM, p: "0.003", test: signed_rank, pairs: 5}`."""

    name: str = Field(max_length=200)
    p: str | float = Field(
        description="As printed, in quotes where the last digit is 0; `<0.001` where a bound is printed."
    )
    test: Literal["signed_rank", "sign", "rank_sum", "sign_flip"] | None = None
    pairs: int | None = Field(None, ge=2, le=50)


class TableOptions(_Strict):
    """Options of an audit of a printed table; each is a key of the YAML file."""

    positives: Count | None = Field(
        None, description="Images of the positive class that a row was tested on, all folds together."
    )
    negatives: Count | None = Field(None, description="The same of the negative class.")
    counts: dict[str, tuple[Count, Count]] = Field(
        default={},
        description="Text of a setting cell -> positives and negatives of its rows, as in {40x: [1370, 625]}.",
    )
    dataset: Literal["breakhis", "bach"] | None = Field(
        None, description="Class counts of BreakHis (at the magnification in the row) or of BACH (200 and 200)."
    )
    folds: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Folds whose scores are averaged; 1 for one test set or pooled folds. Not given: 1 if no deviation is printed.",
    )
    fold_counts: list[tuple[Count, Count]] = Field(default=[], description="Positives and negatives of each fold.")
    balance: Literal["unknown", "stratified"] = Field(
        "unknown", description="stratified: each fold has its share of each class, to the nearest image."
    )
    tested: Literal["parts", "whole"] = Field(
        "parts", description="Whether a fold's model is tested on its fold, or each on the whole test set."
    )
    deviation: Literal["any", "sample", "population"] = Field(
        "any", description="Divisor of the deviations: k - 1 or k."
    )
    average: Literal["binary", "negative", "macro", "weighted"] = Field(
        "binary", description="Scores of the positive class, of the negative class, or averaged over both."
    )
    groups: int | None = Field(None, ge=2, le=1_000_000, description="Slides or patients that the images come from.")
    reference_deviations: dict[str, float] = Field(
        default={},
        description="Study -> its deviation of accuracy over folds, with which those of the table are compared.",
    )
    test: Literal["signed_rank", "sign", "rank_sum", "sign_flip"] | None = Field(
        None, description="Test that the p-values of the table are said to come from."
    )
    pairs: int | None = Field(
        None, ge=2, le=50, description="Pairs of scores in that test; the number of folds if not given."
    )
    tests: list[PrintedTest] = Field(default=[], description="p-values in the text.")
    columns: dict[str, str] = Field(
        default={}, description="Column -> accuracy, f1_std, positives, p, setting and so on."
    )

    @model_validator(mode="after")
    def _agree(self) -> "TableOptions":
        from histobench.audit.printed_scores import COUNTS, METRICS

        if (self.positives is None) != (self.negatives is None):
            raise ValueError("positives and negatives are given together, or neither")
        if self.fold_counts and self.folds not in (None, len(self.fold_counts)):
            raise ValueError(f"fold_counts has {len(self.fold_counts)} folds, but folds is {self.folds}")
        known = {*METRICS, *(f"{name}_std" for name in METRICS), *COUNTS, "p", "setting"}
        wrong = next((meaning for meaning in self.columns.values() if meaning not in known), None)
        if wrong is not None:
            raise ValueError(f"columns: {wrong[:60]!r} is none of {', '.join(sorted(known))}")
        return self


def load(options: Path | Mapping[str, Any] | TableOptions | None, **more: Any) -> TableOptions:
    """Return options from a YAML file or a mapping; `more` replaces what is there, except where it is None.

    Raises:
        HistoBenchError: they cannot be read, or one has an unknown name or a wrong value.
    """
    place = "options of the table"
    if isinstance(options, TableOptions):
        values: Any = options.model_dump(exclude_unset=True)
    elif isinstance(options, Mapping) or options is None:
        values = dict(options or {})
    else:
        place, values = str(options), _yaml(Path(options))
    try:
        return TableOptions.model_validate(values | {key: value for key, value in more.items() if value is not None})
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        found = "" if fault["type"] == "value_error" else f", found {str(fault['input'])[:80]!r}"
        known = f" (options are {', '.join(TableOptions.model_fields)})" if fault["type"] == "extra_forbidden" else ""
        text = fault["msg"].removeprefix("Value error, ")
        raise HistoBenchError(f"{place}: {f'{key}: ' if key else ''}{text}{found}{known}; correct it there") from None


def class_counts(
    options: TableOptions, setting: Mapping[str, str], counts: Mapping[str, int]
) -> tuple[int, int] | None:
    """Return positives and negatives of a row of a table, of all folds together; None if unknown.

    What the row itself holds comes first, then `counts`, then `positives` and `negatives`, then the data set.

    Args:
        options: those of the table.
        setting: settings of the row.
        counts: its own columns of counts.
    """
    if len(counts) == 2:
        return counts["positives"], counts["negatives"]
    named = {_plain(name): pair for name, pair in options.counts.items()}
    for text in setting.values():
        if _plain(text) in named:
            return named[_plain(text)]
    if options.positives and options.negatives:
        return options.positives, options.negatives
    if options.fold_counts:
        positives, negatives = zip(*options.fold_counts, strict=True)
        return sum(positives), sum(negatives)
    if options.dataset == "bach":
        return 200, 200
    if options.dataset == "breakhis":
        census = breakhis_counts()
        size = magnification(setting)
        return census[size] if size else (sum(p for p, _ in census.values()), sum(n for _, n in census.values()))
    return None


def magnification(setting: Mapping[str, str]) -> str:
    """Return the magnification of BreakHis that a row is about; empty if it has none."""
    return next((size for text in setting.values() if (size := _plain(text)) in ("40", "100", "200", "400")), "")


@lru_cache
def breakhis_counts() -> dict[str, tuple[int, int]]:
    """Return malignant and benign images of BreakHis at each magnification."""
    from histobench.claims.published import official_census

    sums = {size: [0, 0] for size in ("40", "100", "200", "400")}
    for patient in official_census():
        for size, images in zip(sums, patient.images, strict=True):
            sums[size][not patient.malignant] += images
    return {size: (malignant, benign) for size, (malignant, benign) in sums.items()}


def _plain(text: str) -> str:
    """Return the text of a setting without what differs between writings of a magnification: 40x, 40X, 40 ×."""
    return text.strip().lower().replace("×", "x").removesuffix("x").strip()


def _yaml(path: Path) -> dict[str, Any]:
    values = structure(path, read_text(path)[0])
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise HistoBenchError(
            f"{path}: is no list of keys and values, expected keys such as positives, negatives and folds; correct it there"
        )
    return values
