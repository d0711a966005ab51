"""What a person sees of a study that `make` starts, in a terminal."""

import os
import pty
import re
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, copy_project, default_signals

ALONE = "ARGS=--set-threads train=1"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A copy of the project with config/one.yaml, a study of two trainings."""
    project = copy_project(tmp_path_factory.mktemp("mein Projekt ü"))
    block = project.configure("one")["grid"][0] | {"splits": ["patient"]}
    project.configure("one", grid=[block])
    project.make("help").communicate()  # puts what make needs into the copy
    return project


def terminal(project: Project, *arguments: str, interrupt: str = "", times: int = 0) -> tuple[int, list[str]]:
    """Run make in a terminal, and press Ctrl-C when a text is shown; return its status and the lines on the screen."""
    child, screen = pty.fork()
    if child == 0:
        default_signals()
        os.chdir(project.folder)
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        os.execvp("make", ["make", "--no-print-directory", *arguments])
    text = b""
    while True:
        try:
            text += os.read(screen, 65536)
        except OSError:  # the last process that has this terminal has ended
            break
        if times and re.search(interrupt.encode(), text):
            for _ in range(times):
                os.write(screen, b"\x03")
                time.sleep(0.2)
            times = 0
    os.close(screen)
    _, status = os.waitpid(child, 0)
    lines = text.decode().replace("^C", "").replace("\r\n", "\n").split("\n")
    return status, [line.rpartition("\033[K")[2] for line in lines if line.strip("\r")]


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_the_same_command_goes_on_to_the_tables(project):
    command = ("study", "CONFIG=config/one.yaml", ALONE)
    for times, text, name in ((1, "Using workflow", "the study"), (2, "running: train", "the study tiny")):
        status, lines = terminal(project, *command, interrupt=text, times=times)
        assert status != 0
        shown = [line for line in lines if not re.match("Using workflow|[0-9]+ (of [0-9]+ )?jobs|make: ", line)]
        assert shown == [
            f"Stopping {name}; finished jobs and epochs are kept, and the same command goes on from there."
        ]
    status, lines = terminal(project, *command)
    assert status == 0, lines
    assert len(lines) < 25
    assert re.match("[0-9]+ jobs; Ctrl-C stops them", lines[1])
    assert lines[-2:] == [
        "Tables: results/studies/tiny/tables/",
        "The report, to open in a browser: results/studies/tiny/report.html",
    ]
    assert any(re.match(r" small +\| +[01]\.\d{4} ± 0\.\d{4} \| +[01]\.\d{4} ± 0\.\d{4}$", line) for line in lines), (
        lines
    )
    again, after = terminal(project, *command)
    assert again == 0
    assert "Nothing to be done" in after[1]
    assert after[-2:] == lines[-2:]


@pytest.mark.slow
def test_a_failed_job_is_shown_once(project):
    (project.folder / "images/a").mkdir(parents=True)
    (project.folder / "images/b").mkdir()
    for patient in range(4):
        (project.folder / f"images/{'ab'[patient % 2]}/P{patient}_1.png").write_bytes(b"no image")
    given = {"format": "folders", "source": "images", "patient": r"/P(\d)_"}
    block = project.configure("given")["grid"][0] | {"dataset": "given", "models": ["small"], "magnifications": [0]}
    classes = {"a": "benign", "b": "malignant"}
    project.configure("given", datasets={"given": given | {"classes": classes}}, grid=[block])
    status, lines = terminal(project, "study", "CONFIG=config/given.yaml", "ARGS=--until manifest")
    assert status != 0
    text = "\n".join(lines)
    assert len(re.findall("error: images, a/P0_1.png: is not a PNG file", text)) == 1
    assert len(re.findall("error: the job manifest given.* has failed; its log is results/", text)) == 1
    for noise in ("Traceback", "Exception", "WorkflowError", "shell:"):
        assert noise not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "error: config/bad.yaml: there is no such configuration file; correct the path"),
        (b"study: mine\nmodes: [\n", "error: config/bad.yaml, line 3: cannot be read as YAML: "),
    ],
)
def test_a_bad_configuration_file_is_one_sentence(project, content, message):
    path = project.folder / "config/bad.yaml"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    status, lines = terminal(project, "study", "CONFIG=config/bad.yaml")
    assert status != 0
    assert len(lines) == 2  # the last is make's own
    assert lines[0].startswith(message)
