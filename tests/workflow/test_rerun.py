"""What re-runs when, as config/README.md has it: dry runs of a finished study after each change."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from histobench.study import code, paths
from histobench.study.runs import record
from tests.datasets import standin
from tests.workflow.conftest import TINY_STUDY, Project

TINY = ("--configfile", "config/tiny.yaml")
FIGURES = {
    *("figure_samples", "figure_methods", "figure_accuracy", "figure_losses", "figure_ladder", "figure_curves"),
    *("figure_patients", "figure_reliability", "figure_external", "figure_cost", "figure_variance", "figure_errors"),
}
TABLES = {
    f"table_{name}"
    for name in (
        "dataset",
        "models",
        "hyperparameters",
        "results",
        "scores",
        "folds",
        "comparisons",
        "intervals",
        "external",
        "strict",
        "variance",
        "errors",
    )
}
REPORT = TABLES | FIGURES | {"claims", "claims_of_paper", "page"}
SCORES = {"score", "compare", "costs", "check_arms", "variance"}
"""What is computed again from runs, and then REPORT from it."""
CONFIG, LIBRARY = "config/tiny.yaml", "workflow/histobench"
RETRAINED = {"train", "features"} | SCORES | REPORT


def slow(*values):
    """Return a case that only `make test-all` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)


def test_nothing_is_left_to_do(restored):
    assert restored.jobs(*TINY) == {}


def test_a_run_records_the_code_that_is_tracked(finished):
    for run in TINY_STUDY.runs:
        recorded = record(finished.folder / TINY_STUDY.path(paths.RUN, **vars(run)))["code"]
        assert recorded == code.training_code(TINY_STUDY, run.model, run.mode)
    assert len({code.training_code(TINY_STUDY, run.model, run.mode) for run in TINY_STUDY.runs}) == 3


HARDWARE_AND_WORDS = [
    (f"{LIBRARY}/training/fit.py", "import torch\n", "# Another comment.\nimport torch\n"),
    (CONFIG, "device: cpu", "device: auto\ngpu_slots: 4\ncheckpoint_seconds: 5"),
    (CONFIG, "  made-up:\n", "  made-up:\n    licence: CC0\n    citation: Some One (2016)\n"),
    (CONFIG, "small: {arch", "small: {licence: CC0, citation: Some One (2016), arch"),
    (CONFIG, "ft: {epochs: 1,", "ft: {micro_batch: 3, gradient_checkpointing: true, compile: true, epochs: 1,"),
    (CONFIG, "  ft: {", "  ft: {gpu: shared, vision: live, "),
    (CONFIG, "  lp: {", "  lp: {gpu: shared, vision: live, "),
    (CONFIG, "  ft-live: {", "  ft-live: {gpu: shared, "),
    ("workflow/rules/training.smk", "threads: 4", "threads: 2"),
    ("workflow/rules/features.smk", "threads: 4", "threads: 2"),
]


def test_hardware_settings_comments_licences_and_line_ends_re_run_nothing(restored):
    for edit in HARDWARE_AND_WORDS:
        restored.edit(*edit)
    for folder in ("config", "scripts", "workflow"):
        for path in (restored.folder / folder).rglob("*"):
            if path.suffix in (".py", ".yaml", ".smk", ".csv", ".html", ".css", ".js", ".json"):
                path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert restored.jobs(*TINY) == {}


@pytest.mark.slow
def test_the_profile_re_runs_nothing(restored):
    assert restored.jobs(*TINY, "--workflow-profile", "workflow/profiles/workstation") == {}


