"""A SIMULATED full study on disk, for measuring what follows training: `python -m benchmarks.simulated FOLDER`.

Nothing was trained: logits are drawn from a model with patient effects for the 7,909 images that BreakHis has, under
their true names. Give what is made from them the note in NOTE. Below FOLDER are then manifest, census, folds, the
predictions.csv, history.csv and run.json of every run of a configuration (the paper's by default), and the external
predictions that it asks for, all where the workflow has them.

The logit of image i of patient p under arm a is scale * (sign(label) * separation_a + bias_a + u_p + v_pa + w_i + e_ia):
effects of the patient, of the patient under the arm, of the image, and of both are independent and normal, so that
arms err on the same patients and images; separation grows over epochs, and so does the scale, hence the loss.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import ROOT
from histobench import metrics
from histobench.datasets import breakhis, folds, make_folds, manifest
from histobench.io.files import write_csv
from histobench.study import paths, run_files
from histobench.study.config import Config, load
from histobench.study.runs import Run

NOTE = "The predictions are SIMULATED: nothing was trained."

ACCURACY = {
    ("alexnet", "ft"): 0.87,
    ("vgg19", "ft"): 0.90,
    ("resnet34", "ft"): 0.92,
    ("qwen2-vl-2b", "lp"): 0.80,
    ("qwen2-vl-2b", "ft"): 0.84,
    ("smolvlm", "lp"): 0.83,
    ("smolvlm", "ft"): 0.90,
}
"""Accuracy that an arm tends to; 0.85 for others. No result of anybody: chosen to look like patient-level studies."""
TRAINABLE = {
    ("alexnet", "ft"): 57_007_937,
    ("vgg19", "ft"): 139_574_337,
    ("resnet34", "ft"): 21_285_185,
    ("qwen2-vl-2b", "lp"): 1_537,
    ("qwen2-vl-2b", "ft"): 4_359_681,
    ("smolvlm", "lp"): 2_049,
    ("smolvlm", "ft"): 6_293_505,
}
SPEED = {"alexnet": 900.0, "vgg19": 210.0, "resnet34": 520.0, "qwen2-vl-2b": 45.0, "smolvlm": 60.0}
"""Made-up training images per second."""
EFFECTS = {"patient": 0.7, "patient_arm": 0.45, "image": 0.5, "image_arm": 0.6}
"""Standard deviations of the effects, in the unit of the separation."""
GROUPS = {"normal": (0, -0.5), "benign": (0, 0.0), "insitu": (1, -0.5), "invasive": (1, 0.3)}
"""Label and shift of the logit of each class of the external dataset, of 100 images each."""


def simulate(folder: Path, config: Config) -> None:
    """Write the simulated runs of `config` below `folder`; every dataset has the images of BreakHis.

    The split policies are those of the configuration, but for `official`, whose files are the user's.
    """
    images = manifest.ordered(_image(identity) for identity in breakhis.official())
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "results" / "SIMULATED.txt").write_text(NOTE + "\n")
    assignments: dict[str, folds.Folds] = {}
    for dataset in dict.fromkeys(run.dataset for run in config.runs):
        manifest.save(folder / config.path(paths.MANIFEST, dataset=dataset), images)
        manifest.save_census(folder / config.path(paths.CENSUS, dataset=dataset), images)
        for name in dict.fromkeys(run.split for run in config.runs if run.dataset == dataset):
            split = config.splits[name]
            assignments[name] = make_folds.stratified(images, split.by, split.folds, split.seed)
            folds.save(assignments[name], images, folder / config.path(paths.FOLDS, dataset=dataset, split=name))
            census = folds.census(images, assignments[name])
            write_csv(
                folder / config.path(paths.FOLDS_CENSUS, dataset=dataset, split=name), folds.CENSUS_COLUMNS, census
            )
    for run in config.runs:
        train, test = assignments[run.split].rows(images, run.fold, run.magnification)
        drawn = _Drawn(run, [images[row] for row in test], config)
        _write(folder / config.path(paths.RUN, **vars(run)), drawn, len(train))
    for on, scale, run in config.external_runs:
        _external(folder / config.path(paths.EXTERNAL, on=on, scale=scale, **vars(run)), f"{on}/{scale}", run)


class _Drawn:
    """The logits of one run after each epoch, (epochs, images)."""

    def __init__(self, run: Run, images: list[manifest.Image], config: Config):
        self.run, self.images = run, images
        image_id = [image.image_id for image in images]
        patient = np.array([image.patient for image in images])
        self.label = label = np.array([image.label == "malignant" for image in images])
        self.specification = config.specification(run).model_dump(mode="json")
        self.trainable = TRAINABLE.get((run.model, run.mode), 1_000_000)
        epochs = self.specification["recipe"]["epochs"]
        arm, rng = _key(run), _generator("run", asdict(run))
        policy = config.splits[run.split].by
        self.group = np.array([run_files.resampled_with(image, policy) for image in images])
        leaky = policy == "image"
        size = EFFECTS | ({"patient": 0.25, "patient_arm": 0.15} if leaky else {})
        separation = _separation(run) + 0.05 * rng.standard_normal()
        noise = (
            size["patient"] * _effects("patient", patient)
            + size["image"] * _effects("image", image_id)
            + size["patient_arm"] * _effects(f"patient {arm}", patient)
            + size["image_arm"] * rng.standard_normal(len(label))
        )
        epoch = np.arange(1, epochs + 1)[:, None]
        sign = np.where(label, 1.0, -1.0)
        wobble = 0.15 * rng.standard_normal((epochs, 1)) + 0.15 * rng.standard_normal((epochs, len(label)))
        growth = 1 - 0.7 * np.exp(-epoch / 3)
        scale = 1.2 + 1.3 * epoch / epochs
        self.logit = (scale * (growth * separation * sign + 0.15 + noise + wobble)).astype(np.float32)
        self.train_loss = (
            0.68 * np.exp(-0.16 * np.arange(epochs) * separation) * np.exp(0.03 * rng.standard_normal(epochs))
        )

    def history(self, training_images: int) -> list[dict[str, float]]:
        """Return the rows of history.csv, the scores being those of the logits."""
        epochs = len(self.logit)
        seconds = training_images / SPEED.get(self.run.model, 300.0)
        rows = []
        for number, logit in enumerate(self.logit, start=1):
            scores = metrics.epoch_scores(self.label, logit, self.group)
            rows.append(
                {
                    "epoch": number,
                    "train_loss": self.train_loss[number - 1],
                    "learning_rate": 1e-4 * (1 + np.cos(np.pi * number / epochs)) / 2,
                    **scores,
                    "train_seconds": seconds,
                    "validation_seconds": len(logit) / SPEED.get(self.run.model, 300.0) / 3,
                }
            )
        return rows


def _write(folder: Path, drawn: _Drawn, training_images: int) -> None:
    history = drawn.history(training_images)
    best = int(np.argmax([row["accuracy"] for row in history]))
    write_csv(folder / "history.csv", run_files.HISTORY, map(run_files.epoch_row, history))
    logits = zip(drawn.images, drawn.group, drawn.logit[-1], drawn.logit[best], strict=True)
    rows = (
        run_files.prediction_row(image, group, drawn.run.fold, last, chosen) for image, group, last, chosen in logits
    )
    write_csv(folder / "predictions.csv", run_files.PREDICTIONS, rows)
    training, validation = (sum(row[f"{side}_seconds"] for row in history) for side in ("train", "validation"))
    record = {
        "simulated": True,
        "specification": drawn.specification,
        "versions": {"python": "3.11", "torch": "none: simulated", "numpy": np.__version__},
        "device": "none: SIMULATED",
        "precision": "none: simulated",
        "threads": 1,
        "workers": 0,
        "micro_batch": 64,
        "parameters": {"total": drawn.trainable, "trainable": drawn.trainable},
        "images": {"training": training_images, "evaluation": len(drawn.label)},
        "best_epoch": best + 1,
        "resumed_from": None,
        "images_per_second": SPEED.get(drawn.run.model, 300.0),
        "seconds": {
            "total": round(training + validation + 5, 3),
            "start_up": 5.0,
            "training": round(training, 3),
            "validation": round(validation, 3),
        },
        "peak_memory_mib": {"host": 1000.0, "device": 8000.0},
    }
    (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n")


def _external(path: Path, test: str, run: Run) -> None:
    """Write what a run says about 400 made-up images in one test."""
    groups = [group for group in GROUPS for _ in range(100)]
    image_id = [f"{group}-{number % 100 + 1:03d}" for number, group in enumerate(groups)]
    label, shift = (np.array([GROUPS[group][part] for group in groups]) for part in (0, 1))
    shared = 0.7 * _effects("image", image_id)
    rng = _generator("external", test, asdict(run))
    sign = 2 * label - 1
    logit = 2 * (0.45 * _separation(run) * sign + shift + 0.3 + shared + 0.5 * rng.standard_normal(len(groups)))
    columns = zip(image_id, image_id, groups, label, (f"{value:.9g}" for value in logit), strict=True)
    rows = (dict(zip(run_files.EXTERNAL, row, strict=True)) for row in columns)
    write_csv(path, run_files.EXTERNAL, rows)


def _separation(run: Run) -> float:
    """Return the distance of the classes from 0 at which an arm tends to its accuracy."""
    from scipy.stats import norm

    accuracy = ACCURACY.get((run.model, run.mode), 0.85)
    spread = sum(size**2 for size in EFFECTS.values()) ** 0.5
    here = 0.05 * _generator("arm", run.model, run.mode, run.magnification, run.augmentation).standard_normal()
    return float(norm.ppf(accuracy)) * spread + here


def _key(run: Run) -> str:
    return "/".join(map(str, (run.model, run.mode, run.split, run.magnification, run.augmentation)))


def _effects(kind: str, names: Any) -> np.ndarray:
    """Return a standard normal number for each name: the same for the same name, whatever others there are."""
    unique, index = np.unique(np.asarray(names), return_inverse=True)
    return np.array([_generator(kind, str(name)).standard_normal() for name in unique])[index]


def _generator(*key: object) -> np.random.Generator:
    text = json.dumps(key, sort_keys=True)
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])))


def _image(identity: breakhis.Identity) -> manifest.Image:
    # 14-13412 is in the archive twice, as DC and as LC, with the same pixels.
    pixels = identity.image_id.replace("SOB_M_LC-14-13412", "SOB_M_DC-14-13412")
    return manifest.Image(
        identity.image_id,
        identity.label,
        identity.subtype,
        identity.slide,
        identity.slide,
        identity.accession,
        identity.magnification,
        700,
        460,
        hashlib.sha256(f"simulated {pixels}".encode()).hexdigest(),
        identity.member,
    )


def configured(*files: Path) -> Config:
    """Return the project's configuration with `files` laid over it, as the workflow reads it."""
    from snakemake.utils import update_config

    merged: dict[str, Any] = {}
    for file in (ROOT / "config" / "config.yaml", *files):
        update_config(merged, yaml.safe_load(file.read_text()))
    return load(merged)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated", description=__doc__)
    parser.add_argument("folder", type=Path, help="where results/ is made")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="laid over config/config.yaml")
    given = parser.parse_args()
    simulate(given.folder, configured(*given.configfile))
    print(f"{given.folder}/results: {NOTE}")


if __name__ == "__main__":
    main()
