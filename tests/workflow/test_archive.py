"""The archive of a dataset: downloaded when it is not there, verified whoever put it there, and never deleted."""

import hashlib
from pathlib import Path

import pytest

from histobench.study import paths
from tests.datasets import standin

MANIFEST = ("--configfile", "config/given.yaml", "--until", "manifest")
RUN = (*MANIFEST, "--cores", "1", "--show-failed-logs")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def identity(path: Path) -> tuple[int, int, str]:
    """Tell whether this is the very file that it was."""
    return path.stat().st_ino, path.stat().st_mtime_ns, sha256(path)


@pytest.mark.slow
def test_an_archive_that_is_there_is_verified_anew_when_it_or_its_pin_changes_and_never_deleted(project, served):
    folder, address = served
    standin.write_standin(folder / "given.tar.gz", members=standin.paths()[:8])
    archive = project.folder / "resources/given/given.tar.gz"
    given = {"source": "resources/given/given.tar.gz", "url": f"{address}/given.tar.gz"}
    project.configure_given(**given)
    manifest = project.path(paths.MANIFEST, "given", dataset="given")
    assert project.jobs(*MANIFEST) == {"fetch_dataset": 1, "manifest": 1}
    project.snakemake(*RUN)
    assert sha256(archive) == sha256(folder / "given.tar.gz")
    assert project.jobs(*MANIFEST) == {}
    downloaded, read = identity(archive), identity(manifest)

    # What follows never needs the server again.
    project.configure_given(**given | {"url": f"{address}/moved.tar.gz"}, sha256="0" * 64)
    pinned = f"datasets.given.sha256: resources/given/given.tar.gz has the SHA-256 {sha256(archive)}, not {'0' * 64}; "
    assert pinned in project.refusal(*RUN)
    project.configure_given(**given | {"url": f"{address}/moved.tar.gz"}, sha256=sha256(archive))
    assert project.jobs(*MANIFEST) == {}
    assert (identity(archive), identity(manifest)) == (downloaded, read)
    project.snakemake(*RUN, "--forceall")
    assert identity(archive) == downloaded

    standin.write_standin(archive, members=standin.paths()[:7])
    replaced = identity(archive)
    assert f"its SHA-256 is {sha256(archive)}, expected {downloaded[2]}" in project.refusal(*RUN)
    assert identity(archive) == replaced
    project.configure_given(**given, sha256=sha256(archive))
    project.snakemake(*RUN)
    assert identity(archive) == replaced
    assert len(manifest.read_text().splitlines()) == 1 + 7


@pytest.mark.slow
def test_an_archive_put_there_by_hand_is_verified(project):
    archive = standin.write_standin(project.folder / "by-hand.zip", kind="zip", members=standin.paths()[:8])
    kept = identity(archive)
    project.configure_given(source="by-hand.zip", sha256="0" * 64)
    assert (
        f"error: by-hand.zip: its SHA-256 is {sha256(archive)}, expected {'0' * 64}; put the right"
        in project.refusal(*RUN)
    )
    assert not project.path(paths.MANIFEST, "given", dataset="given").exists()
    project.configure_given(source="by-hand.zip")
    project.snakemake(*RUN)
    project.configure_given(source="by-hand.zip", sha256=sha256(archive))
    assert project.jobs(*MANIFEST) == {}
    assert identity(archive) == kept
    assert [path.name for path in project.folder.glob("by-hand*")] == ["by-hand.zip"]


@pytest.mark.slow
def test_a_folder_has_no_hash(project):
    standin.write_standin(project.folder / "tree", kind="folder", members=standin.paths()[:8])
    project.configure_given(source="tree", sha256="0" * 64)
    output = project.refusal(*RUN)
    assert "datasets.given.sha256: tree is a folder, which has no SHA-256; leave the key out" in output
