"""One table, three forms: CSV for programs, Markdown for the eye, LaTeX for a paper."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.io.files import atomic_path, write_csv
from histobench.report.terms import Texts, cell, head

SENTENCE = 60
"""A column with a cell of more letters than that holds sentences."""


class Bold(str):
    """The text of a cell that is printed in bold."""


@dataclass(frozen=True)
class Table:
    """What a table holds, and how it is printed."""

    title: str
    """For example `Table 4`; LaTeX numbers its tables itself and leaves it out."""
    caption: str
    columns: tuple[str, ...]
    """Columns of the CSV."""
    rows: Sequence[Mapping[str, object]]
    """Rows of the CSV; None is an empty cell."""
    header: tuple[str, ...]
    """Printed column heads."""
    cells: Sequence[Sequence[str]]
    """Printed cells, one sequence as long as `header` per row."""

    @classmethod
    def of(
        cls,
        title: str,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Texts],
        shown: Sequence[str],
        header: Sequence[str] = (),
        bold: Container[tuple[int, str]] = (),
    ) -> "Table":
        """Return a table whose cells follow from its rows.

        `shown` says what each printed column shows, see :func:`histobench.report.terms.cell`, and `bold` which (row, one of
        `shown`) are in bold. Column heads are those of `shown` unless `header` has others.
        """
        cells = [
            tuple(Bold(text) if (index, name) in bold else text for name in shown for text in [cell(row, name)])
            for index, row in enumerate(rows)
        ]
        return cls(title, caption, tuple(columns), rows, tuple(header or map(head, shown)), cells)


def write(table: Table, prefix: Path, beside: Table | None = None) -> None:
    """Write PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX-tabular.tex, and the same of PREFIX-beside-published."""
    if beside:
        write(beside, Path(f"{prefix}-beside-published"))
    write_csv(Path(f"{prefix}.csv"), table.columns, table.rows)
    label = Path(prefix).name
    for suffix, text in (
        (".md", markdown(table)),
        (".tex", latex(table, label)),
        ("-tabular.tex", latex(table, label, breaks=False)),
    ):
        with atomic_path(Path(f"{prefix}{suffix}")) as temporary:
            temporary.write_text(text, encoding="utf-8")


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, its columns padded so that the plain text reads as a table too."""

    def cell(text: str) -> str:
        escaped = text.replace("|", r"\|")
        return f"**{escaped}**" if isinstance(text, Bold) and text else escaped

    columns = list(zip(*([cell(text) for text in line] for line in (table.header, *table.cells)), strict=True))
    padded = []
    for texts, number in zip(columns, _numeric(table), strict=True):
        width = max(3, *map(len, texts))
        head, *rest = (text.rjust(width) if number else text.ljust(width) for text in texts)
        padded.append([head, "-" * (width - 1) + (":" if number else "-"), *rest])
    body = "\n".join(f"| {' | '.join(line)} |" for line in zip(*padded, strict=True))
    return f"**{table.title}.** {table.caption}\n\n{body}\n"


def latex(table: Table, label: str, breaks: bool = True) -> str:
    r"""Return the table with booktabs rules, to be `\input` into a document.

    A study may have more arms than a page has lines, so that the table `breaks`: it is a `longtable`, which a document of
    one column can have. Without, it is a `tabular` as wide as both columns of a page. The letters shrink with its width. The
    columns that hold sentences share two thirds of the page's width and are broken into lines.
    """

    def cell(text: str) -> str:
        return rf"\textbf{{{escape(text)}}}" if isinstance(text, Bold) and text else escape(text)

    def line(texts: Sequence[str]) -> str:
        return " & ".join(map(cell, texts)) + r" \\"

    widths = [max(map(len, column)) for column in zip(table.header, *table.cells, strict=True)]
    size = r"\small" if sum(widths) <= 70 else r"\scriptsize" if sum(widths) <= 100 else r"\tiny"
    sentences = sum(width for width in widths if width > SENTENCE)
    alignment = "".join(
        f"p{{{0.66 * width / sentences:.2f}\\linewidth}}" if width > SENTENCE else "r" if number else "l"
        for width, number in zip(widths, _numeric(table), strict=True)
    )
    head = [r"\toprule", line(table.header), r"\midrule"]
    caption = rf"\caption{{{escape(table.caption)}}}\label{{tab:{label}}}"
    if not breaks:
        lines = [
            r"% needs \usepackage{booktabs}; for two columns: as wide as the page, which it must fit in",
            rf"\begin{{table*}}\centering{size}\setlength{{\tabcolsep}}{{3pt}}",
            caption,
            rf"\begin{{tabular}}{{{alignment}}}",
            *(*head, *map(line, table.cells), r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""),
        ]
        return "\n".join(lines)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,longtable}; a wide table wants a landscape page",
            rf"\begingroup{size}\setlength{{\tabcolsep}}{{3pt}}",
            rf"\begin{{longtable}}{{{alignment}}}",
            rf"{caption}\\",
            *head,
            r"\endfirsthead",
            *head,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *map(line, table.cells),
            r"\end{longtable}",
            r"\endgroup",
            "",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "“": "``",
    "”": "''",
    "α": r"$\alpha$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Return `text` with every character that LaTeX gives a meaning written so that it prints as itself."""
    return "".join(_LATEX.get(character, character) for character in text)


def _numeric(table: Table) -> list[bool]:
    """Return for each column whether it is set flush right: some cell, and every filled one, starts like a number."""
    columns = list(zip(*table.cells, strict=True)) or [()] * len(table.header)
    return [any(column) and all(re.match(r"[+−–-]*\d|–$", text) for text in column if text) for column in columns]
