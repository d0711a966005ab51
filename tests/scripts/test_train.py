"""The training script as real processes, on datasets of random pixels and embeddings in the contract's formats."""

import csv
import hashlib
import importlib.metadata
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from histobench.datasets import manifest
from histobench.io.fingerprint import fingerprint
from histobench.study.recipes import Recipe
from histobench.study.run_files import RunRecord
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training.microbatch import FoundSize
from tests.disks import fill, small_disk
from tests.scripts.running import ROOT, random_dataset, start, status

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "scripts" / "train.py"
SIZE = 64
FLIP = [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.5}}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve patients with six images each, at two magnifications, in three folds."""
    folder, generator = tmp_path_factory.mktemp("dataset"), np.random.default_rng(0)
    images = random_dataset(folder, 12, (40, 200), 6, 3)
    malignant = [image.label == "malignant" for image in images if image.magnification == 200]
    features = generator.normal(size=(100, len(malignant), 16)).astype(np.float32)
    features[:, :, 0] += malignant
    np.save(folder / "views.npy", features)
    np.save(folder / "features.npy", features[:1])
    (folder / "features.json").write_text('{"seconds": 2.5}')
    return folder


def arguments(dataset, output, spec, **changes):
    given = {
        "specification": spec.canonical(),
        "manifest": dataset / "manifest.csv",
        "folds": dataset / "patient.csv",
        "split-by": "patient",
        "device": "cpu",
        "threads": 1,
        "checkpoint-seconds": 0,
        "output": output / "predictions.csv",
        "history": output / "history.csv",
        "run": output / "run.json",
    }
    if spec.recipe.trainable == "head":
        given["features"] = dataset / ("views.npy" if spec.augmentation else "features.npy")
        given["evaluation-features"] = dataset / "features.npy" if spec.augmentation else None
    else:
        given["pixels"] = dataset / "pixels.npy"
    given |= {name.replace("_", "-"): value for name, value in changes.items()}
    return [SCRIPT, *(part for name, value in given.items() if value is not None for part in (f"--{name}", value))]


def specification(trainable="head", augmentation=(), epochs=6, architecture="torchvision/alexnet", **recipe):
    return RunSpec(
        model=CnnSettings(architecture=architecture, weights="random", image_size=SIZE, width=0.125),
        recipe=Recipe(trainable=trainable, epochs=epochs, batch_size=16, learning_rate=0.003, **recipe),
        augmentation=list(augmentation),
        magnification=200,
        fold=2,
        seed=4,
    )


def run(dataset, output, spec, **changes):
    """Run a job to its end and require success; return its log."""
    output.mkdir(exist_ok=True)
    assert status(start(arguments(dataset, output, spec, **changes), output / "log")) == 0, (output / "log").read_text()
    return (output / "log").read_text()


def wait_for(path, newer_than=0, unless=Path("/nonexistent"), said=""):
    """Wait for a file, that it is newer, and holds a text, at most 240 s."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if unless.exists():
            return
        if path.exists() and path.stat().st_mtime_ns > newer_than and (not said or said in path.read_text()):
            return
        time.sleep(0.001)
    pytest.fail(f"{path} did not appear; log: {(path.parent / 'log').read_text()}")


def results(output):
    """Return predictions, and history without its seconds, as text."""
    with (output / "history.csv").open(newline="") as file:
        history = [row[:-2] for row in csv.reader(file)]
    return (output / "predictions.csv").read_text(), history


def record(output):
    return json.loads((output / "run.json").read_text())


