"""Disks that cannot be written, and data that have gone: a sentence before any job starts, and nothing lost."""

import shutil

import yaml

from tests.datasets import standin
from tests.disks import fill, read_only, small_disk

TARGET = ("--configfile", "config/given.yaml", "--cores", "1", "results/given/pixels/32px.npy")


def given(project):
    """A dataset in an archive of the user's own."""
    config = yaml.safe_load(project.tiny.read_text())
    config["datasets"] = {"given": {"source": "resources/given.tar.gz"}}
    config["grid"] = [config["grid"][0] | {"dataset": "given", "models": ["small"]}]
    (project.folder / "config/given.yaml").write_text(yaml.safe_dump(config))
    standin.write_files(project.folder / "resources/given.tar.gz", standin.few(images=6))


def refused(project):
    result = project.snakemake(*TARGET, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert "localrule" not in result.stdout
    return result.stdout


def test_folders_that_cannot_be_written_are_named_before_any_job_starts(project):
    given(project)
    for name in ("results", ".snakemake"):
        with read_only(project.folder / name):
            assert f"\n{name}: cannot be written (Read-only file system); make its folder writable" in refused(project)
    with small_disk(project.folder / "results", 64) as disk:
        fill(disk)
        assert "\nresults: the disk or quota is full; free some space and run the same command again" in refused(
            project
        )


def test_a_full_disk_in_the_middle_and_an_archive_that_vanishes_cost_nothing_that_was_done(project):
    given(project)
    with small_disk(project.folder / "results", 100) as disk:
        full = project.snakemake(*TARGET, check=False).stdout
        assert "error: results/given/pixels/32px.npy: the disk or quota is full" in full
        assert "Traceback" not in full
        assert not list(disk.rglob(".*.partial"))
        shutil.copytree(disk, project.folder / "kept", copy_function=shutil.copy2)
    shutil.rmtree(project.folder / "results")
    (project.folder / "kept").rename(project.folder / "results")
    archive = project.folder / "resources/given.tar.gz"
    archive.rename(project.folder / "elsewhere.tar.gz")
    assert "resources/given.tar.gz: there is no such archive or folder; put the images there" in refused(project)
    (project.folder / "elsewhere.tar.gz").rename(archive)
    assert project.jobs(*TARGET) == {"pixels": 1}
    project.snakemake(*TARGET)
