"""The tiny study through the true Snakemake, on the device under test."""

import pytest
import yaml

from histobench.study.paths import RECORD
from tests.workflow.conftest import copy_project


@pytest.mark.slow
def test_the_tiny_study_runs_on_the_device(tmp_path, device):
    project = copy_project(tmp_path)
    project.configure("tiny", device=device.type)
    project.snakemake("--configfile", "config/tiny.yaml", "--cores", "2", "--resources", "gpu=2")
    records = list(project.folder.glob(RECORD.split("{")[0] + "**/run.json"))
    assert records
    names = {yaml.safe_load(path.read_text())["device"].partition(" ")[0] for path in records}
    assert ("cpu" in names) == (device.type == "cpu")
