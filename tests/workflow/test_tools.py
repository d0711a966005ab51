"""`plan` and `doctor` as a person runs them, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.workflow.conftest import ROOT, Project

# Nobody is asked: a proxy that refuses at once stands before every server.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def tool(project: Project, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"histobench.tools.{name}", *arguments],
        cwd=project.folder,
        env=os.environ | NO_NETWORK | {"PYTHONPATH": "workflow"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def statuses(output: str) -> dict[str, set[str]]:
    """Return topic -> statuses of the doctor's lines."""
    found: dict[str, set[str]] = {}
    for status, topic in re.findall(r"^(ok|note|problem) +(left over|\S+)", output, re.MULTILINE):
        found.setdefault(topic, set()).add(status)
    return found


def next_steps(output: str) -> list[str]:
    return [line.strip() for line in output.partition("What to do next:\n")[2].splitlines()]


@pytest.fixture
def locked(project) -> Project:
    shutil.copy(ROOT / "requirements.lock", project.folder)
    return project


def test_a_new_copy_can_run_the_demo(locked):
    ended = tool(locked, "doctor", "--configfile", "config/demo.yaml")
    assert ended.returncode == 0, ended.stdout
    found = statuses(ended.stdout)
    assert found["network"] == found["disk"] == found["data"] == found["study"] == {"ok"}
    assert "140 of 140 runs to do" in ended.stdout
    assert next_steps(ended.stdout) == ["make demo"]
    assert max(map(len, ended.stdout.splitlines())) <= 100
    assert not (locked.folder / "results").exists()  # nothing is left there by looking


def test_the_papers_study_cannot_begin_without_a_network(locked):
    ended = tool(locked, "doctor")
    assert ended.returncode == 1
    assert statuses(ended.stdout)["network"] == {"problem"}
    assert "huggingface.co" in ended.stdout
    steps = next_steps(ended.stdout)
    assert 1 < len(steps) <= 3
    assert any(step.startswith("make fetch") for step in steps)
    assert "Traceback" not in ended.stdout


def test_a_mirror_is_asked_in_the_hubs_place(locked):
    assert "hub.example" in tool(locked, "doctor", HF_ENDPOINT="https://hub.example").stdout


def test_without_pytorch_the_doctor_still_speaks(locked):
    (locked.folder / "broken" / "torch").mkdir(parents=True)
    (locked.folder / "broken" / "torch" / "__init__.py").write_text(
        "raise ImportError('libcudart.so.13: no such file')"
    )
    ended = tool(locked, "doctor", PYTHONPATH="workflow:broken")
    assert ended.returncode == 1
    assert statuses(ended.stdout)["PyTorch"] == {"problem"}
    assert "libcudart.so.13" in ended.stdout
    assert "280 of 280 runs to do" in ended.stdout
    assert len(next_steps(ended.stdout)) == 1
    assert "Traceback" not in ended.stdout


def test_without_its_own_packages_it_says_just_that(locked):
    (locked.folder / "broken").mkdir()
    (locked.folder / "broken" / "pydantic.py").write_text("raise ImportError('No module named pydantic')")
    ended = tool(locked, "doctor", PYTHONPATH="workflow:broken")
    assert (ended.returncode, statuses(ended.stdout)) == (1, {"packages": {"problem"}})
    assert next_steps(ended.stdout) == ["rm -f .venv/.requirements.lock && make doctor"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--configfile", "config/mine.yaml"], "config/mine.yaml: there is no such configuration file"),
        (["--gpu", "H2000"], "--gpu H2000: its speed is not known here"),
    ],
)
def test_a_mistake_is_one_sentence(locked, arguments, says):
    for name in ("doctor", "plan"):
        ended = tool(locked, name, *arguments)
        assert ended.returncode == 1
        assert says in " ".join(ended.stdout.split())
        assert "Traceback" not in ended.stdout


def test_a_check_that_fails_is_a_note(locked):
    (locked.folder / "requirements.lock").unlink()
    ended = tool(locked, "doctor", "--configfile", "config/demo.yaml")
    assert ended.returncode == 0
    assert statuses(ended.stdout)["packages"] == {"note"}
    assert "could not be examined (FileNotFoundError" in ended.stdout


def test_the_plan_of_the_papers_study(project):
    ended = tool(project, "plan", "--gpu", "H200")
    assert ended.returncode == 0, ended.stdout
    lines = ended.stdout.splitlines()
    assert lines[0] == "Study paper: 280 training runs, 280 to do"
    assert max(map(len, lines)) <= 100
    arms = [line.split() for line in lines if re.match(r"(alexnet|vgg19|resnet34|qwen2-vl-2b|smolvlm) ", line)]
    assert len(arms) == 14
    assert all(arm[-6:-1][:3] == ["20", "0", "20"] or arm[7:10] == ["20", "0", "20"] for arm in arms)
    assert "all runs" in ended.stdout
    assert "11,072,600" in ended.stdout
    assert "H200's data sheet: 989 TFLOP/s in bf16" in " ".join(ended.stdout.split())


def test_a_finished_study_is_all_done(finished):
    shutil.copy(ROOT / "requirements.lock", finished.folder)
    plan = tool(finished, "plan", "--configfile", "config/tiny.yaml")
    assert plan.returncode == 0, plan.stdout
    assert re.match(r"Study tiny: \d+ training runs, all done\n", plan.stdout)
    assert "Nothing is left to compute but tables, figures and the page." in plan.stdout
    doctor = tool(finished, "doctor", "--configfile", "config/tiny.yaml")
    assert doctor.returncode == 0, doctor.stdout
    assert next_steps(doctor.stdout) == ["# open results/studies/tiny/report.html in a browser"]


def test_rates_are_those_of_finished_runs(finished, tmp_path):
    """A longer recipe of the same models: nothing stands, but how fast they are is known."""
    longer = tmp_path / "longer.yaml"
    longer.write_text("study: longer\nmodes: {ft: {epochs: 99}, lp: {epochs: 99}}\n")
    ended = tool(finished, "plan", "--configfile", "config/tiny.yaml", str(longer))
    assert ended.returncode == 0, ended.stdout
    assert "by images_per_second in the run.json of runs that were finished on this device" in " ".join(
        ended.stdout.split()
    )
    arms = [line for line in ended.stdout.splitlines() if re.search(r" (ft|lp)[/ ]", line)]
    assert arms
    assert not any("~" in line for line in arms)
