"""Malformed configurations through the true Snakemake: a message that helps, no job, and nothing written."""

import pytest

from tests.workflow.conftest import copy_project


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A copy of the project for all tests of this file, none of which may change it."""
    return copy_project(tmp_path_factory.mktemp("untouched"))


def refused(project, *arguments: str) -> str:
    """Return what Snakemake says of a configuration that it must refuse before any job."""
    result = project.snakemake("--cores", "1", *arguments, check=False)
    assert result.returncode == 1, result.stdout
    for sign_of_a_job in ("Job stats", "localrule", "Error in rule"):
        assert sign_of_a_job not in result.stdout
    assert not (project.folder / "results").exists()
    return result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"study: [unclosed\nmodels: {", "Config file is not valid JSON or YAML"),
        (b"", "must be given as JSON or YAML with keys at top level"),
        (
            b"study: mine\nmodes:\n  ft: {epochs: 5}\n\nstudy: other\n",
            "config/bad.yaml: study is there twice, in lines 1 and 5; remove one of them",
        ),
        (
            b"study: mine\ndatasets:\n  mine: {classes: {no: benign, yes: malignant}}\n",
            "config/bad.yaml, line 3: YAML reads no as true or false; if it is text, put it in quotes",
        ),
    ],
    ids=["unclosed", "empty", "twice", "no text"],
)
def test_files_that_are_no_configuration(untouched, content, message):
    (untouched.folder / "config/bad.yaml").write_bytes(content)
    output = refused(untouched, "--configfile=config/bad.yaml")
    assert message in output
    assert "Traceback" not in output


def test_overrides_on_the_command_line(untouched):
    output = refused(untouched, "--config", "sede=1", "device=gpu", "seed=-1")
    assert "The configuration cannot be used." in output
    for message in (
        "sede: unknown key; did you mean 'seed'?",
        "device: expected auto, cpu, mps, cuda or cuda:N, found 'gpu'",
        "seed: expected at least 0, found -1",
    ):
        assert message in output
    assert "Traceback" not in output
