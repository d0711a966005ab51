"""Text of the user is never read as one of Snakemake's patterns."""

import re

import pytest

from histobench.study import paths
from tests.workflow.test_external import noise

HOSTILE = {"label": "A {model} & 'B'", "note": "With {wildcards} and $HOME."}


@pytest.fixture
def study(project):
    """A study whose labels, notes and patient expression hold braces, and whose paths hold quotes and spaces."""
    folder = project.folder / "my 'best' images & more"
    for patient in range(8):
        path = folder / ("normal", "tumour")[patient % 2] / f"P{patient:02}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise(patient, 100 * (patient % 2)))
    dataset = {"format": "folders", "source": "my 'best' images & more", "patient": r"/(P\d{2})_", "licence": "{free}"}
    dataset["classes"] = {"normal": "benign", "tumour": "malignant"}
    config = project.configure("text")
    block = config["grid"][0] | {"dataset": "mine", "models": ["small"], "magnifications": [0]}
    models = {"small": config["models"]["small"] | {"label": HOSTILE["label"], "licence": "{any}"}}
    changes = {
        "datasets": {"mine": dataset},
        "models": models,
        "grid": [block],
        "note": HOSTILE["note"],
        "paper": False,
    }
    project.configure("text", **changes)
    return project


def test_a_study_with_braces_in_its_text_can_be_planned(study):
    jobs = study.jobs("--configfile", "config/text.yaml")
    assert (jobs["manifest"], jobs["folds"], jobs["train"]) == (1, 1, 2)
    # Data of one's own are no footnote to the paper: nothing is asked of its claims.
    assert not {"claims", "claims_published"} & jobs.keys()


@pytest.mark.slow
def test_a_study_with_braces_in_its_text_runs(study):
    study.snakemake("--configfile", "config/text.yaml", "--cores", "2", "--set-threads", "train=1")
    table = (study.folder / "results/studies/tiny/tables/scores.md").read_text()
    assert HOSTILE["note"] in table
    assert HOSTILE["label"] in table
    manifest = study.path(paths.MANIFEST, "text", dataset="mine").read_text()
    assert set(re.findall(r"P\d\d", manifest)) == {f"P{patient:02}" for patient in range(8)}