def test_a_linear_probe_as_its_own_process(dataset, tmp_path):
    spec = specification(standardise=True, keep_weights=True)
    # The job's last word: which heavy libraries it imported.
    heavy = {"sklearn", "pandas", "scipy", "torchvision", "albumentations", "timm", "cv2", "matplotlib"}
    heavy |= {"transformers", "peft"}
    code = (
        "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments(dataset, tmp_path, spec))],
        env={name: value for name, value in os.environ.items() if name != "HISTOBENCH_START"}
        | {"PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == "[]\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("history.csv", "predictions.csv", "run.json", "weights.safetensors"),
    ]

    images = manifest.load(dataset / "manifest.csv")
    expected = [image for image in images if image.magnification == 200 and int(image.patient[-2:]) // 2 % 3 == 1]
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image_id", "accession", "group", "fold", "label", "logit", "best_epoch_logit"]
    assert [(row["image_id"], row["group"], row["fold"], row["label"]) for row in rows] == [
        (image.image_id, image.patient, "2", str(int(image.label == "malignant"))) for image in expected
    ]
    with (tmp_path / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert list(history[0]) == [
        *("epoch", "train_loss", "validation_loss", "learning_rate", "accuracy", "precision", "recall", "f1", "auc"),
        *("patient_rate", "train_seconds", "validation_seconds"),
    ]
    assert [row["epoch"] for row in history] == ["1", "2", "3", "4", "5", "6"]
    label = np.array([int(row["label"]) for row in rows])
    ran = record(tmp_path)
    for column, row in (("logit", history[-1]), ("best_epoch_logit", history[ran["best_epoch"] - 1])):
        logit = np.array([float(row[column]) for row in rows])
        assert float(row["accuracy"]) == pytest.approx(accuracy_score(label, logit >= 0))
        assert float(row["auc"]) == pytest.approx(roc_auc_score(label, logit))
        assert float(row["validation_loss"]) == pytest.approx(
            log_loss(label, 1 / (1 + np.exp(-logit))), abs=1e-9 * (1 + np.abs(logit).max())
        )  # logits and loss have nine digits
        assert [f"{np.float32(value):.9g}" for value in logit] == [row[column] for row in rows]

    # It was standardised by the rows that it was trained on.
    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "weights.safetensors")
    embeddings = np.load(dataset / "features.npy")[0]
    trained = embeddings[[image not in expected for image in images if image.magnification == 200]]
    stored = np.finfo(np.float32).eps  # computed in float64 and stored in float32
    np.testing.assert_allclose(weights["mean"], trained.mean(0, dtype=np.float64), rtol=stored)
    np.testing.assert_allclose(weights["std"], trained.std(0, dtype=np.float64), rtol=stored)

    assert set(ran) == RunRecord.__required_keys__
    assert ran["specification"] == json.loads(spec.canonical())
    assert set(ran["versions"]) == {"python", "torch", "numpy"}  # a linear head is trained without the others
    assert ran["code"] == fingerprint(SCRIPT)
    lines = [f"{image.image_id},{image.label},{image.patient},{image.sha256}\n" for image in expected]
    assert ran["sha256"]["evaluation images"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert len({len(digest) for digest in ran["sha256"].values()}) == 1
    assert len(set(ran["sha256"].values())) == 3
    assert ran["parameters"] == {"total": 17, "trainable": 17}
    assert ran["jobs_per_gpu"] is None  # it was no GPU
    assert (ran["device"][:3], ran["precision"], ran["threads"], ran["micro_batch"]) == ("cpu", "fp32", 1, 16)
    assert (ran["resumed_from"], ran["start"]) == (None, "cold: the script was run by itself")
    assert ran["images_per_second"] > 0
    assert ran["peak_memory_mib"]["host"] > 50
    assert 0 < ran["seconds"]["training"] < ran["seconds"]["start_up"] < ran["seconds"]["total"]
    assert ran["seconds"]["features"] == 2.5


def test_groups_that_are_kept_for_choosing_neither_train_nor_standardise(dataset, tmp_path):
    from safetensors.numpy import load_file

    run(dataset, tmp_path, specification(standardise=True, keep_weights=True, validation=0.3))
    ran = record(tmp_path)
    # Of four training patients of each class one is kept, with six images.
    assert ran["chosen"]["groups"] == {"benign": 1, "malignant": 1}
    assert ran["chosen"]["images"] == {"benign": 6, "malignant": 6}
    assert ran["images"] == {"training": 36, "evaluation": 24, "validation": 12}
    images = [image for image in manifest.load(dataset / "manifest.csv") if image.magnification == 200]
    training = [image for image in images if int(image.patient[-2:]) // 2 % 3 != 1]
    mean = load_file(tmp_path / "weights.safetensors")["mean"]
    embeddings = np.load(dataset / "features.npy")[0].astype(np.float64)
    fitting = []
    for pair in itertools.product(
        *(sorted({i.patient for i in training if i.label == label}) for label in manifest.LABELS)
    ):
        rest = [image in training and image.patient not in pair for image in images]
        if np.allclose(embeddings[rest].mean(0), mean, rtol=1e-6, atol=1e-7):
            fitting.append(pair)
    assert len(fitting) == 1
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["logit", "best_epoch_logit", "validation_logit"]
    assert list(history[0])[-5:] == [
        "patient_rate",
        "kept_loss",
        "kept_accuracy",
        "train_seconds",
        "validation_seconds",
    ]
    epoch = ran["chosen"]["epoch"]
    assert float(history[epoch - 1]["kept_loss"]) == min(float(row["kept_loss"]) for row in history)
    label, logit = ([float(row[name]) for row in rows] for name in ("label", "validation_logit"))
    assert float(history[epoch - 1]["auc"]) == pytest.approx(roc_auc_score(label, logit))
    if epoch == len(history):
        last = (np.array([float(row["logit"]) for row in rows]) - ran["chosen"]["threshold"]) / ran["chosen"][
            "temperature"
        ]
        np.testing.assert_allclose(logit, last, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("trainable", "augmentation", "workers", "seed"),
    [("head", (), 0, 1), ("head", FLIP, 0, 2), ("all", (), 0, 3), ("all", FLIP, 0, 4), ("all", FLIP, 2, 5)],
)
def test_a_killed_job_goes_on_bit_for_bit(dataset, tmp_path, trainable, augmentation, workers, seed):
    kept = {"validation": 0.3} if seed in (1, 4) else {}
    spec = specification(trainable, augmentation, epochs=100 if trainable == "head" else 12, **kept)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(dataset, whole, spec)
    killed.mkdir()
    checkpoint, chance = killed / "checkpoint.pt", random.Random(seed)
    deaths = 0
    for _ in range(3):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        job = start(arguments(dataset, killed, spec, workers=workers), killed / "log")
        wait_for(checkpoint, before, unless=killed / "run.json")  # until it has made a step
        time.sleep(chance.uniform(0, 0.03))  # and a few more
        os.kill(job.pid, signal.SIGKILL)
        if status(job) != -signal.SIGKILL:
            break
        deaths += 1
    assert deaths
    run(dataset, killed, spec, workers=workers)
    assert results(killed) == results(whole)
    assert record(killed).get("chosen") == record(whole).get("chosen")
    assert ("chosen" in record(whole)) == bool(kept)
    assert not checkpoint.exists()
    assert not list(killed.glob(".checkpoint*"))
    assert "continuing after epoch" in (killed / "log").read_text()


def children(pid):
    """Return the processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_job_that_is_asked_to_end_dies_by_the_signal_and_goes_on_with_the_next_step(dataset, tmp_path, workers):
    spec = specification("all", FLIP, epochs=30)
    whole, asked = tmp_path / "whole", tmp_path / "asked"
    run(dataset, whole, spec)
    asked.mkdir()
    checkpoint, last = asked / "checkpoint.pt", ()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        (asked / "log").unlink(missing_ok=True)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        job = start(arguments(dataset, asked, spec, workers=workers), asked / "log")
        wait_for(checkpoint, before, unless=asked / "run.json")
        limit = time.monotonic() + 60  # on a busy machine one has not begun
        while len(helpers := children(job.pid)) < workers and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(helpers) == workers
        for process in (*helpers, job.pid):  # as Ctrl-C and queues do: the whole group
            os.kill(process, number)
        assert status(job) == -number, (asked / "log").read_text()  # for SIGTERM, a shell reports 128 + 15 = 143
        log = (asked / "log").read_text()
        assert "Traceback" not in log
        said = re.search(
            rf"^{number.name} in epoch (\d+) after step (\d) of 3: run the same command to continue from there$",
            log,
            re.M,
        )
        assert said, log
        epoch, step = map(int, said.groups())
        if last:
            assert "continuing after epoch {} of 30, step {}\n".format(*last) in log
        assert (epoch - 1, step) > last
        last = epoch - 1, step
        assert not [helper for helper in helpers if Path(f"/proc/{helper}").exists()]
        assert {path.name for path in asked.iterdir()} == {"checkpoint.pt", "log"}
    run(dataset, asked, spec, workers=workers)
    assert results(asked) == results(whole)
    assert not checkpoint.exists()


def test_a_full_disk_costs_checkpoints_but_not_the_run(dataset, tmp_path):
    spec = specification("all", epochs=12)
    whole = tmp_path / "whole"
    run(dataset, whole, spec)
    with small_disk(tmp_path / "disk", 16 * 1024) as disk:
        checkpoint = disk / "checkpoint.pt"
        job = start(arguments(dataset, disk, spec), disk / "log")
        wait_for(checkpoint)
        os.kill(job.pid, signal.SIGTERM)
        assert status(job) == -signal.SIGTERM
        kept = checkpoint.read_bytes()
        filler = fill(disk, leave=len(kept) // 2)
        # Asked to end where no new checkpoint can be written, it leaves the old one.
        job = start(arguments(dataset, disk, spec), tmp_path / "log")
        wait_for(tmp_path / "log", said="no new checkpoint")
        os.kill(job.pid, signal.SIGTERM)
        assert status(job) == -signal.SIGTERM
        assert checkpoint.read_bytes() == kept
        # There is no room even for the predictions.
        fill(disk, leave=0)
        assert status(start(arguments(dataset, disk, spec), tmp_path / "log2")) == 1
        log = (tmp_path / "log2").read_text()
        sentence = "the disk or quota is full; free some space and run the same command again\n"
        assert log.endswith(f"error: {disk}/predictions.csv: {sentence}"), log
        assert f"no new checkpoint: {checkpoint}: {sentence}" in log
        assert "Traceback" not in log
        assert checkpoint.read_bytes() == kept
        assert not list(disk.glob(".*"))
        filler.unlink()
        run(dataset, disk, spec)
        assert results(disk) == results(whole)


def test_runs_agree_whatever_the_number_of_workers_and_micro_batches(dataset, tmp_path):
    spec = specification("all", FLIP, epochs=2)
    run(dataset, tmp_path / "0", spec)
    run(dataset, tmp_path / "2", spec, workers=2)
    assert results(tmp_path / "0") == results(tmp_path / "2")
    assert record(tmp_path / "2")["workers"] == 2
    versions = record(tmp_path / "2")["versions"]
    assert set(versions) == {"python", "torch", "numpy", "torchvision", "albumentations"}
    assert versions["albumentations"] == importlib.metadata.version("albumentations")
    assert record(tmp_path / "2")["sha256"]["embeddings"] == ""

    network = specification("all", epochs=2, architecture="torchvision/resnet18")
    log = run(dataset, tmp_path / "cut", network, micro_batch=3)
    assert log.count("batch normalisation needs the 16 images together") == 1
    run(dataset, tmp_path / "whole", network)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    parameters = record(tmp_path / "whole")["parameters"]
    assert parameters["total"] == parameters["trainable"] > 10_000


def test_a_job_starts_with_the_micro_batch_that_an_earlier_one_found(dataset, tmp_path):
    spec = specification("all")
    how = {"tokens": False, "recompute": False, "compiled": False}
    FoundSize(tmp_path / "sizes", spec, how, torch.device("cpu")).save(5, 1000)
    run(dataset, tmp_path / "run", spec, found_sizes=tmp_path / "sizes")
    assert record(tmp_path / "run")["micro_batch"] == 5


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (specification(), {"features": None, "pixels": "x"}, "--features is missing for trainable 'head'"),
        (specification(augmentation=FLIP), {"evaluation_features": None}, "--evaluation-features is missing"),
        (specification("all"), {"weights": "x"}, "--weights: for a cnn with weights 'random' it is of no use"),
        (specification(), {"split_by": "image"}, "patient.csv (split by image): group 14-1000 with 12"),
        (specification(), {"device": "cuda:99"}, "--device cuda:99: PyTorch finds"),
        (
            specification(),
            {"features": "pixels.npy"},
            "pixels.npy: holds uint8 (144, 64, 64, 3), expected float32 (1 views",
        ),
        (
            specification(),
            {"features": "views.npy"},
            "views.npy: holds float32 (100, 72, 16), expected float32 (1 views, 72",
        ),
        (specification(), {"features": "manifest.csv"}, "manifest.csv: cannot be read as features"),
        (
            specification(augmentation=FLIP, epochs=101),
            {},
            "views.npy: holds float32 (100, 72, 16), expected float32 (101",
        ),
    ],
)
def test_a_mistake_is_one_line(dataset, tmp_path, spec, changes, message):
    changes = {name: dataset / value if "feat" in name and value else value for name, value in changes.items()}
    assert status(start(arguments(dataset, tmp_path, spec, **changes), tmp_path / "log")) == 1
    log = (tmp_path / "log").read_text()
    assert log.startswith("error: ")
    assert message in log
    assert log.count("\n") == 1, log
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
