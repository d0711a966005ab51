"""New keys of the configuration leave the specifications and paths of finished runs as they were: none is trained again."""

import hashlib
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from histobench.study import paths
from histobench.study.config import load

ROOT = Path(__file__).parents[2]

KEPT = {
    "config/config.yaml": (340, "8ce08f332a848d15067108e335f833eca43bb35a4c5ba92aca84fabe8a035013"),
    "config/demo.yaml": (120, "3ad7f941d57f7af4a0c682b1dc93d8d67a4b75b9af950d5391c4b199a9666e7d"),
    "config/sample.yaml": (20, "dd8df05f2fe07f67f555a57dc0225d66209dfbdde32cf3ef2217318c4d3dec69"),
    "config/studies/ladder.yaml": (120, "254c3da8828af8bf40fc7d8e7f7e7aa0ceb37032465775792df06119de078858"),
    "config/studies/seeds.yaml": (240, "009c95d884ce494661a4ffa6fe02d76ca170e81ec2c3a7ee900f53a7a8eb95b7"),
}
"""Runs of each study, and the SHA-256 of their paths and specifications as version 0.2.0 had them."""


@pytest.mark.parametrize("file", KEPT)
def test_runs_keep_their_paths_and_specifications(file):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / file).read_text()))
    study = load(config)
    lines = [
        f"{study.path(paths.PREDICTIONS, **vars(run))} {study.specification(run).canonical()}" for run in study.runs
    ]
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == KEPT[file]
