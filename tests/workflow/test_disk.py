"""A disk that cannot be written, and images that have gone: a message, and nothing is lost."""

import shutil

import pytest

from histobench.study import paths
from tests.datasets import standin
from tests.disks import read_only, small_disk

pytestmark = pytest.mark.slow

TARGET = ("--configfile", "config/given.yaml", "--cores", "1", "--until", "pixels")


@pytest.fixture
def given(project):
    """A dataset in an archive of the user's own."""
    project.configure_given(source="resources/given.tar.gz")
    standin.write_files(project.folder / "resources/given.tar.gz", standin.few(images=6))
    return project


def test_a_read_only_folder_of_results_is_named(given):
    with read_only(given.folder / "results"):
        result = given.snakemake(*TARGET, check=False)
    assert result.returncode == 1
    assert "error: results/studies/tiny/study.json: cannot be written (Read-only file system); make" in result.stdout


def test_a_full_disk_and_an_archive_that_vanishes_cost_nothing_that_was_done(given):
    with small_disk(given.folder / "results", 100) as disk:
        pixels = given.path(paths.PIXELS, "given", dataset="given", size=32).relative_to(given.folder)
        assert f"error: {pixels}: the disk or quota is full" in given.refusal(*TARGET)
        shutil.copytree(disk, given.folder / "kept", copy_function=shutil.copy2)
    shutil.rmtree(given.folder / "results")
    (given.folder / "kept").rename(given.folder / "results")
    archive = given.folder / "resources/given.tar.gz"
    archive.rename(given.folder / "elsewhere.tar.gz")
    message = "resources/given.tar.gz: there is no such archive or folder; put the images there"
    assert message in given.refusal(*TARGET)
    (given.folder / "elsewhere.tar.gz").rename(archive)
    assert given.jobs(*TARGET) == {"pixels": 1}
    given.snakemake(*TARGET)
