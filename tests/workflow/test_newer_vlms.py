"""The study of newer vision-language models, at a small size: synthetic images and small random models."""

import csv
from pathlib import Path

import pytest


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_newer_models_are_trained_in_both_ways_and_shown_beside_the_papers_two(project):
    project.study("newer-vlms")
    study = project.folder / "results/studies/newer-vlms"
    names = ["Qwen2-VL-2B", "SmolVLM", "Qwen2.5-VL-3B", "Qwen3-VL-2B", "SmolVLM2"]
    scores = [(row["model"], row["mode"]) for row in rows(study / "tables/scores.csv") if row["selection"] == "last"]
    assert sorted(scores) == sorted((name, mode) for name in names for mode in ("lp", "ft"))
    # Rank 16 on q, k, v and o of two layers, 32 wide: 2 * 16 * (64 + 64 + 64 + 64), and a head of 33.
    counts = {row["model"]: row["trainable"] for row in rows(study / "parameters.csv") if row["mode"] == "ft"}
    assert counts["qwen2.5-vl-3b"] == counts["qwen3-vl-2b"] == "8225"
    pairs = {(row["first"], row["second"]) for row in rows(study / "comparisons.csv")}
    assert pairs == {
        (f"{newer}/{mode}", f"{older}/{mode}")
        for newer, older in [("qwen2.5-vl-3b", "qwen2-vl-2b"), ("qwen3-vl-2b", "qwen2-vl-2b"), ("smolvlm2", "smolvlm")]
        for mode in ("lp", "ft")
    }
    figure, page = (study / "figures/vlm.svg").read_text(), (study / "report.html").read_text()
    assert all(name in figure and name in page for name in names)
    assert "features of" in figure
