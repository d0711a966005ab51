"""Bad input through the true workflow: a message that helps, nothing half-written, nothing lost."""

import socket

import pytest
import yaml

from histobench.study import paths
from tests.datasets import standin

BAD = ("--configfile", "config/given.yaml", "--cores", "1", "--show-failed-logs")


@pytest.mark.slow
def test_a_missing_archive_without_network_says_where_to_put_it(project):
    with socket.socket() as unused:  # a port on which nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/given.tar.gz"
    project.configure_given(source="resources/given/given.tar.gz", url=url)
    output = project.refusal(*BAD)
    assert "error: resources/given/given.tar.gz is missing and could not be downloaded" in output
    assert f"get it from {url}" in output
    assert "put it there" in output
    assert not (project.folder / "resources/given/given.tar.gz").exists()


@pytest.mark.slow
def test_what_no_honest_dataset_holds_is_named(project):
    """Six datasets in one run, each with another fault; the log of each ends with one message."""
    files = standin.few()
    (first, image), (last, _) = files[0], files[-1]
    sources = {
        "foreign": ([*files, (first.replace("-001.png", "-copy.png"), image)], "foreign.zip", "-copy.png"),
        "hostile": ([*files, ("../evil.png", image)], "hostile.tar", "leads out of its folder by '..'"),
        "corrupt": ([(first, image[: len(image) // 2]), *files[1:]], "corrupt.zip", first),
        "twins": ([*files[:-1], (last, files[-3][1])], "twins.zip", "have equal pixels but belong to different groups"),
        "truncated": (files, "truncated.tar.gz", "is truncated, corrupt or unreadable after"),
        "incomplete": (files, "incomplete.zip", ""),
    }
    for members, name, _ in sources.values():
        standin.write_files(project.folder / name, members, name.partition(".")[2])
    truncated = project.folder / "truncated.tar.gz"
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    datasets = {kind: {"source": name} for kind, (_, name, _) in sources.items()}
    datasets["incomplete"]["complete"] = True
    block = yaml.safe_load(project.tiny.read_text())["grid"][0] | {"models": ["small"], "splits": ["patient"]}
    project.configure("given", datasets=datasets, grid=[block | {"dataset": kind} for kind in sources])
    output = project.refusal(*BAD, "--keep-going", "--until", "folds")
    assert "Still to be downloaded" not in output
    for kind, (_, _, message) in sources.items():
        (log,) = (project.folder / "results/logs").glob(
            f"{'folds' if kind == 'twins' else 'manifest'}/{kind}-*{'/*' * (kind == 'twins')}.log"
        )
        text = log.read_text()
        line = text.splitlines()[-1]
        assert line.startswith("error: ")
        assert message in line
        assert text in output
        assert not list((project.folder / "results").glob(f"{kind}-*/folds/*.csv"))
    assert not (project.folder.parent / "evil.png").exists()


@pytest.mark.slow
def test_a_fold_file_edited_by_hand_stops_the_study_and_costs_no_run(restored):
    path = restored.path(paths.FOLDS, dataset="made-up", split="patient")
    path.write_text(path.read_text().replace("train,test", "test,train", 1))
    made = sorted((path.parents[1] / "runs").rglob("*.*"))
    assert len(made) == 18 * 3
    kept = [file.read_bytes() for file in made]
    output = restored.refusal("--configfile", "config/tiny.yaml", "--cores", "1")
    assert f"{path.relative_to(restored.folder)}: was edited after it was made" in output
    assert "Error in rule" not in output
    assert [file.read_bytes() for file in made] == kept
