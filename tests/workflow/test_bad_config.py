"""Malformed configurations through the true Snakemake: a sentence that helps, no job, and nothing written."""

import pytest
import yaml

from tests.study.test_malformed import CASES, edited
from tests.workflow.conftest import copy_project


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A copy of the project for all tests of this file, none of which may change it."""
    return copy_project(tmp_path_factory.mktemp("untouched"))


def refused(project, *arguments: str) -> str:
    """Return what Snakemake says of a configuration that it must refuse, with every file where it was."""
    before = files(project.folder)
    result = project.snakemake("--cores", "1", *arguments, check=False)
    assert result.returncode == 1, result.stdout
    for sign_of_a_job in ("Job stats", "localrule", "Error in rule"):
        assert sign_of_a_job not in result.stdout
    assert not (project.folder / "results").exists()
    assert files(project.folder) == before
    return result.stdout


def files(folder) -> dict:
    """Return every file of a project but Snakemake's own, with its date."""
    own = (".snakemake", "__pycache__")
    paths = (
        path for path in folder.rglob("*") if path.is_file() and not set(own) & set(path.relative_to(folder).parts)
    )
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"study: [unclosed\nmodels: {", "Config file is not valid JSON or YAML"),
        (b"study: mine\nmodes:\n\tft: {epochs: 1}\n", "make sure to not mix whitespace and tab"),
        (b"", "must be given as JSON or YAML with keys at top level"),
        (b"- study\n- mine\n", "must be given as JSON or YAML with keys at top level"),
        (
            b"study: mine\nmodes:\n  ft: {epochs: 5}\n\nstudy: other\n",
            "config/bad.yaml: study is there twice, in lines 1 and 5; remove one of them",
        ),
    ],
    ids=["unclosed", "tabs", "empty", "list", "twice"],
)
def test_files_that_are_no_configuration(untouched, content, sentence):
    file = untouched.folder / "config" / "bad.yaml"
    file.write_bytes(content)
    output = refused(untouched, "--configfile", "config/bad.yaml")
    assert sentence in output
    assert "Traceback" not in output


@pytest.mark.parametrize("kind", ["not UTF-8", "not there"])
def test_files_that_snakemake_cannot_read(untouched, kind):
    """It reads them before it comes to the Snakefile, and shows where in its own code it failed; no job starts."""
    file = untouched.folder / "config" / "bad.yaml"
    file.unlink(missing_ok=True)
    if kind == "not UTF-8":
        file.write_bytes("note: Gewebe für alle\n".encode("latin-1"))
    output = refused(untouched, "--configfile", "config/bad.yaml")
    assert (
        "No such file or directory: 'config/bad.yaml'" if kind == "not there" else "can't decode byte 0xfc"
    ) in output


def test_overrides_on_the_command_line(untouched):
    overrides = ["sede=1", "device=gpu", "seed=-1"]
    output = refused(untouched, "--config", *overrides)
    assert "The configuration cannot be used." in output
    for sentence in (
        "sede: unknown key; did you mean 'seed'?",
        "device: expected auto, cpu, mps, cuda or cuda:N, found 'gpu'",
        "seed: expected at least 0, found -1",
    ):
        assert sentence in output
    assert "Traceback" not in output


SAMPLE = [
    ("demo", "datasets.synthetic.synthetic.patients_per_class", 4),
    ("paper", "modes.ft.lora.vision", True),
    ("paper", "comparisons.pairs", [["alexnet/ft", "vgg91/ft"]]),
]
"""Mistakes of the table that contradict another key."""


@pytest.mark.parametrize(("study", "key", "value"), SAMPLE, ids=[key for _, key, _ in SAMPLE])
def test_the_sentence_is_passed_on_as_it_is(untouched, study, key, value):
    (case,) = (case for of, case in CASES if (of, case.key, case.value) == (study, key, value))
    file = untouched.folder / "config" / "bad.yaml"
    file.write_text(yaml.safe_dump(edited(study, case)))
    output = refused(untouched, "--configfile", "config/bad.yaml")
    (line,) = (line for line in output.splitlines() if case.word in line)
    assert line.startswith(case.named or case.key)
    assert line.count(": ") >= 1
    assert "Traceback" not in output
