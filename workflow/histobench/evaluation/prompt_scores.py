"""Scores of each prompt of a model that is not trained."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from histobench.evaluation.summary import ARM, Row, summarise
from histobench.io.files import read_csv
from histobench.metrics import scores
from histobench.study.run_files import prompt_column
from histobench.study.runs import Run

SCORES = ("accuracy", "auc")


def of_prompts(paths: Iterable[Path], prompts: Mapping[tuple[str, str], int]) -> list[Row]:
    """Return a row for each arm and prompt, its number from 0 as `prompt`: mean and deviation over folds of `SCORES`.

    `paths` are files of predictions; `prompts` says how many prompts the runs of a model in a mode have. Others are left out.

    Raises:
        HistoBenchError: a file or a column is missing.
    """
    rows: list[Row] = []
    for path in paths:
        run = Run.of(str(path))
        columns = [prompt_column(number) for number in range(prompts.get((run.model, run.mode), 0))]
        images = read_csv(path, ("label", *columns)) if columns else []
        label = np.array([row["label"] == "1" for row in images])
        for number, column in enumerate(columns):
            found = scores(label, np.array([float(row[column]) for row in images]))
            row: Row = asdict(run)
            rows.append(row | {"prompt": number} | {name: found[name] for name in SCORES})
    return summarise(rows, (*ARM, "prompt"), SCORES)
