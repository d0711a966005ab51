"""The study of pathology encoders at a small size, with the true workflow."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, loaded

pytestmark = pytest.mark.slow

STUDY = yaml.safe_load((ROOT / "config/studies/foundation.yaml").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_encoders_are_trained_and_reported_as_cnns_are(project):
    project.edit("config/studies/foundation.yaml", "splits: [patient, accession]", "splits: [patient]")
    project.study("foundation")
    results = project.folder / "results/studies/foundation"
    assert {row["model"] for row in rows(results / "tables/scores.csv")} == {"ResNet34", "Phikon", "Phikon-v2", "PLIP"}
    sizes = {row["model"]: int(row["trainable"]) for row in rows(results / "parameters.csv") if row["mode"] == "lp"}
    # A linear layer with one output, on 24 (timm), 32 (DINOv2) and 20 (CLIP's projection) numbers.
    assert (sizes["phikon"], sizes["phikon-v2"], sizes["plip"]) == (25, 33, 21)
    records = [json.loads(path.read_text()) for path in project.folder.glob("results/breakhis-*/runs/*/lp/**/run.json")]
    assert len(records) == 8
    assert {record["specification"]["model"]["family"] for record in records} == {"cnn", "encoder"}
    page = (results / "report.html").read_text()
    assert "Models start from RANDOM weights." in page
    assert "channel means and deviations as each model was published; embedding: model" in page
    assert "CNN or encoder" in (results / "figures/cnn.svg").read_text()
    assert not (results / "figures/vlm.svg").exists()


def test_a_gated_model_without_a_token_is_said_before_anything_runs(project, monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(project.folder))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    config = STUDY | {"grid": [STUDY["grid"][0] | {"models": ["uni"]}]}
    (project.folder / "config/gated.yaml").write_text(yaml.safe_dump(config))
    said = "note: models.uni: MahmoodLab/UNI is gated: accept its licence on http://127.0.0.1:9/MahmoodLab/UNI, "
    target = loaded(config).path("resources/weights/{model}-{weights_key}.config.json", model="uni")
    output = project.refusal("--configfile", "config/gated.yaml", "--cores", "1", "-p", target)
    assert said in output
    assert re.search(r"fetch_config\.py.* --gated ", output)
