"""Text of the user is never read as one of Snakemake's patterns."""

import re

import pytest

from histobench.study import paths
from tests.workflow.conftest import OF_CHECKOUT
from tests.workflow.test_external import noise

HOSTILE = {"label": "A {model} <stats> & 'B' {18}", "note": "Trial of {n} <results>, with {wildcards} and $HOME."}
ANY = "{free} {0} {output:q} <logs> %s `id` $(id) 'x' \"y\" ü"
FOLDER = "my 'best' images & more; $HOME `id` %s ü"


@pytest.fixture
def study(project):
    """A study whose text holds what Snakemake and the shell would replace; its paths, what the shell would."""
    folder = project.folder / FOLDER
    rows = ["path,label,patient"]
    for patient in range(8):
        path = folder / (ANY, "tumour")[patient % 2] / f"P{patient:02}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise(patient, 100 * (patient % 2)))
        rows.append(f"P{patient:02}_0.png,{('x', 'x{y}')[patient % 2]},{{{patient}}}")
    (folder / "table.csv").write_text("\n".join(rows))
    terms = {"licence": ANY, "citation": ANY}
    mine = {
        "format": "folders",
        "source": FOLDER,
        "patient": r"/(P\d{2})_",
        "classes": {ANY: "benign", "tumour": "malignant"},
    }
    listed = {
        "format": "csv",
        "source": FOLDER,
        "table": f"{FOLDER}/table.csv",
        "classes": {"x": "benign", "x{y}": "malignant"},
    }
    far = {
        "source": f"resources/weights/{FOLDER}.zip",  # beside the weights of models
        "url": "http://localhost/{a}<b>.zip",
        "mirrors": ["http://localhost/{c}"],
    }
    config = project.configure("text")
    block = config["grid"][0] | {"dataset": "mine", "models": ["small"], "splits": ["patient"], "magnifications": [0]}
    small = config["models"]["small"] | terms | {"label": HOSTILE["label"]}
    (project.folder / f"{FOLDER}.pth").write_bytes(b"")
    own = small | {"label": "{own}", "width": 1.0, "weights": {"file": f"{FOLDER}.pth", "sha256": "0" * 64}}
    datasets = {"mine": mine | terms, "listed": listed | terms, "weights": far | terms}
    changes = {"datasets": datasets, "models": {"small": small, "own": own}, "note": HOSTILE["note"], "paper": False}
    project.configure("text", **changes, grid=[block])
    others = [
        block | {"dataset": "listed"},
        block | {"dataset": "weights", "magnifications": [40]},
        block | {"models": ["own"]},
    ]
    project.configure("all", **changes, grid=[block, *others])
    return project


def test_a_study_with_braces_in_its_text_can_be_planned(study):
    jobs = study.jobs("--configfile", "config/all.yaml")
    assert (jobs["manifest"], jobs["folds"], jobs["train"]) == (3, 3, 8)
    assert (jobs["fetch_dataset"], jobs["fetch_weights"]) == (1, 1)
    # Data of one's own are no footnote to the paper: nothing is asked of its claims.
    assert not {"claims", "claims_of_paper"} & jobs.keys()


@pytest.mark.slow
def test_a_study_with_braces_in_its_text_runs(study):
    study.snakemake("--configfile", "config/text.yaml", "--cores", "2", "--set-threads", "train=1", *OF_CHECKOUT)
    table = (study.folder / "results/studies/tiny/tables/scores.md").read_text()
    assert HOSTILE["note"] in table
    assert HOSTILE["label"] in table
    manifest = study.path(paths.MANIFEST, "text", dataset="mine").read_text()
    assert set(re.findall(r"P\d\d", manifest)) == {f"P{patient:02}" for patient in range(8)}
