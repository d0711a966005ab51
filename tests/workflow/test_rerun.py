"""What re-runs when: shown on dry runs of a finished study."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.datasets import standin

TINY = ("--configfile", "config/tiny.yaml")
FIGURES = {
    f"figure_{name}"
    for name in ("samples", "methods", "accuracy", "losses", "ladder", "patients", "reliability", "external", "cost")
}
TABLES = {
    f"table_{name}"
    for name in ("dataset", "models", "hyperparameters", "results", "scores", "comparisons", "intervals", "external")
}
REPORT = TABLES | FIGURES | {"claims", "page"}
SCORES = {"score", "compare", "costs", "count_parameters"}
"""What is computed again from runs, and then REPORT from it."""


def test_nothing_is_left_to_do(restored):
    assert restored.jobs(*TINY) == {}


def test_every_run_left_what_it_must(finished):
    folders = sorted((finished.folder / "results").glob("*/runs/*/*/*/*/*/fold*"))
    assert len(folders) == 14
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "predictions.csv", "run.json"]


def test_stored_tokens_and_a_live_tower_give_the_same_predictions(finished):
    runs = finished.folder / "results/made-up/runs/tiny-vlm"
    for fold in ("fold1", "fold2"):
        stored, live = (
            (runs / mode / "patient/40x/paper" / fold / "predictions.csv").read_text().splitlines()
            for mode in ("ft", "ft-live")
        )
        for one, other in zip(stored[1:], live[1:], strict=True):
            *image, logit, best = one.split(",")
            assert image == other.split(",")[:-2]
            assert [float(value) for value in other.split(",")[-2:]] == pytest.approx(
                [float(logit), float(best)], abs=1e-5
            )


def test_a_comment_or_docstring_in_the_library_re_runs_nothing(restored):
    path = restored.folder / "workflow/histobench/training/fit.py"
    path.write_text("# Another comment.\n" + path.read_text())
    assert restored.jobs(*TINY) == {}


def test_the_device_re_runs_nothing(restored):
    restored.edit("config/tiny.yaml", "device: cpu", "device: auto\ngpu_slots: 4")
    for mode in ("ft", "lp", "ft-live"):
        restored.edit("config/tiny.yaml", f"  {mode}: {{", f"  {mode}: {{gpu: shared, ")
    assert restored.jobs(*TINY) == {}
    assert restored.jobs(*TINY, "--workflow-profile", "workflow/profiles/workstation") == {}


def test_licence_and_citation_re_run_nothing(restored):
    restored.edit("config/tiny.yaml", "  made-up:\n", "  made-up:\n    licence: CC0\n    citation: Some One (2016)\n")
    restored.edit("config/tiny.yaml", "small: {arch", "small: {licence: CC0, citation: Some One (2016), arch")
    assert restored.jobs(*TINY) == {}


def test_a_label_re_runs_the_report_only(restored):
    restored.edit("config/tiny.yaml", "small: {arch", "small: {label: Small, arch")
    jobs = restored.jobs(*TINY)
    assert jobs["page"] == 1
    assert jobs.keys() <= REPORT | {"claims_published"}


@pytest.mark.parametrize("file", ["template.html", "style.css", "script.js", "protocol.py"])
def test_a_change_of_the_page_re_runs_the_page_only(restored, file):
    path = restored.folder / "workflow/histobench/report/page" / file
    kept = path.read_text()
    path.write_text(kept + ("\n\nCHANGED = 1\n" if file.endswith(".py") else "\n"))
    jobs = restored.jobs(*TINY)
    path.write_text(kept)
    assert jobs == {"page": 1}


def test_the_tables_code_re_runs_the_report_only(restored):
    restored.edit("workflow/histobench/report/terms.py", "The best epoch is optimistic", "This is optimistic")
    jobs = restored.jobs(*TINY)
    assert jobs
    assert jobs.keys() <= REPORT | {"claims_published"}


def test_one_models_learning_rate_re_runs_that_model(restored):
    restored.edit("config/tiny.yaml", "smaller: {arch", "smaller: {training: {ft: {learning_rate: 0.01}}, arch")
    jobs = restored.jobs(*TINY)
    assert jobs["train"] == 2
    assert jobs["score"] == 1
    assert jobs.keys() <= {"train"} | SCORES | REPORT


def test_the_training_code_re_runs_all_training(restored):
    restored.edit("workflow/histobench/training/fit.py", "import torch\n", "import torch\n\nCHANGED = 1\n")
    jobs = restored.jobs(*TINY)
    assert jobs["train"] == 14
    assert jobs.keys().isdisjoint({"manifest", "folds", "pixels", "features", "tokens"})  # LoRA goes live


@pytest.mark.parametrize(
    ("file", "trained", "features"),
    [
        ("models/families/smolvlm.py", 4, 2),
        ("models/vlm.py", 4, 2),
        ("models/families/qwen2_vl.py", 0, 0),
        ("models/cnn.py", 6, 2),
    ],
)
def test_a_familys_code_re_runs_its_models(restored, file, trained, features):
    path = restored.folder / "workflow/histobench" / file
    path.write_text(path.read_text() + "\n\nCHANGED = 1\n")
    jobs = restored.jobs(*TINY)
    heads = features  # two folds of a linear probe for each two stores of embeddings
    assert jobs.get("train", 0) == trained + heads
    assert jobs.get("features", 0) == features


def test_tokens_made_again_for_another_arm_make_no_finished_run_stale(restored):
    restored.edit(
        "config/tiny.yaml",
        "lp: {epochs: 2",
        "more: {trainable: lora, epochs: 3, batch_size: 8, lora: {}}\n  lp: {epochs: 2",
    )
    restored.edit("config/tiny.yaml", "modes: [lp, ft, ft-live]", "modes: [lp, ft, ft-live, more]")
    jobs = restored.jobs(*TINY)
    assert (jobs["train"], jobs["tokens"]) == (2, 2)
    assert "features" not in jobs


def test_the_code_that_makes_tokens_re_runs_what_was_trained_on_them(restored):
    restored.edit("scripts/features.py", "BATCH = 32", "BATCH = 33")
    jobs = restored.jobs(*TINY)
    # Linear probes of both kinds and LoRA, stored and live, in two folds each, but no CNN.
    assert (jobs["train"], jobs["features"]) == (8, 4)


@pytest.mark.parametrize("mode", ["ft", "lp"])
def test_where_tokens_come_from_re_runs_nothing(restored, mode):
    restored.edit("config/tiny.yaml", f"  {mode}: {{", f"  {mode}: {{vision: live, ")
    assert restored.jobs(*TINY) == {}


def test_a_smaller_grid_re_runs_scores_and_the_report_only(restored):
    restored.edit("config/tiny.yaml", "models: [small, smaller]", "models: [small]")
    jobs = restored.jobs(*TINY)
    assert jobs["score"] == 1
    assert jobs.keys() <= SCORES | REPORT


def test_hardware_settings_re_run_nothing(restored):
    restored.edit(
        "config/tiny.yaml", "ft: {epochs: 1,", "ft: {micro_batch: 3, gradient_checkpointing: true, epochs: 1,"
    )
    assert restored.jobs(*TINY) == {}


def test_what_a_queue_is_asked_for_re_runs_nothing(restored):
    path = restored.folder / "workflow/rules/common.smk"
    path.write_text(
        path.read_text().replace("first * attempt", "3 * first * attempt").replace("(16000, 5)", "(9000, 9)")
    )
    for rules in (restored.folder / "workflow/rules").glob("*.smk"):
        rules.write_text(rules.read_text().replace("threads: 8", "threads: 3").replace("threads: 4", "threads: 2"))
    assert restored.jobs(*TINY) == {}


def test_the_augmentation_code_re_runs_what_is_augmented_or_trained(restored):
    restored.edit("workflow/histobench/datasets/augment.py", "\nclass ", "\nCHANGED = 1\n\n\nclass ")
    jobs = restored.jobs(*TINY)
    assert jobs["features"] == 4
    assert jobs.keys().isdisjoint({"manifest", "folds", "pixels"})


def rewrite_archive(path: Path, change) -> None:
    """Write a .tar.gz again with the content of its first image passed through `change`."""
    with tarfile.open(path) as old:
        members = [(member, old.extractfile(member)) for member in old]
        members = [(member, file.read() if file else None) for member, file in members]
    first = next(index for index, (member, _) in enumerate(members) if member.name.endswith(".png"))
    member, content = members[first]
    members[first] = (member, change(content))
    with gzip.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as new:
        for member, content in members:
            member.size = len(content) if content is not None else 0
            new.addfile(member, io.BytesIO(content) if content is not None else None)


def darker(png: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).point(lambda value: value // 2).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("change", "retrains"), [(darker, True), (lambda png: png, False)], ids=["changed", "same"])
def test_one_image_re_runs_its_dataset_and_no_other(restored, change, retrains):
    archive = restored.folder / "results/made-up/archive.tar.gz"
    kept = archive.read_bytes()
    try:
        rewrite_archive(archive, change)
        assert restored.jobs(*TINY)["manifest"] == 1
        restored.snakemake(*TINY, "--cores", "1", "--until", "manifest")
        jobs = restored.jobs(*TINY)
        if retrains:
            assert jobs["train"] == 12
            assert (jobs["pixels"], jobs["folds"], jobs["features"]) == (1, 1, 4)
        else:
            assert jobs == {}
    finally:
        archive.write_bytes(kept)
        restored.snakemake(*TINY, "--cores", "1", "--until", "manifest", "--forcerun", "manifest")


def test_a_file_deep_in_a_folder_re_runs_its_manifest(project):
    """A folder's own date does not change with it."""
    files = standin.few()
    standin.write_files(project.folder / "few", files, "folder")
    config = yaml.safe_load(project.tiny.read_text())
    config |= {"datasets": {"few": {"source": "few"}}, "grid": [config["grid"][0] | {"dataset": "few"}]}
    (project.folder / "config/few.yaml").write_text(yaml.safe_dump(config))
    manifest = ("--configfile", "config/few.yaml", "--until", "manifest")
    project.snakemake(*manifest, "--cores", "1")
    assert project.jobs(*manifest) == {}
    standin.write_files(project.folder / "few", [(files[3][0], darker(files[3][1]))], "folder")
    assert project.jobs(*manifest) == {"manifest": 1}


def test_a_second_study_trains_only_what_the_first_has_not(restored):
    config = yaml.safe_load((restored.folder / "config/tiny.yaml").read_text())
    config["study"] = "second"
    config["models"]["third"] = config["models"]["small"] | {"width": 0.09375}
    config["grid"][0]["models"].append("third")
    (restored.folder / "config/second.yaml").write_text(yaml.safe_dump(config))
    jobs = restored.jobs("--configfile", "config/second.yaml")
    (restored.folder / "config/second.yaml").unlink()
    assert jobs["train"] == 2
    assert jobs.keys().isdisjoint({"manifest", "folds", "pixels", "features"})
    assert restored.jobs(*TINY) == {}
