"""The five hold-outs of BreakHis's authors, from the names of slides alone.

The authors' lists (dsfold1.txt to dsfold5.txt of their ``mkfold`` archive) put all images of a (subtype, slide) pair on one side of a
fold, so that :data:`TABLE` says the same in 82 rows: the folds that each pair is tested in. It trains in the others. 13 pairs are never
tested, 5 are in four folds.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("breakhis_official_folds.csv")
"""Columns: subtype, slide, and the numbers of the folds that test it, with spaces between them."""
COUNT = 5


@cache
def tested() -> Mapping[tuple[str, str], frozenset[int]]:
    """Return (subtype, slide) -> the folds, from 1, that test its images."""
    with TABLE.open(newline="", encoding="ascii") as file:
        return {
            (row["subtype"], row["slide"]): frozenset(map(int, row["tested_in"].split()))
            for row in csv.DictReader(file)
        }