@pytest.mark.parametrize(
    ("edit", "expected", "only"),
    [
        ((CONFIG, "small: {arch", "small: {label: Small, arch"), {"page": 1}, REPORT),
        slow((CONFIG, "device: cpu", "device: cpu\nnote: Another."), {"page": 1}, REPORT),
        slow((CONFIG, "device: cpu", "device: cpu\ncomparisons: {draws: 150}"), {"compare": 1}, {"compare"} | REPORT),
        slow((CONFIG, "modes: [lp, ft, ft-live]", "modes: [lp, ft]"), {"score": 1}, SCORES | REPORT),
        (
            (CONFIG, "smaller: {arch", "smaller: {training: {ft: {learning_rate: 0.01}}, arch"),
            {"train": 4, "score": 1},
            {"train"} | SCORES | REPORT,
        ),
        slow((f"{LIBRARY}/report/page/template.html", "</body>", "\n</body>"), {"page": 1}, {"page"}),
        ((f"{LIBRARY}/training/fit.py", "import torch\n", "import torch\n\nCHANGED = 1\n"), {"train": 20}, RETRAINED),
        # A model's own code: two folds of a linear head for each two stores of embeddings.
        slow((f"{LIBRARY}/models/families/smolvlm.py", "import torch", "CHANGED = 1\nimport torch"), {"train": 6, "features": 2}, RETRAINED),
        slow((f"{LIBRARY}/models/cnn.py", "import torch\n", "CHANGED = 1\nimport torch\n"), {"train": 14, "features": 2}, RETRAINED),
        slow((f"{LIBRARY}/models/families/qwen2_vl.py", "import torch", "CHANGED = 1\nimport torch"), {}, SCORES | REPORT),
        # Linear heads of both kinds and LoRA, stored and live, in two folds each, but no CNN.
        slow(("scripts/features.py", "BATCH = 32", "BATCH = 33"), {"train": 10, "features": 4}, RETRAINED),
        slow((f"{LIBRARY}/datasets/augment.py", "\nclass ", "\nCHANGED = 1\n\n\nclass "), {"features": 4}, RETRAINED),
    ],
    ids=[
        *("label", "note", "comparisons", "smaller grid", "learning rate", "page", "training code"),
        *("code of a family", "code of CNNs", "code of an unused family", "code of tokens", "augmentation code"),
    ],
)  # fmt: skip
def test_what_a_change_re_runs(restored, edit, expected, only):
    restored.edit(*edit)
    jobs = restored.jobs(*TINY)
    assert jobs.items() >= expected.items()
    assert jobs.keys() <= only


@pytest.mark.slow
def test_tokens_made_again_for_another_arm_make_no_finished_run_stale(restored):
    restored.edit(
        CONFIG, "lp: {epochs: 2", "more: {trainable: lora, epochs: 3, batch_size: 8, lora: {}}\n  lp: {epochs: 2"
    )
    restored.edit(CONFIG, "modes: [lp, ft, ft-live]", "modes: [lp, ft, ft-live, more]")
    jobs = restored.jobs(*TINY)
    assert (jobs["train"], jobs["tokens"]) == (2, 2)
    assert "features" not in jobs


def rewrite_archive(path: Path, change) -> None:
    """Write a .tar.gz again with the content of its first image passed through `change`."""
    with tarfile.open(path) as old:
        members = [(member, file.read() if (file := old.extractfile(member)) else None) for member in old]
    first = next(index for index, (member, _) in enumerate(members) if member.name.endswith(".png"))
    members[first] = members[first][0], change(members[first][1])
    with gzip.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as new:
        for member, content in members:
            member.size = len(content or b"")
            new.addfile(member, io.BytesIO(content) if content is not None else None)


def darker(png: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).point(lambda value: value // 2).save(out, "PNG")
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("change", "retrains"), [(darker, True), (lambda png: png, False)], ids=["changed", "same"])
def test_one_image_re_runs_its_dataset_and_no_other(restored, change, retrains):
    archive = restored.path(paths.ARCHIVE, dataset="made-up")
    kept = archive.read_bytes()
    try:
        rewrite_archive(archive, change)
        assert restored.jobs(*TINY)["manifest"] == 1
        restored.snakemake(*TINY, "--cores", "1", "--until", "manifest")
        jobs = restored.jobs(*TINY)
        if retrains:
            assert jobs["train"] == 18
            assert (jobs["pixels"], jobs["folds"], jobs["features"]) == (1, 2, 4)
        else:
            assert jobs == {}
    finally:
        archive.write_bytes(kept)
        restored.snakemake(*TINY, "--cores", "1", "--until", "manifest", "--forcerun", "manifest")


