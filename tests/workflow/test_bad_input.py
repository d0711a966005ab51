"""Bad input through the true workflow: one sentence that helps, no traceback, nothing half-written, nothing lost."""

import shutil
import socket

import pytest
import yaml

from tests.datasets import standin

BAD = ("--configfile", "config/bad.yaml", "--cores", "1", "--show-failed-logs")


def configure(project, **dataset) -> None:
    """Write a study of one dataset, `given`, with one small random model."""
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
    config["datasets"] = {"given": {"format": "breakhis", **dataset}}
    config["grid"] = [config["grid"][0] | {"dataset": "given", "models": ["small"]}]
    (project.folder / "config/bad.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def tiny(project):
    shutil.copy(project.tiny, project.folder / "config" / "tiny.yaml")
    return project


def failed(project, *expected: str) -> str:
    result = project.snakemake(*BAD, check=False)
    assert result.returncode != 0
    for text in expected:
        assert text in result.stdout
    assert "Traceback" not in result.stdout
    assert not list((project.folder / "results").rglob("*.partial"))
    return result.stdout


def test_a_missing_archive_without_network_says_where_to_put_it(tiny):
    with socket.socket() as unused:  # a port on which nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/given.tar.gz"
    configure(tiny, source="resources/given/given.tar.gz", url=url)
    failed(
        tiny,
        "error: resources/given/given.tar.gz is missing and could not be downloaded",
        f"get it from {url}",
        "put it there",
    )
    assert not (tiny.folder / "resources/given/given.tar.gz").exists()


def test_a_truncated_archive(tiny):
    archive = tiny.folder / "given.tar.gz"
    standin.write_standin(archive)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    configure(tiny, source="given.tar.gz")
    output = failed(tiny, "error: given.tar.gz", "is truncated, corrupt or unreadable after", "get a whole copy of it")
    assert "Still to be downloaded" not in output
    assert not (tiny.folder / "results/given/manifest.csv").exists()


def test_an_incomplete_dataset_that_should_be_complete(tiny):
    archive = tiny.folder / "given.zip"
    standin.write_standin(archive, kind="zip", members=standin.paths()[:-2])
    configure(tiny, source="given.zip", complete=True)
    failed(tiny, "error: given.zip", "2 ")
    assert not (tiny.folder / "results/given/manifest.csv").exists()


def test_what_no_honest_dataset_holds_is_named(tiny):
    """Four datasets in one run: a foreign image, a member that leads out, a broken image, one image of two patients."""
    files = standin.few()
    (first, image), (last, _) = files[0], files[-1]
    sources = {
        "foreign": ([*files, (first.replace("-001.png", "-copy.png"), image)], "foreign.zip", "-copy.png"),
        "hostile": ([*files, ("../evil.png", image)], "hostile.tar", "leads out of its folder by '..'"),
        "corrupt": ([(first, image[: len(image) // 2]), *files[1:]], "corrupt.zip", first),
        "twins": ([*files[:-1], (last, files[-3][1])], "twins.zip", "have equal pixels but belong to different groups"),
    }
    for members, name, _ in sources.values():
        standin.write_files(tiny.folder / name, members, name.rpartition(".")[2])
    configure(tiny, source="foreign.zip")
    config = yaml.safe_load((tiny.folder / "config/bad.yaml").read_text())
    config["datasets"] = {kind: {"source": name} for kind, (_, name, _) in sources.items()}
    config["grid"] = [config["grid"][0] | {"dataset": kind} for kind in sources]
    (tiny.folder / "config/bad.yaml").write_text(yaml.safe_dump(config))
    output = tiny.snakemake(*BAD, "--keep-going", "--until", "folds", check=False).stdout
    for kind, (_, _, sentence) in sources.items():
        log = f"folds/{kind}/patient.log" if kind == "twins" else f"manifest/{kind}.log"
        text = (tiny.folder / "results/logs" / log).read_text()
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        assert sentence in text
        assert text in output
        assert not (tiny.folder / f"results/{kind}/folds/patient.csv").exists()
    assert "Traceback" not in output
    assert not (tiny.folder.parent / "evil.png").exists()
    assert not list((tiny.folder / "results").rglob("*.partial"))


def test_a_fold_file_edited_by_hand(restored):
    path = restored.folder / "results/made-up/folds/patient.csv"
    text = path.read_text()
    path.write_text(text.replace("train,test", "test,train", 1))
    made = sorted((restored.folder / "results/made-up/runs").rglob("*.*"))
    assert len(made) == 12 * 3
    kept = [file.read_bytes() for file in made]
    result = restored.snakemake("--configfile", "config/tiny.yaml", "--cores", "1", check=False)
    assert result.returncode != 0
    assert "results/made-up/folds/patient.csv: was edited after it was made" in result.stdout
    assert "Traceback" not in result.stdout
    assert "Error in rule" not in result.stdout
    assert [file.read_bytes() for file in made] == kept
