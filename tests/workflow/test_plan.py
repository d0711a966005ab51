"""What the workflow would do: the default study, its parts, and what it needs of the machine."""

import re
from collections import Counter

import pytest

from tests.workflow.conftest import job_counts


def test_the_default_study_lists_the_papers_280_training_jobs_and_60_under_accession_numbers(project):
    output = project.snakemake("-n").stdout
    # It grants one GPU: without it, every core would start a training job on that one.
    assert "Using workflow specific profile profiles/default" in output
    jobs = job_counts(output)
    assert jobs["train"] == 340
    assert jobs["fetch_weights"] == 5
    # Per vision-language model and magnification: plain images, and twenty augmented views of each.
    assert (jobs["tokens"], jobs["features"]) == (16, 16)
    assert (jobs["fetch_dataset"], jobs["manifest"], jobs["folds"], jobs["pixels"], jobs["score"]) == (2, 2, 2, 2, 1)
    assert (jobs["predict"], jobs["tiles"], jobs["score_external"], jobs["table_external"]) == (80, 4, 1, 1)
    assert (jobs["table_results"], jobs["table_strict"], jobs["figure_ladder"]) == (4, 1, 1)
    assert (jobs["heat_maps"], jobs["figure_errors"], jobs["table_errors"]) == (1, 1, 1)
    # BACH's licence forbids passing its photographs on: they are drawn for the user, and stay out of the page.
    files = {
        name: re.search(rf"^rule {name}:\n +input: (.*)\n +output: (.*)", output, re.MULTILINE)
        for name in ("figure_samples", "page")
    }
    assert "figures/figure2.svg" in files["figure_samples"][2]
    assert "figures/figure1.svg" in files["page"][1]
    assert "figures/figure2." not in files["page"][1]


def needs(output: str) -> Counter[tuple[str, str, str]]:
    """Count the rules of a dry run with what they take of the GPUs: GPU jobs, and how many such jobs share one."""
    jobs = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: .*\bgpu=(\d+), share=(\d+)", output, re.MULTILINE)
    return Counter(jobs)


@pytest.mark.slow
def test_the_workstation_profile_counts_gpus_and_lets_small_jobs_share_them(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    profile = ("--workflow-profile", "workflow/profiles/workstation")
    assert needs(project.snakemake("-n", *profile).stdout) == {
        ("train", "0", "0"): 120,  # linear heads
        ("train", "1", "2"): 140,  # CNNs
        ("train", "1", "1"): 80,  # LoRA
        ("tokens", "1", "1"): 16,
        ("features", "1", "1"): 16,
        ("predict", "1", "2"): 40,
        ("predict", "1", "1"): 40,
        ("heat_maps", "1", "1"): 1,
    }
    output = project.snakemake(*profile, "--forcerun", "claims_of_paper", "--", "claims_published").stdout
    assert re.search(r"^Provided resources: gpu=\D*6\b", output, re.MULTILINE), output


def test_the_claims_of_another_paper(project):
    wanted = ("claims_published", "--config", "ledger=hao-2022")
    assert project.jobs(*wanted) == {"claims_of_paper": 1, "claims_published": 1}


def test_its_downloads_alone(project):
    assert project.jobs("fetch") == {"fetch_dataset": 2, "fetch_weights": 5, "fetch_config": 2, "fetch": 1}


@pytest.mark.slow
def test_the_ladder_shares_the_papers_runs(project):
    jobs = project.jobs("--configfile", "config/studies/ladder.yaml")
    assert jobs["train"] == 120
    assert jobs["figure_ladder"] == 1
    assert jobs["table_results"] == 3  # of the last epoch, the chosen and the best one
