"""Reads a report page with the standard library's parser and holds every number on it against its CSV."""

import csv
import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

SECTIONS = [
    *("answer", "kept-apart", "tables", "comparisons", "figures", "errors", "external", "claims"),
    *("protocol", "provenance", "gaps", "files", "licence"),
]
MEASURED = {"answer", "kept-apart", "tables", "comparisons", "errors", "external", "claims", "gaps"}
"""Sections in which no number with decimals may stand outside a mark; captions speak of conventions."""


@dataclass
class Read(HTMLParser):
    """What the tests need of a page."""

    marks: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    """Attributes of each mark, its file and row filled in from around it, and its text."""
    loose: list[str] = field(default_factory=list)
    """Texts of measured sections outside any mark."""
    sections: list[str] = field(default_factory=list)
    addresses: list[tuple[str, str, str]] = field(default_factory=list)
    """Element, attribute, address of whatever names one."""
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "section":
            self.sections.append(attributes["id"] or "")
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attributes:
                self.addresses.append((tag, name, attributes[name] or ""))
        if tag == "data":
            around = {}
            for _, outer in self.open:
                around |= {key: value for key, value in outer.items() if key in ("data-file", "data-row")}
            self.marks.append((around | attributes, ""))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not data.strip() or any(tag in ("style", "script") for tag, _ in self.open):
            return
        self.texts.append(data.strip())
        if self.open and self.open[-1][0] == "data":
            attributes, text = self.marks[-1]
            self.marks[-1] = (attributes, text + data)
        elif any(tag == "section" and found.get("id") in MEASURED for tag, found in self.open):
            spoken = any(
                tag in ("summary", "h3", "a", "option") or found.get("class") == "caption" for tag, found in self.open
            )
            if not spoken:
                self.loose.append(data.strip())


def read(page: Path) -> Read:
    found = Read()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def plain(text: str) -> float:
    return float(text.replace("−", "-").replace(",", "").replace("×", ""))


def check(page: Path) -> int:
    """Assert that every marked value is its cell, shown rightly, and that no measured number is unmarked; count marks."""

    @cache
    def rows(file: str) -> list[dict[str, str]]:
        with (page.parent / file).open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    found = read(page)
    for attributes, text in found.marks:
        where = (attributes, text)
        file, column = attributes["data-file"] or "", attributes["data-column"] or ""
        if "data-sum" in attributes:
            assert plain(text) == round(sum(float(row[column]) for row in rows(file)), 1), where
            continue
        if "data-equals" in attributes:
            assert int(text) == sum(row[column] == attributes["data-equals"] for row in rows(file)), where
            continue
        value = rows(file)[int(attributes["data-row"] or "")][column]
        assert attributes["value"] == value, where
        try:
            number = float(value)
        except ValueError:
            if column not in ("model", "mode", "first", "second", "selection", "metric", "magnification"):
                assert text == value, where
            continue
        if column == "magnification" and value == "0":
            continue
        if "data-negated" in attributes:
            number = -number
        shown = re.fullmatch(r"([+−]?[\d,]+(?:\.(\d+))?)(?:e(−?\d+))?×?", text)
        assert shown, where
        exponent = int((shown[3] or "0").replace("−", "-"))
        last = 10.0 ** (exponent - len(shown[2] or ""))
        # No further away than half a unit of the last digit shown: rounded, or the very same.
        assert abs(plain(shown[1]) * 10.0**exponent - number) <= 0.5000001 * last, where
        if len(value.partition(".")[2]) <= 4 and "e" not in value:
            assert plain(text) == number, where
    unmarked = [text for text in found.loose if re.search(r"\d\.\d", text)]
    assert not unmarked, unmarked
    return len(found.marks)
