"""An audit as text for the terminal, as audit.json, and as one HTML page."""

import base64
import json
import math
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from histobench import report
from histobench.audit.findings import Cell, Section, Table
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.report.page.templates import environment

WIDTH = 110
"""Widest line for the terminal, in characters."""
NO_BREAK = "\xa0"
ROWS_SHOWN = 15
"""Rows of a table that the terminal shows; the page and audit.json have all."""


def write(sections: Sequence[Section], folder: Path, files: Sequence[str]) -> None:
    """Write audit.json and audit.html into a folder, which is made.

    Raises:
        HistoBenchError: the folder cannot be written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoBenchError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder with --output"
        ) from None
    written = json.dumps(as_json(sections, files), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("audit.json", written), ("audit.html", page(sections, files))):
        try:
            with atomic_path(folder / name) as temporary:
                # Names of files on Linux may hold bytes that are no UTF-8.
                temporary.write_text(content, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise HistoBenchError(
                f"{folder / name}: cannot be written ({error.strerror}); choose another folder with --output"
            ) from None


def as_json(sections: Sequence[Section], files: Sequence[str]) -> dict[str, Any]:
    """Return what audit.json holds; NaN and infinity are null."""
    parts = []
    for section in sections:
        tables = [asdict(table) for table in section.tables]
        parts.append(
            {
                "title": section.title,
                "sentences": list(section.sentences),
                "warnings": list(section.warnings),
                "tables": {table.pop("name"): table for table in tables},
                "data": section.data,
            }
        )
    return _finite({"format": 1, "files": list(files), "sections": parts})


def text(sections: Sequence[Section]) -> Iterator[str]:
    """Yield the lines for a terminal: sentences, notes, and tables that are not too wide."""
    width = max(60, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
    yield from map(printable, _lines(sections, width))


def _lines(sections: Sequence[Section], width: int) -> Iterator[str]:
    for section in sections:
        yield ""
        yield section.title
        yield "=" * len(section.title)
        for sentence in section.sentences:
            whole = sentence.replace(" %", f"{NO_BREAK}%")
            yield from textwrap.wrap(whole, width, initial_indent="- ", subsequent_indent="  ")
        for warning in section.warnings:
            yield from textwrap.wrap(f"note: {warning}", width, subsequent_indent="  ")
        for table in section.tables if not section.is_part else ():
            yield from _table(table, width)
    if any(section.is_part for section in sections):
        yield from ("", "The tables of each fold are in audit.html.")


def page(sections: Sequence[Section], files: Sequence[str]) -> str:
    """Return one self-contained HTML page: no address on it is loaded from anywhere."""
    from markupsafe import Markup

    style = Path(report.__file__).parent / "page"
    shown = [
        {
            "section": section,
            "tables": [
                (table, [[(cell(table, row, at), row[at]) for at in range(len(row))] for row in table.rows])
                for table in section.tables
            ],
            "figures": [(caption, f"data:image/svg+xml;base64,{_base64(svg)}") for caption, svg in section.figures],
        }
        for section in sections
    ]
    template = environment(Path(__file__).parent).get_template("audit_page.html")
    return template.render(
        sections=shown,
        whole=[section for section in sections if not section.is_part],
        files=files,
        style=Markup((style / "style.css").read_text(encoding="utf-8")),
        script=Markup((style / "script.js").read_text(encoding="utf-8")),
        # The tables of a part have its title at the end of their names.
        heading=lambda section, table: (
            table.name.split("-")[0]
            if section.is_part
            else re.sub(r"^(predictions|printed)-(m\d+-)?", "", table.name).replace("-", " ")
        ).capitalize(),
        is_number=lambda table, at: any(isinstance(row[at], (int, float)) for row in table.rows),
    )


def cell(table: Table, row: Sequence[Cell], at: int) -> str:
    """Return the text of a cell; `–` where there is no value."""
    value = row[at]
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, str):
        return value
    written = table.formats.get(table.columns[at], "," if isinstance(value, int) else ".4g")
    return format(value, written).replace("%", " %")


def printable(text: str) -> str:
    """Return a line without what a terminal would obey or no file can hold: control characters and lone surrogates as escapes."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text.replace(NO_BREAK, " ")
    )


def _table(table: Table, width: int) -> Iterator[str]:
    rows = [[cell(table, row, at) for at in range(len(row))] for row in table.rows[:ROWS_SHOWN]]
    widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    yield ""
    yield f"{table.name}"
    if sum(widths) + 2 * len(widths) > width:  # each column head in lines of its own words
        heads = [textwrap.wrap(head, 10, break_long_words=False) or [""] for head in table.columns]
        widths = [max(*map(len, head), *(len(row[at]) for row in rows), 1) for at, head in enumerate(heads)]
        height = max(map(len, heads))
        lines = [[head[level] if level < len(head) else "" for head in heads] for level in range(height)]
    else:
        lines = [list(table.columns)]
    if sum(widths) + 2 * len(widths) > width:
        yield f"  {len(table.rows):,} rows and {len(table.columns)} columns, too wide for here: see audit.html"
        return
    numbers = [any(isinstance(row[at], (int, float)) for row in table.rows) for at in range(len(table.columns))]
    for line in [*lines, ["-" * width for width in widths], *rows]:
        padded = [
            value.rjust(width) if number else value.ljust(width)
            for value, width, number in zip(line, widths, numbers, strict=True)
        ]
        yield f"  {'  '.join(padded)}".rstrip()
    if len(table.rows) > ROWS_SHOWN:
        yield f"  ... {len(table.rows) - ROWS_SHOWN} more rows in audit.html"


def _base64(svg: str) -> str:
    return base64.b64encode(svg.encode()).decode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
