"""What the workflow would do: the default study, and one sentence for what cannot be done."""

import os
import re
from collections import Counter

import pytest
import yaml

from tests.workflow.conftest import job_counts


def test_the_default_study_lists_280_training_jobs_without_any_data(project):
    output = project.snakemake("-n").stdout
    # It grants one GPU: without it, every core would start a training job on that one.
    assert "Using workflow specific profile profiles/default" in output
    jobs = job_counts(output)
    assert jobs["train"] == 280
    assert jobs["fetch_weights"] == 5
    # Per vision-language model and magnification: plain images, and twenty augmented views of each.
    assert (jobs["tokens"], jobs["features"]) == (16, 16)
    assert (jobs["fetch_dataset"], jobs["manifest"], jobs["folds"], jobs["pixels"], jobs["score"]) == (2, 2, 1, 2, 1)
    assert (jobs["predict"], jobs["score_external"], jobs["table_external"]) == (40, 1, 1)
    assert jobs["table_results"] == 4


def needs(output: str) -> Counter[tuple[str, str, str]]:
    """Count the rules of a dry run with what they take of the GPUs: slots, and how many such jobs share one."""
    jobs = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: .*\bgpu=(\d+), share=(\d+)", output, re.MULTILINE)
    return Counter(jobs)


def test_the_workstation_profile_counts_gpus_and_lets_small_jobs_share_them(project, monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nfor i in 0 1 2; do echo GPU $i: H100; done\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    profile = ("--workflow-profile", "workflow/profiles/workstation")
    assert needs(project.snakemake("-n", *profile).stdout) == {
        ("train", "0", "0"): 80,  # linear probes
        ("train", "1", "2"): 120,  # CNNs
        ("train", "2", "1"): 80,  # LoRA
        ("tokens", "2", "1"): 16,
        ("features", "2", "1"): 16,
        ("predict", "1", "2"): 20,
        ("predict", "2", "1"): 20,
    }
    for visible, provided in ((None, "6"), ("2", "2")):
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        output = project.snakemake(*profile, "--forcerun", "claims_published", "--", "claims_published").stdout
        assert re.search(rf"^Provided resources: gpu=\D*{provided}\b", output, re.MULTILINE), output


def test_one_gpu_job_at_a_time_however_many_slots(project):
    found = needs(project.snakemake("-n", "--config", "gpu_slots=4").stdout)
    assert {(gpu, share) for _, gpu, share in found} == {("0", "0"), ("1", "1"), ("1", "4")}


def test_its_downloads_alone(project):
    assert project.jobs("fetch") == {"fetch_dataset": 2, "fetch_weights": 5, "fetch": 1}


@pytest.mark.parametrize(
    ("block", "models", "modes", "runs"),
    [
        (0, ["alexnet", "vgg19", "resnet34"], ["ft"], 120),
        (1, ["qwen2-vl-2b", "smolvlm"], ["lp"], 80),
        (1, ["qwen2-vl-2b", "smolvlm"], ["ft"], 80),
        (0, ["resnet34"], ["ft"], 40),
    ],
)
def test_its_parts(project, block, models, modes, runs):
    config = yaml.safe_load((project.folder / "config/config.yaml").read_text())
    config["grid"] = [config["grid"][block] | {"models": models, "modes": modes}]
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    assert project.jobs()["train"] == runs


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("study: paper", "study: paper\nsudy: x", "sudy: unknown key"),
        ("models: [alexnet,", "models: [alexnett,", "did you mean 'alexnet'?"),
        ("magnifications: [40,", "magnifications: [50,", "grid.0.magnifications.0"),
        ("splits: [patient]", "splits: []", "grid.0.splits"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_before_any_job(project, old, new, sentence):
    project.edit("config/config.yaml", old, new)
    result = project.snakemake("--cores", "1", check=False)
    assert result.returncode != 0
    assert sentence in result.stdout
    assert "Traceback" not in result.stdout
    assert not (project.folder / "results").exists()


def test_a_missing_source_says_where_to_put_it(project):
    result = project.snakemake("-n", "--configfile", "config/sample.yaml", check=False)
    assert result.returncode != 0
    assert "resources/sample: there is no such archive or folder; put the images there" in result.stdout
    assert "Traceback" not in result.stdout


def test_the_ladder_shares_the_papers_runs(project):
    jobs = project.jobs("--configfile", "config/studies/ladder.yaml")
    assert jobs["train"] == 60
    assert jobs["figure_ladder"] == 1
