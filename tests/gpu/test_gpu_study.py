"""The tiny study through the true Snakemake, on the device under test."""

import json

import pytest

from histobench.study.paths import RECORD
from tests.workflow.conftest import copy_project


@pytest.mark.slow
def test_the_tiny_study_runs_on_the_device(tmp_path, device):
    project = copy_project(tmp_path)
    project.configure("tiny", device=device.type)
    project.snakemake("--configfile", "config/tiny.yaml", "--cores", "2", "--resources", "gpu=2")
    records = list(project.folder.glob(RECORD.split("{")[0] + "**/run.json"))
    assert records
    found = [json.loads(path.read_text()) for path in records]
    # Linear heads are trained on the processor, whatever the device.
    trained = [record for record in found if record["specification"]["recipe"]["trainable"] != "head"]
    assert trained
    assert {record["device"].startswith("cpu") for record in trained} == {device.type == "cpu"}
