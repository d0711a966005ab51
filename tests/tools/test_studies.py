"""The study as the tools read it is the study as Snakemake reads it."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.study.config import load
from histobench.tools.studies import study

# A Snakefile that keeps what Snakemake made of the configuration.
SNAKEFILE = """
import pickle
configfile: "config/config.yaml"
pickle.dump(config, open("merged.pickle", "wb"))
rule all:
"""


def test_alone_it_is_the_papers_study(folder):
    config = study()
    assert config.study == "paper"
    assert len(config.runs) == 280


def test_files_are_merged_as_snakemake_merges_them(folder):
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "more.yaml").write_text(
        "augmentations: {plain: [], none: [HorizontalFlip: {p: 0.5}]}\n"  # a name of its own, and a list replaced
        "modes: {ft: {epochs: 3}}\nseed: 7\ncomparisons: {draws: 200}\n"
    )
    files = ["config/demo.yaml", "more.yaml"]
    subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "--configfile", *files],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    expected = load(pickle.loads((folder / "merged.pickle").read_bytes()))
    found = study([Path(file) for file in files])
    assert found == expected
    # Order of names is not part of equality, but the first empty augmentation is the one evaluated on.
    assert found.unaugmented == expected.unaugmented == "plain"
    assert list(found.models) == list(expected.models)
    assert (found.seed, found.modes["ft"].epochs, found.modes["ft"].batch_size) == (7, 3, 16)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "mine.yaml: there is no such configuration file"),
        ("a: [", "mine.yaml: cannot be read as YAML"),
        ("- a\n", "mine.yaml: cannot be read as YAML"),
        ("seeds: 3\n", "seeds: unknown key"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(folder, text, sentence):
    if text is not None:
        (folder / "mine.yaml").write_text(text)
    with pytest.raises(HistoBenchError) as raised:
        study([Path("mine.yaml")])
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)
