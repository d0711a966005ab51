"""From the stored predictions of a SIMULATED full study to its page: scores, statistics, tables, figures, claims."""

import csv
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import yaml

from benchmarks import cores, say
from benchmarks.simulated import NOTE, configured, simulate
from tests.datasets.standin import write_standin
from tests.workflow.conftest import copy_project

CHANGES = {"note": NOTE, "external": []}
"""No external test: its sample images would need an archive of BACH, whose look-alike is none of the study's size."""


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Simulate the paper's 280 runs, let the true workflow make everything that follows from them, and print the cost."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_project(folder)
    configuration = folder / "config" / "simulated.yaml"
    configuration.write_text(yaml.safe_dump(CHANGES))
    config = configured(configuration)
    archive = folder / config.source("breakhis")
    archive.parent.mkdir(parents=True)
    write_standin(archive)
    simulate(folder, config)
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", configuration, "--cores", str(cores())],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise SystemExit(ended.stdout)
    say(f"{len(config.runs)} SIMULATED runs to report.html: {seconds:.0f} s on {cores()} cores, wanted: under 180 s")
    study = folder / "results" / "studies" / config.study
    with (study / "claims.csv").open() as lines:
        verdicts = Counter(row["study_verdict"] for row in csv.DictReader(lines))
    say(f"  report.html: {(study / 'report.html').stat().st_size / 1e6:.1f} MB")
    say(
        f"  claims on the SIMULATED study: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.most_common())}"
    )
