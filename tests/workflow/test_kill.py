"""A study that is killed in every way: the same command again goes on, to the very numbers of an undisturbed run."""

import json
import random
import subprocess
import sys
import time

import pytest
import yaml

from benchmarks.soak import WAYS, Copy, differences, disturb, kill_everything, leftovers
from tests.workflow.conftest import TINY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

RUNS = [f"results/made-up/runs/small/{mode}/patient/40x/none/fold1" for mode in ("ft", "ft-other")]


@pytest.fixture
def copies(tmp_path):
    """Make copies of the project, which train two networks for many short epochs; end what is left of them."""
    config = yaml.safe_load(TINY.read_text())
    made = []

    def copy(name, epochs):
        modes = {"ft": {"epochs": epochs, "batch_size": 4}, "ft-other": {"epochs": epochs // 3, "batch_size": 8}}
        config["modes"] |= modes
        config["grid"][0] |= {"models": ["small"], "modes": list(modes)}
        (tmp_path / "long.yaml").write_text(yaml.safe_dump(config))
        targets = [f"{run}/predictions.csv" for run in RUNS]
        options = ["--set-threads", "train=1", "--resources", "gpu=2", "--cores", "2"]
        made.append(Copy(tmp_path / name, ["--configfile", str(tmp_path / "long.yaml"), *options, *targets]))
        return made[-1]

    yield copy
    for each in made:
        kill_everything(each, random.Random())


def training(copy: Copy) -> bool:
    """Tell whether a job of this start has finished an epoch."""
    for job in copy.jobs():
        checkpoint, began = (copy.folder / job.output).with_name("checkpoint.pt"), time.time() - job.age
        if began > copy.started and checkpoint.exists() and checkpoint.stat().st_mtime > began:
            return True
    return False


def test_a_study_killed_in_every_way_ends_as_if_nothing_had_happened(copies):
    calm, disturbed = copies("calm", 400), copies("disturbed", 400)
    calm.start()
    assert calm.finish(), calm.output()
    ways = ["SIGKILL of everything", "SIGTERM of Snakemake", "SIGKILL of Snakemake"]
    ways += ["SIGTERM of a job", "SIGINT of the group", "SIGKILL of the warm server"]
    assert set(ways) <= set(WAYS)
    what = disturb(disturbed, ways, random.Random(7), 0.2, training)
    assert [way for _, way, _ in what.kills] == ways, disturbed.output()
    assert what.unclear == []
    assert leftovers(disturbed) == []
    results = calm.results()
    assert len(results) == 4
    assert differences(results, disturbed.results()) == []
    records = [json.loads((disturbed.folder / run / "run.json").read_text()) for run in RUNS]
    assert max(record["resumed_from"] or 0 for record in records) >= 1


def test_of_two_snakemakes_the_second_ends_with_a_sentence_and_the_first_finishes(copies):
    copy = copies("one", 120)
    copy.start()
    while not training(copy):
        assert copy.snakemake.poll() is None, copy.output()
        time.sleep(0.1)

    def another(*arguments):
        command = [sys.executable, "-m", "snakemake", *copy.command, *arguments]
        return subprocess.run(command, cwd=copy.folder, capture_output=True, text=True, check=False)

    second = another()
    assert second.returncode == 1
    sentence = f"another Snakemake is running jobs in this folder (process {copy.snakemake.pid} on "
    assert sentence in second.stderr
    assert f"wait for it, or end it with `kill -INT {copy.snakemake.pid}`" in second.stderr
    assert "Traceback" not in second.stderr
    assert another("-n").returncode == 0  # which runs nothing, and need not wait
    assert copy.finish(), copy.output()
    assert leftovers(copy) == []
    assert another().returncode == 0