@pytest.mark.slow
def test_a_file_deep_in_a_folder_re_runs_its_manifest(project):
    """A folder's own date does not change with it."""
    files = standin.few()
    standin.write_files(project.folder / "few", files, "folder")
    project.configure_given(source="few")
    manifest = ("--configfile", "config/given.yaml", "--until", "manifest")
    project.snakemake(*manifest, "--cores", "1")
    assert project.jobs(*manifest) == {}
    standin.write_files(project.folder / "few", [(files[3][0], darker(files[3][1]))], "folder")
    assert project.jobs(*manifest) == {"manifest": 1}


@pytest.mark.slow
def test_a_second_study_trains_only_what_the_first_has_not(restored):
    config = restored.configure("second", study="second")
    config["models"]["third"] = config["models"]["small"] | {"width": 0.09375}
    config["grid"][0]["models"].append("third")
    restored.configure("second", **config)
    jobs = restored.jobs("--configfile", "config/second.yaml")
    (restored.folder / "config/second.yaml").unlink()
    assert jobs["train"] == 4
    assert jobs.keys().isdisjoint({"manifest", "folds", "pixels", "features"})
    assert restored.jobs(*TINY) == {}


@pytest.mark.slow
def test_a_study_that_means_something_else_by_the_same_names_leaves_the_first_as_it_is(finished, tmp_path):
    both = Project(shutil.copytree(finished.folder, tmp_path / "both", symlinks=True))
    config = both.configure("meaning")
    config["datasets"]["made-up"]["synthetic"]["seed"] = 7
    config["splits"]["patient"]["seed"] = 7
    config["models"]["small"]["image_size"] = 40
    config["modes"]["ft"]["epochs"] = 2
    both.configure("meaning", **config | {"study": "meaning", "grid": config["grid"][:1], "seed": 7})
    files = [path for name in ("results", "resources") for path in (both.folder / name).rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    other = ("--configfile", "config/meaning.yaml", "--cores", "2", "--resources", "gpu=2", "--set-threads", "train=1")
    both.snakemake(*other, "--until", "score")
    assert len(list(both.folder.glob("results/made-up-*/runs/small/ft/*/*/*/*/*/run.json"))) == 2 * 4
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert both.jobs(*TINY) == {}


# ---- what a finished study holds ----


def test_every_run_left_what_it_must(finished):
    folders = sorted((finished.folder / "results").glob("*/runs/*/*/*/*/*/seed*/fold*"))
    assert len(folders) == 20
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "predictions.csv", "run.json"]


def test_stored_tokens_and_a_live_tower_give_the_same_predictions(finished):
    """Up to a hundredth of the spread of the logits, which those of other tokens would differ by.

    That they are equal but for rounding can be told in float64 only: tests/models/test_vlm_training.py.
    """
    for fold in ("fold1", "fold2"):
        stored, live = (
            [line.split(",") for line in path.open()][1:]
            for path in sorted(
                finished.folder.glob(f"results/*/runs/tiny-vlm/ft*/patient/40x/paper-*/seed0/{fold}/predictions.csv")
            )
        )
        assert [row[:-2] for row in stored] == [row[:-2] for row in live]
        one, other = (np.array([row[-2:] for row in rows], float) for rows in (stored, live))
        assert np.abs(one - other).max() < one.std(axis=0).min() / 100


@pytest.mark.slow
def test_the_report_of_snakemake_holds_every_category(finished):
    page = finished.folder / "report.html"
    finished.snakemake(*TINY, "--report", "report.html")
    text = page.read_text()
    page.unlink()
    for category in ("Dataset", "Scores", "Intervals and comparisons", "Tables", "Figures", "Report page"):
        assert f'"{category}"' in text, category
    assert "Image classifiers on breast histopathology" in text
