"""Numbers and tables as a person reads them."""

import pytest

from histobench.tools import text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "?"),
        (0, "< 1 s"),
        (0.99, "< 1 s"),
        (1, "1 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (3599, "60 min"),
        (3600, "1.0 h"),
        (35 * 3600, "35 h"),
        (36 * 3600, "1.5 days"),
        (86400 * 1000, "1,000 days"),
    ],
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 MB"),
        (1, "< 1 MB"),
        (1.5e6, "1.5 MB"),
        (9.96e6, "10 MB"),
        (4.41e9, "4.4 GB"),
        (66e9, "66 GB"),
        (2e12, "2.0 TB"),
    ],
)
def test_amounts(size, shown):
    assert text.amount(size) == shown


def test_a_table_is_aligned():
    lines = text.columns(
        ("name", "runs", "time"), [["vgg19", "20", "~15 min"], ["all", "1,000", "?"]], left=1, totals=1
    )
    assert lines == [
        "name    runs     time",
        "-----  -----  -------",
        "vgg19     20  ~15 min",
        "-----  -----  -------",
        "all    1,000        ?",
    ]


def test_long_sentences_are_folded_and_paths_are_not_cut():
    path = "resources/" + "x" * 120
    lines = text.wrapped(f"a word and {path} and the rest", "   ")
    assert lines == ["a word and", f"   {path}", "   and the rest"]
