"""The committed operations are those that are counted, and nothing that changes them goes unseen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from histobench.tools import arms
from histobench.tools.studies import study

ROOT = Path(__file__).parents[2]


def test_the_committed_table_is_what_is_counted(monkeypatch):
    monkeypatch.chdir(ROOT)
    committed = (ROOT / "workflow" / "schemas" / "operations.json").read_text()
    assert arms.table() == committed, "out of step: python -m histobench.tools.arms > workflow/schemas/operations.json"


@pytest.mark.parametrize("file", [None, *arms.SHIPPED])
def test_the_projects_own_studies_need_no_pytorch(file):
    """Plan and doctor answer in seconds, and where PyTorch cannot be loaded."""
    code = (
        "import sys; from pathlib import Path; from histobench.tools import arms, studies\n"
        f"config = studies.study({[] if file is None else [file]})\n"
        "print(len([arms.cost(config, *arm) for arm in arms.arms(config)]), 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    number, loaded = ended.stdout.split()
    assert int(number) > 0
    assert loaded == "False"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("models: {smolvlm: {image_size: 378}}", False),
        ("models: {smolvlm: {config: {text_config: {num_hidden_layers: 12}}}}", False),
        ("modes: {ft: {lora: {rank: 8}}}", False),
        ("modes: {ft: {lora: {projections: [q]}}}", False),
        ("modes: {ft: {vision: live}}", False),
        ("modes: {ft: {gradient_checkpointing: true}}", False),
        ("modes: {ft: {lora: {alpha: 8, dropout: 0.5}, learning_rate: 1.0e-3, epochs: 3, batch_size: 8}}", True),
        ("models: {smolvlm: {readout: mean, label: Another}}", True),
    ],
)
def test_whatever_changes_an_arms_operations_changes_its_key(folder, change, same):
    (folder / "more.yaml").write_text(change)
    keys = [arms.key(study(files), "smolvlm", "ft") for files in ([], [Path("more.yaml")])]
    assert (keys[0] == keys[1]) == same


def test_a_model_that_the_table_does_not_have_is_counted(folder):
    (folder / "more.yaml").write_text("models: {alexnet: {image_size: 100}}")
    config = study([Path("more.yaml")])
    assert 0 < arms.cost(config, "alexnet", "ft").training < arms.cost(study(), "alexnet", "ft").training / 5
