"""What a newcomer types, with a stand-in for Python: nothing is installed, nothing is computed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/uv" && cp "$0" "$3/bin/snakemake" ;;
    "-c "*) exit {old} ;;
    --version*) echo "Python 3.{minor}.0" ;;
esac
echo "$(basename "$0") $*" >> calls
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the Makefile and the lock, and `python`, which only notes how it is called."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON.format(old=0, minor=11))
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments, "PYTHON=./python"],
        cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def test_make_alone_lists_every_command_and_does_nothing(folder):
    shown = make(folder)
    assert shown.returncode == 0
    commands = (
        "demo sample reproduce fetch predict doctor plan pack verify leaderboard test test-all lint bench schema clean"
    )
    commands += " help"
    for target in commands.split():
        assert f"  make {target} " in shown.stdout
    assert not (folder / "calls").exists()


@pytest.mark.parametrize("active", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_set_up_changes_no_environment_but_its_own(folder, active):
    """uv prefers the activated environment to the one that it stands in, unless it is told."""
    ended = make(folder, "reproduce", "ARGS=-n", **{active: str(folder / "mine")})
    assert ended.returncode == 0, ended.stdout
    calls = (folder / "calls").read_text().splitlines()
    assert calls[-2:] == [
        "uv pip sync --quiet --python .venv/bin/python requirements.lock",
        "python -m histobench.tools.run -n",
    ]
    (folder / "calls").unlink()
    assert make(folder, "reproduce", "ARGS=-n").returncode == 0
    assert (folder / "calls").read_text() == "python -m histobench.tools.run -n\n"  # set up once


def test_a_changed_lock_sets_up_again(folder):
    make(folder, "reproduce")
    later = (folder / ".venv/.requirements.lock").stat().st_mtime + 10
    os.utime(folder / "requirements.lock", (later, later))
    assert "uv pip sync" in make(folder, "-n", "reproduce").stdout


def test_too_old_a_python_is_one_sentence(folder):
    (folder / "python").write_text(PYTHON.format(old=1, minor=9))
    ended = make(folder, "demo")
    assert ended.returncode != 0
    assert ended.stdout.startswith("error: Python 3.9.0 is too old; HistoBench needs Python 3.11 or newer")
    assert not (folder / ".venv").exists()


def test_no_python_is_one_sentence(folder):
    (folder / "python").unlink()
    ended = make(folder, "demo")
    assert ended.returncode != 0
    assert ended.stdout.startswith("error: ./python was not found; install Python 3.11 or newer")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("sample", "error: say where the images are: make sample SAMPLE=FOLDER"),
        ("verify", "error: say which archive: make verify ARCHIVE=FILE"),
        ("predict", "error: say where the images are: make predict IMAGES=FOLDER RUN=results/.../fold1"),
    ],
)
def test_a_command_asks_for_what_it_needs(folder, target, message):
    ended = make(folder, target)
    assert ended.returncode != 0
    assert message in ended.stdout


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("pack", "ARGS=--configfile a.yaml"), ["-m", "histobench.tools.pack", "--configfile", "a.yaml"]),
        (("verify", "ARCHIVE=a b.tar.gz"), ["-m", "histobench.tools.verify", "a b.tar.gz"]),
        (
            ("predict", "IMAGES=my 'new' images", "RUN=results/a b/fold1", "ARGS=--maps none"),
            [
                "-m",
                "histobench.tools.predict",
                "--images",
                "my 'new' images",
                "--run",
                "results/a b/fold1",
                "--maps",
                "none",
            ],
        ),
        (
            ("study", "CONFIG=my 'best' study.yaml"),
            ["-m", "histobench.tools.run", "--configfile", "my 'best' study.yaml"],
        ),
    ],
)
def test_a_command_calls_its_tool_with_paths_whole(folder, words, call):
    (folder / "python").write_text(PYTHON.format(old=0, minor=11).replace("$*", '$(printf "%s;" "$@")'))
    assert make(folder, *words).returncode == 0
    assert (folder / "calls").read_text().splitlines()[-1] == f"python {';'.join(call)};"


def test_the_folder_of_a_sample_may_have_any_name(folder):
    """Its name reaches Snakemake as text, which YAML reads as it is."""
    name = """Lisa's "best" images: {1} $HOME, ü 🙂"""
    assert make(folder, "doctor").returncode == 0  # sets up .venv
    noting = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
printf '%s\\n' "$@" > words"""
    (folder / ".venv/bin/python").write_text(noting)
    assert make(folder, "sample", "SAMPLE=" + name.replace("$", "$$")).returncode == 0
    *_, option, value = (folder / "words").read_text().splitlines()
    assert option == "--config"
    assert yaml.safe_load(value.removeprefix("datasets=")) == {"sample": {"source": name}}
