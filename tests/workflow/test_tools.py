"""`plan` and `doctor` as a person runs them, in a copy of the project."""

import os
import re
import subprocess
import sys

import pytest

from tests.workflow.conftest import ROOT, tool

pytestmark = pytest.mark.slow


def test_a_new_copy_can_run_the_demo(project):
    ended = tool("doctor", "--configfile", "config/demo.yaml", cwd=project.folder)
    assert ended.returncode == 0, ended.stdout
    assert "demo: 0 of 120 runs are done" in ended.stdout
    assert ended.stdout.endswith("What to do next:\n  make demo\n")
    assert max(map(len, ended.stdout.splitlines())) <= 110
    assert not (project.folder / "results").exists()


def test_a_broken_library_is_reported_and_nothing_is_a_traceback(project):
    for name in ("torch", "pydantic"):
        (project.folder / "broken" / name).mkdir(parents=True)
        (project.folder / "broken" / name / "__init__.py").write_text(
            "raise ImportError('libcudart.so.13: no such file')"
        )
    ended = tool("doctor", cwd=project.folder, PYTHONPATH=f"{ROOT}/workflow:broken")
    assert ended.returncode == 1
    assert re.search(r"^problem +libraries +cannot be imported: torch: libcudart", ended.stdout, re.MULTILINE)
    assert ended.stdout.endswith("What to do:\n  rm -f .venv/.requirements.lock && make doctor\n")
    assert "Traceback" not in ended.stdout


def test_a_mistake_is_one_sentence(project):
    ended = tool("plan", "--configfile", "config/mine.yaml", cwd=project.folder)
    assert ended.returncode == 1
    assert ended.stdout == "error: config/mine.yaml: there is no such configuration file; correct the path\n"


def test_a_pipe_that_is_closed_ends_the_plan_quietly(project):
    command = f"{sys.executable} -m histobench.tools.plan --gpu H200 | head -n 1"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    ended = subprocess.run(
        command, shell=True, cwd=project.folder, env=environment, capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == (
        "Study paper: 340 training runs (280 as in the paper, 60 under split accession), 340 to do\n",
        "",
    )


def test_a_finished_study_is_all_done(finished):
    plan = tool("plan", "--configfile", "config/tiny.yaml", cwd=finished.folder)
    assert plan.returncode == 0, plan.stdout
    assert plan.stdout.startswith(
        "Study tiny: 20 training runs (10 as in the paper, 2 under split accession, 2 with other seeds, 6 others), 0 to do\n"
    )
    assert "Time: nothing is left to train" in plan.stdout
    doctor = tool("doctor", "--configfile", "config/tiny.yaml", cwd=finished.folder)
    assert "tiny: 20 of 20 runs are done" in doctor.stdout
