"""Published scores of a benchmark whose images evaluate in a study too: which table and column of it stand beside the study's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_given_csv
from histobench.study.values import PathText, Settings

OURS = "this study"
"""What stands in column `source` of the table for a study's own scores."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*\S[^\r\n]*$", max_length=60)]


class Published(Settings):
    """A column of a published table, with a row for each encoder."""

    source: Line
    """Where the scores are from, with a commit or paper, as tables print it."""
    file: PathText
    """A CSV table with the column `encoder`."""
    column: Line
    """The column with the scores, between 0 and 1."""
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "macro_auc"]
    """Which score that is."""
    selection: Literal["last", "validation", "best_epoch"] = "last"
    """The epoch of the scores: the last, one chosen on other images, or one chosen on the images that are scored. The table has the
    last epoch of this study's arms, and with `best_epoch` the best one too."""
    note: str | None = None
    """What is not as in this study, as a sentence for the caption."""


def check(published: Sequence[Published]) -> None:
    """Require that rows of the table can be told apart.

    Raises:
        ValueError: at the first fault, with one sentence that begins with the key.
    """
    seen: dict[tuple[str, str, str], int] = {}
    for number, one in enumerate(published):
        place, source = f"published.{number}.source", one.source.strip()
        if source.casefold() == OURS:
            raise ValueError(f"{place}: {source!r} stands for the study's own scores; write where these are from")
        other = seen.setdefault((source, one.metric, one.selection), number)
        if other != number:
            raise ValueError(
                f"{place}: published.{other} has {source!r} with the same `metric` and `selection`; give one of them another source"
            )


def read(file: Path, column: str) -> dict[str, str]:
    """Return encoder -> score, as the table has it; encoders without one are left out.

    Raises:
        HistoBenchError: the table cannot be read, lacks a column or scores, has an encoder twice, or holds anything but scores between 0 and 1.
    """
    header, rows = read_given_csv(file)
    name = column.strip().lower()  # as the header is read
    for needed in ("encoder", name):
        if header.count(needed) != 1:
            fault = "two columns" if needed in header else "no column"
            raise HistoBenchError(
                f"{file}: has {fault} {needed!r:.70} (its columns: {', '.join(header) or 'none':.300}); correct the table, or `column` in "
                "`published`"
            )
    found = {}
    for line, row in rows:
        text, encoder = ((row[key] or "").strip() for key in (name, "encoder"))
        try:
            if text and not 0 <= float(text) <= 1:
                raise ValueError
        except ValueError:
            raise HistoBenchError(
                f"{file}, line {line}: {name} is {text!r:.200}, expected a score between 0 and 1, or nothing; correct the row"
            ) from None
        if text and (not encoder or encoder in found):
            fault = f"encoder {encoder!r:.200} is there twice" if encoder else "the name of the encoder is missing"
            raise HistoBenchError(f"{file}, line {line}: {fault}, expected each encoder once; correct the row")
        if text:
            found[encoder] = text
    if not found:
        raise HistoBenchError(f"{file}: has no score in column {name}; correct the table, or `column` in `published`")
    return found
