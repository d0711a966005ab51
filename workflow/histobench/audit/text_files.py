"""Files of other people, read with limits: text only, of a bounded size, as rows of cells.

Nothing in a file is executed, and no other file is opened because of what it says. YAML is read without tags and aliases.
"""

import csv
import json
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError

MAX_BYTES = 64 * 2**20
"""Largest file that is read: a list of 500,000 long paths."""
MAX_DEPTH = 8
"""Deepest nesting of JSON and YAML."""
MAX_COLUMNS = 500
MOST_FOLDS = 20
"""Of a list of lists: more lists are rows of a table, and so are shorter ones of one length."""
DELIMITERS = ";\t|, "
"""Where two divide the lines equally well, the first: a comma may be that of a decimal number."""

Row = tuple[int, Sequence[str]]
"""Number of the line, from 1, or of the record, and the cells."""


@dataclass(frozen=True)
class Rows:
    """The content of a file as rows of cells."""

    path: Path
    rows: Sequence[Row]
    delimiter: str = ""
    """Between cells; empty for a list of one name a line."""
    columns: Sequence[str] = ()
    """Names of the columns where the form of the file gives them (JSON and YAML), in lower case; else the first row may hold them."""
    notes: Sequence[str] = ()


def read_rows(path: Path) -> Rows:
    """Read a table, a list, or a JSON or YAML file.

    Raises:
        HistoBenchError: the file is missing, no file, too large, empty, or not text, or its JSON or YAML cannot be read.
    """
    text, notes = read_text(path)
    start = text.lstrip()[:1]
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson", ".yaml", ".yml") or start in ("{", "["):
        columns, rows = _flattened(path, structure(path, text))
        return Rows(path, rows, "", columns, notes)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    delimiter = _delimiter([line for _, line in lines[:: max(1, len(lines) // 200)]])
    if not delimiter:
        return Rows(path, [(number, [line.strip()]) for number, line in lines], "", (), notes)
    try:
        reader = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True)
        rows = [(lines[reader.line_num - 1][0], [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise HistoBenchError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    return Rows(path, rows, delimiter, (), notes)


def read_table(
    path: Path, expected: str, max_rows: int, is_row: Callable[[Sequence[str]], bool] | None = None
) -> tuple[list[str], Sequence[Row], list[str]]:
    """Return the header, the rows below it, each with as many cells, and notes.

    Args:
        path: of the file.
        expected: what it should hold, for messages.
        max_rows: most rows that are read.
        is_row: tells whether the first line is a row, so that there is no header; None where there is always one.

    Raises:
        HistoBenchError: as :func:`read_rows`, or the file is no such table.
    """
    table = read_rows(path)
    rows, notes = [(line, cells) for line, cells in table.rows if any(cells)], list(table.notes)
    if not rows:
        raise HistoBenchError(f"{path}: has no line with a value, expected {expected}; fill it in")
    header = list(table.columns or rows[0][1])
    width = len(header)
    if not 2 <= width <= MAX_COLUMNS:
        raise HistoBenchError(
            f"{path}: has {width} column{'s' * (width != 1)}, expected {expected}; check what separates the columns"
        )
    if not table.columns and is_row and is_row(header):
        header = [f"column {number}" for number in range(1, width + 1)]
        notes.append(f"{path.name}: has no header; columns are called column 1 and so on")
    elif not table.columns:
        rows = rows[1:]
    if not rows:
        raise HistoBenchError(f"{path}: has a header but no row below it, expected {expected}; give the whole table")
    if len(rows) > max_rows:
        raise HistoBenchError(
            f"{path}: has {len(rows):,} rows, expected {expected}, at most {max_rows:,} rows; leave out the others"
        )
    for line, cells in rows:
        if len(cells) != width:
            raise HistoBenchError(
                f"{path}, line {line}: has {len(cells)} values where the first line has {width}; correct the line, or put a value that "
                f"holds {table.delimiter!r} in quotes"
            )
    return header, rows, notes


def read_text(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file, and what was assumed about it.

    Raises:
        HistoBenchError: as :func:`read_rows`.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise HistoBenchError(f"{path}: is a folder, expected a file; name the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise HistoBenchError(f"{path}: is no regular file, expected a list or table; name a file")
        if status.st_size > MAX_BYTES:
            raise HistoBenchError(
                f"{path}: has {status.st_size / 1e6:,.0f} MB, expected a list or table of at most {MAX_BYTES / 1e6:.0f} MB; "
                "leave out the columns and rows that are not needed"
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise HistoBenchError(f"{path}: there is no such file; correct the path") from None
    except (OSError, ValueError) as error:
        raise HistoBenchError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); correct the path or its permissions"
        ) from None
    if not data.strip():
        raise HistoBenchError(f"{path}: is empty, expected names of images; give the file that holds them")
    text, notes = _decoded(path, data)
    if not text.strip():
        raise HistoBenchError(f"{path}: is empty, expected names of images; give the file that holds them")
    return text, notes


def _decoded(path: Path, data: bytes) -> tuple[str, list[str]]:
    refusal = HistoBenchError(
        f"{path}: is not text (it begins with {data[:8]!r}), expected a list or table; export it as CSV in UTF-8"
    )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text, notes = data.decode("utf-16"), []
        except UnicodeDecodeError:
            raise refusal from None
    else:
        if b"\0" in data:
            raise refusal
        try:
            text, notes = data.decode("utf-8-sig"), []
        except UnicodeDecodeError:
            text, notes = data.decode("latin-1"), [f"{path.name} is not in UTF-8 and was read as Latin-1."]
    sample = text[:100_000]
    odd = sum(not character.isprintable() and character not in "\t\r\n\f\v" for character in sample)
    if odd * 100 > len(sample):
        raise refusal
    return text, notes


def _delimiter(lines: Sequence[str]) -> str:
    """Return the character that divides nearly all lines, the first among them if possible, into the same number of cells; or nothing."""
    lines = [line for line in lines if len(line) < 10_000] or lines
    best, chosen = (False, 1), ""
    for delimiter in DELIMITERS:
        if delimiter == " " and chosen:
            continue
        try:
            numbers = [len(next(csv.reader([line], delimiter=delimiter))) for line in lines]
        except (csv.Error, StopIteration):
            continue
        cells, count = Counter(numbers).most_common(1)[0]
        if cells > 1 and count >= 0.9 * len(lines) and (numbers[0] == cells, cells) > best:
            best, chosen = (numbers[0] == cells, cells), delimiter
    if not chosen:  # lines of different lengths: a fault, which is told where it is
        common = [one for one in DELIMITERS.strip() if all(one in line for line in lines)]
        chosen = max(common, key=lines[0].count, default="")
    return chosen


def structure(path: Path, text: str) -> Any:
    """Return what a JSON or YAML file holds, by its suffix.

    Raises:
        HistoBenchError: it cannot be read, or has YAML aliases or tags.
    """
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            return [json.loads(line, object_pairs_hook=_once) for line in text.splitlines() if line.strip()]
        if not is_yaml:
            return json.loads(text, object_pairs_hook=_once)
        import yaml

        if re.search(r"(?:^|[\s\[{,:-])[&*]\w", text) and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)
        ):
            raise HistoBenchError(f"{path}: has YAML aliases, expected values written out; write it without aliases")

        base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

        class Loader(base):
            def construct_mapping(self, node: Any, deep: bool = False) -> dict:
                _once([(self.construct_object(key, deep=True), None) for key, _ in node.value])
                return super().construct_mapping(node, deep)

        return yaml.load(text, Loader=Loader)
    except HistoBenchError:
        raise
    except RecursionError:
        raise HistoBenchError(f"{path}: is nested too deeply, expected sets and their names; write it flat") from None
    except Exception as error:  # yaml has errors of several kinds, a constructor's ValueError among them
        reason = " ".join(str(error).split())[:200]
        what = "YAML" if is_yaml else "JSON"
        raise HistoBenchError(f"{path}: cannot be read as {what} ({reason}); correct the file") from None


def _once(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a mapping; a key that is there twice would hide what the first one holds."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r:.60} is there twice")
    return made


def _flattened(path: Path, content: Any) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of nested sets and names.

    A name below keys such as ``fold_1`` and ``train`` becomes a row with these keys; records keep their fields; name -> set becomes a row
    with both.
    """
    content = _transposed(content)
    records = list(_records(path, content, (), 0))
    if not records:
        raise HistoBenchError(f"{path}: holds no names, expected sets with lists of names; give the file that does")
    columns = list(dict.fromkeys(column for record in records for column in record))
    return columns, [
        (number, [record.get(column, "") for column in columns]) for number, record in enumerate(records, 1)
    ]


def _transposed(content: Any) -> Any:
    """Return records of a table that was written as column -> row -> value, or column -> values."""
    if isinstance(content, Mapping) and len(content) > 1:
        columns = list(content.values())
        if all(isinstance(column, Mapping) and column and column.keys() == columns[0].keys() for column in columns):
            scalars = all(not isinstance(value, (Mapping, list)) for column in columns for value in column.values())
            if scalars and all(str(row).isdigit() for row in columns[0]):
                return [{name: column[row] for name, column in content.items()} for row in columns[0]]
        if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            scalars = all(not isinstance(value, (Mapping, list)) for column in columns for value in column)
            # Columns, not sets of names: one holds fractions, or classes, sets or folds, of which there are few.
            if scalars and any(_is_of_values(column) for column in columns):
                return [dict(zip(content, values, strict=True)) for values in zip(*columns, strict=True)]
    return content


def _is_of_values(column: Sequence[Any]) -> bool:
    return any(isinstance(value, float) for value in column) or len(set(map(str, column))) * 2 < len(column)


def _records(path: Path, content: Any, keys: tuple[str, ...], depth: int) -> Iterator[dict[str, str]]:
    """Yield a record for each name: its own fields, or `name`, and `key 1`, `key 2`, ... above it.

    Of a list of mappings that hold lists, and of a few lists that are long or of several lengths, the number of the item is a key: each is
    a fold.
    """
    if depth > MAX_DEPTH:
        raise HistoBenchError(f"{path}: is nested too deeply, expected sets and their names; write it flat")
    above = {f"key {number}": key for number, key in enumerate(keys, 1)}
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _records(path, value, (*keys, str(key)), depth + 1)
    elif isinstance(content, list):
        lengths = {len(one) for one in content if isinstance(one, list)}
        folds = len(content) <= MOST_FOLDS and (len(lengths) > 1 or max(lengths, default=0) > MOST_FOLDS)
        for number, value in enumerate(content, 1):
            if isinstance(value, Mapping) and all(not isinstance(one, (Mapping, list)) for one in value.values()):
                yield {str(key).strip().lower(): _text(one) for key, one in value.items()} | above
            elif isinstance(value, list) and not folds and all(not isinstance(one, (Mapping, list)) for one in value):
                yield {f"column {number}": _text(one) for number, one in enumerate(value, 1)} | above
            else:
                is_fold = len(content) > 1 and isinstance(value, (Mapping, list))
                yield from _records(path, value, (*keys, f"fold {number}") if is_fold else keys, depth + 1)
    elif content is not None:
        yield {"name": _text(content)} | above


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
