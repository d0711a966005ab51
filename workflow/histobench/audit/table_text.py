"""Tables of predictions as other people write them, as cells of text."""

import csv
import io
import re
from pathlib import Path

from histobench.audit import names
from histobench.audit.text_files import read_text
from histobench.io.errors import HistoBenchError

MAX_ROWS = 500_000
MAX_COLUMNS = 500


def read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], list[str]]:
    """Return the header, the numbered rows as cells, and warnings, of a table with commas, semicolons, tabs, bars or spaces.

    Raises:
        HistoBenchError: the file cannot be read within the limits, or is no table.
    """
    text, warnings = read_text(path)
    first = text.lstrip().splitlines()[0]
    delimiter = max(",;\t|", key=first.count)
    if delimiter not in first:
        delimiter = " "
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
            if len(rows) > MAX_ROWS:
                raise HistoBenchError(f"{path}: has more than {MAX_ROWS:,} lines; give one for each image")
    except csv.Error as error:
        raise HistoBenchError(f"{path}: is not a table ({error}); save it as CSV in UTF-8") from None
    if not rows:
        raise HistoBenchError(f"{path}: has no line with a value; give a line for each image")
    header = [cell.strip() for cell in rows[0][1]]
    width = len(header)
    if width < 2 or width > MAX_COLUMNS:
        raise HistoBenchError(
            f"{path}: has {width} column{'s' * (width != 1)}, expected 2 to {MAX_COLUMNS}, an image name and a score, votes or a "
            "class; check what separates the columns"
        )
    if names.dataset_of(header[:1]) or any(names.read_breakhis(cell) for cell in header):  # no header
        header = [f"column {number}" for number in range(1, width + 1)]
        warnings.append(f"{path.name}: has no header; columns are called column 1 and so on")
    else:
        rows = rows[1:]
    for line, cells in rows:
        if len(cells) != width:
            raise HistoBenchError(
                f"{path}, line {line}: has {len(cells)} values, the first line has {width}; correct the line"
            )
    if not rows:
        raise HistoBenchError(f"{path}: has a header but no line with a prediction; give a line for each image")
    known = [plain(name) for name in header]
    if again := [name for at, name in enumerate(known) if name and name in known[:at]]:
        raise HistoBenchError(f"{path}: two columns are named {again[0]!r:.80}; rename one of them")
    return header, rows, warnings


def plain(name: str) -> str:
    """Return a name in lower case, with an underscore for everything but letters and digits: `img_name` for `Img. name`."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def number(text: str) -> float | None:
    """Return the number that a cell holds, perhaps with a decimal comma or a percent sign; None where it holds none."""
    text = text.strip()
    share = text.endswith("%")
    text = text.removesuffix("%").strip()
    if not re.fullmatch(
        r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d{1,4})?|[+-]?(nan|inf|infinity)", text, re.IGNORECASE | re.ASCII
    ):
        return None
    return float(text.replace(",", ".")) / (100 if share else 1)
