"""A training job that is killed: the same command again goes on, to the very numbers of an undisturbed run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

RUN = "results/made-up/runs/small/ft/patient/40x/none/fold1"
COMMAND = ("--configfile", "config/long.yaml", "--cores", "1", f"{RUN}/predictions.csv")


def training(folder: Path) -> int | None:
    """Return the process that runs train.py in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if (process / "cwd").readlink() == folder and any(word.endswith(b"/train.py") for word in words[:4]):
                return int(process.name)
        except OSError:  # it has just ended
            continue
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process in /proc")
def test_a_killed_job_goes_on_where_it_was(project, monkeypatch):
    monkeypatch.setenv("HISTOBENCH_WARM", "0")  # a process of its own, that can be found and killed
    config = yaml.safe_load(project.tiny.read_text())
    config["modes"]["ft"]["epochs"] = 60
    (project.folder / "config/long.yaml").write_text(yaml.safe_dump(config))
    folder = project.folder / RUN
    snakemake = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *COMMAND],
        cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists():
        assert time.monotonic() < deadline
        assert snakemake.poll() is None
        time.sleep(0.005)
    process = training(project.folder)
    assert process
    os.kill(process, signal.SIGKILL)
    assert snakemake.wait(60) != 0
    assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(".partial")) == ["checkpoint.pt"]

    project.snakemake(*COMMAND)
    assert json.loads((folder / "run.json").read_text())["resumed_from"] >= 1
    assert not (folder / "checkpoint.pt").exists()
    resumed = (folder / "predictions.csv").read_bytes()
    shutil.rmtree(folder)
    project.snakemake(*COMMAND)
    assert json.loads((folder / "run.json").read_text())["resumed_from"] is None
    assert (folder / "predictions.csv").read_bytes() == resumed
