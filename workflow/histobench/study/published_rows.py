"""Published scores of a benchmark whose images evaluate in a study too: which table and column of it stand beside the study's own."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_given_csv
from histobench.study.values import PathText, Settings


class Published(Settings):
    """A column of a published table, with a row for each encoder."""

    source: str = Field(min_length=1, max_length=60)
    """Where the scores are from, with a commit or paper, as tables print it."""
    file: PathText
    """A CSV table with the column `encoder`."""
    column: str
    """The column with the scores, between 0 and 1."""
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "macro_auc"]
    """Which score that is."""
    selection: Literal["last", "validation", "best_epoch"] = "last"
    """The epoch of the scores: the last, one chosen on other images, or one chosen on the images that are scored. Of this study's
    arms the table has the last epoch, and with `best_epoch` the best one too."""
    note: str | None = None
    """What is not as in this study, as a sentence for the caption."""


def read(file: Path, column: str) -> dict[str, str]:
    """Return encoder -> score, as the table has it; encoders without one are left out.

    Raises:
        HistoBenchError: the table cannot be read, lacks a column, or holds anything but scores between 0 and 1.
    """
    header, rows = read_given_csv(file)
    name = column.strip().lower()  # as the header is read
    for needed in ("encoder", name):
        if needed not in header:
            raise HistoBenchError(
                f"{file}: has no column {needed}, but {', '.join(header)!r:.300}; correct table or key"
            )
    found = {}
    for line, row in rows:
        text = (row[name] or "").strip()
        try:
            if text and not 0 <= float(text) <= 1:
                raise ValueError
        except ValueError:
            raise HistoBenchError(
                f"{file}, line {line}: {name} is {text!r:.200}, expected a score between 0 and 1, or nothing; correct the row"
            ) from None
        if text:
            found[row["encoder"]] = text
    return found
