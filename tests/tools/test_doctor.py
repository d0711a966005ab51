"""Each check of the doctor: what it needs, and what it finds."""

import json
from pathlib import Path

import pytest

from histobench.tools import doctor
from histobench.tools.command_line import study

GIB = 2**30


def probed(*gpus, cuda="13.2", mps=False) -> dict:
    return {"faults": [], "torch": "2.15", "cuda": cuda, "mps": mps, "gpus": list(gpus)}


def statuses(findings) -> list[tuple[str, str]]:
    return [(finding.status, finding.topic) for finding in findings]


def configured(**settings):
    """The paper's study with a few other settings."""
    Path("mine.json").write_text(json.dumps(settings))
    return study([Path("mine.json")])


@pytest.mark.parametrize(
    ("wanted", "gpus", "driver", "status", "text"),
    [
        ("auto", [["H200", 130 * GIB, 139 * GIB]], True, "ok", "H200, 130 of 139 GiB free"),
        ("cpu", [["H200", 130 * GIB, 139 * GIB]], True, "ok", "not used, because of `device: cpu`"),
        ("cuda", [], False, "problem", "none, but the configuration says `device: cuda`"),
        ("mps", [], False, "problem", "none, but the configuration says `device: mps`"),
        ("auto", [], True, "problem", "the driver has one, but this PyTorch (CUDA 13.2) cannot use it"),
        ("auto", [], False, "ok", "none; the processor computes"),
    ],
)
def test_gpus(folder, monkeypatch, wanted, gpus, driver, status, text):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/bin/x" if driver else None)
    (finding,) = doctor.gpu(configured(device=wanted), probed(*gpus))
    assert finding.status == status
    assert text in finding.text


def test_a_library_that_fails_to_load_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    (tmp_path / "crashing.py").write_text("import os; os._exit(3)")
    (tmp_path / "hanging.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor.probe(("json", "broken"))
    assert found["faults"] == ["broken: libGL.so.1: cannot open shared object file"]
    assert ("problem", "libraries") in statuses(doctor.machine(found))
    assert doctor.probe(("crashing",))["faults"] == ["importing crashing ended Python"]
    assert doctor.probe(("hanging",), limit=0.5)["faults"] == ["importing hanging took more than 0.5 s"]


def test_data_and_weights_that_are_missing(folder):
    found = list(doctor.missing(study(), ""))
    assert statuses(found) == [("note", "download")] * 9  # two archives, five models' weights, two architectures
    assert {finding.step for finding in found} == {"make fetch"}
    Path("resources/breakhis").mkdir(parents=True)
    Path("resources/breakhis/BreaKHis_v1.tar.gz").touch()
    assert statuses(doctor.missing(study(), ""))[:2] == [("ok", "download"), ("note", "download")]
    own = configured(datasets={"breakhis": {"url": None, "source": "images"}})
    (problem,) = (finding.text for finding in doctor.missing(own, "") if finding.status == "problem")
    assert problem.startswith("images: there is no such archive or folder; put the images there")
    assert "datasets.breakhis.source" in problem


def test_a_gated_model_without_a_token_is_a_problem(folder, monkeypatch):
    weights = {"hub": "MahmoodLab/UNI", "revision": "0" * 40}
    uni = {"family": "encoder", "gated": True, "weights": weights}
    block = {
        "dataset": "breakhis",
        "modes": ["lp"],
        "splits": ["patient"],
        "magnifications": [200],
        "augmentations": ["none"],
    }
    config = configured(models={"uni": uni}, grid=[block | {"models": ["uni"]}], external=[])
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    problem = next(iter(doctor.missing(config, "")))
    assert problem.status == "problem"
    assert problem.text == (
        "models.uni: MahmoodLab/UNI is gated: accept its licence on https://huggingface.co/MahmoodLab/UNI, write `gated: true` in the "
        "model's entry, and give a token of that account in the environment variable HF_TOKEN or by `hf auth login`"
    )
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_mine")
    assert {finding.status for finding in doctor.missing(config, "")} == {"note"}
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    there = Path(config.path("resources/weights/{model}-{weights_key}.safetensors", model="uni"))
    there.parent.mkdir(parents=True)
    there.touch()
    assert "problem" not in {finding.status for finding in doctor.missing(config, "")}


def test_a_disk_that_is_too_small_is_a_problem(folder, monkeypatch):
    config = study()
    for free, status in ((10**12, "ok"), (10**9, "problem")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, free=free: type("Usage", (), {"free": free}))
        (finding,) = doctor.disk(config)
        assert finding.status == status
    assert finding.text.startswith("1.0 GB free, ")


def test_next_steps_are_those_of_problems_first():
    fetch, run = doctor.Finding("note", "data", "", "make fetch"), doctor.Finding("ok", "study", "", "make demo")
    full = doctor.Finding("problem", "disk", "", "# free some space")
    assert doctor.steps([fetch, fetch, run]) == ["make fetch", "make demo"]
    assert doctor.steps([fetch, full, run]) == ["# free some space"]


def test_a_configuration_that_cannot_be_used_is_named(folder, monkeypatch):
    monkeypatch.setattr(doctor, "probe", lambda names: probed())
    Path("wrong.yaml").write_text("seeed: 1\n")
    last = list(doctor.checks([Path("wrong.yaml")]))[-1]
    assert (last.status, last.topic) == ("problem", "study")
    assert "seeed" in last.text
