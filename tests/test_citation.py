"""What a citation of the project, of its data and of the paper needs."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_project_is_cited_in_its_present_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert CITATION["version"] == project["version"]
    assert {"cff-version", "message", "title", "abstract", "authors", "license", "date-released"} <= CITATION.keys()


def test_the_paper_and_every_dataset_of_its_study_are_references() -> None:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    cited = " ".join(dataset["citation"] for dataset in config["datasets"].values())
    references = {reference["doi"]: reference for reference in CITATION["references"]}
    assert {doi for doi in references if doi in cited} == references.keys() - {"10.3390/jimaging12040168"}
    assert len(references) == len(config["datasets"]) + 1
    for reference in references.values():
        assert {"title", "journal", "year", "volume", "start", "authors"} <= reference.keys()
