"""The study of parts that are trained, at a small size: every arm, its parameters, and their figure."""

import csv

import pytest
import yaml

from histobench.study import resolved
from tests.workflow.conftest import ROOT, loaded, shared_with_the_paper

FOLDER = "results/studies/lora"
# SMALL and narrow: ResNet34 has stages of 4, 8, 16 and 32 channels, the decoders have 2 layers and the towers 2 blocks.
BLOCK = {"qwen2-vl-2b": 32 * 96 + 96 + 32 * 32 + 32 + 32 * 64 + 64 + 64 * 32 + 32 + 4 * 32}
BLOCK["smolvlm"] = 6 * (16 * 16 + 16) + 4 * 16


def test_the_runs_of_the_papers_study_are_shared():
    study = loaded(yaml.safe_load((ROOT / "config/studies/lora.yaml").read_text()))
    assert (len(study.runs), len(shared_with_the_paper(study))) == (16 * 5, 3 * 5)


@pytest.mark.slow
def test_the_study_of_trained_parts(project):
    project.study("lora")
    with (project.folder / FOLDER / "parameters.csv").open() as file:
        rows = {(row["model"], row["mode"]): (int(row["trainable"]), int(row["lora"])) for row in csv.DictReader(file)}
    arms = [arm.key for arm in resolved.load(project.folder / FOLDER / "study.json").arms]
    assert list(rows) == arms
    assert len(arms) == 9 + 3 + 4
    for model, hidden, layer in (("qwen2-vl-2b", 32, 4 * (32 + 32)), ("smolvlm", 16, 4 * (16 + 16))):
        plain = 2 * 16 * layer
        assert rows[model, "ft"] == (plain + hidden + 1, plain)
        assert rows[model, "lora-blocks"] == (plain + 2 * BLOCK[model] + hidden + 1, plain)
    assert rows["qwen2-vl-2b", "lora-r64"][1] == 16 * rows["qwen2-vl-2b", "lora-r4"][1] == 4 * 2 * 16 * 4 * 64
    assert rows["qwen2-vl-2b", "lora-first"] == rows["qwen2-vl-2b", "lora-last"] == (16 * 256 + 33, 16 * 256)
    last = 16 * 32 * 9 + 5 * 32 * 32 * 9 + 16 * 32 + 7 * 2 * 32
    assert [rows["resnet34", mode] for mode in ("lp", "last")] == [(33, 0), (last + 33, 0)]
    # What each run counted in the module that it trained.
    with (project.folder / FOLDER / "costs.csv").open() as file:
        trained = {(row["model"], row["mode"]): int(row["trainable"]) for row in csv.DictReader(file)}
    assert trained == {arm: count for arm, (count, _) in rows.items()}
    page = (project.folder / FOLDER / "report.html").read_text()
    assert '<figure id="trained-parameters">' in page
    assert "last block, what follows it, and head" in page
    assert "the last 2 blocks of the vision tower trained" in page
    assert "of a CNN every convolution that is not grouped" in page
