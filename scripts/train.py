"""Train one classifier on one fold and predict the fold's evaluation images.

A job that was stopped goes on when it is started again: after SIGTERM, SIGINT, SIGHUP or SIGUSR1 from the step at which
the signal came, after SIGKILL from its last finished epoch. It leaves checkpoint.pt beside the output, which is no output
itself and is removed on success; finished.json then holds the results, for a workflow that has not heard of the success.
Asked to end, a job finishes its step, writes the checkpoint and dies by the signal (status 143 in a shell for SIGTERM);
asked again, or before training has begun, it ends at once.
"""

import argparse
import hashlib
import json
import logging
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from histobench.io.errors import HistoBenchError, run_script

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from histobench.datasets.manifest import Image
    from histobench.study.spec import RunSpec
    from histobench.training.data import Source

STARTED = time.perf_counter()

SCORES = ("accuracy", "precision", "recall", "f1", "auc", "patient_rate")
HISTORY = ("epoch", "train_loss", "validation_loss", "learning_rate", *SCORES, "train_seconds", "validation_seconds")
PREDICTIONS = ("image_id", "patient", "fold", "label", "logit", "best_epoch_logit")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specification", required=True, help="what to train: a RunSpec as JSON")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument(
        "--split-by", required=True, help="policy of these folds: patient, accession, image or official"
    )
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument("--pixels", type=Path, help="pixel store of the whole manifest, to train from images")
    inputs.add_argument(
        "--features",
        type=Path,
        help="embeddings (views, images, D), to train a linear head, or visual tokens (views, images, T, D) for LoRA",
    )
    parser.add_argument("--evaluation-features", type=Path, help="un-augmented ones, if --features are augmented")
    parser.add_argument("--weights", type=Path, help="pretrained weights, unless they are random or a head is trained")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--share", type=int, default=1, help="jobs that may share its GPU; 0: no GPU is needed")
    parser.add_argument("--threads", type=int, default=1, help="processor threads for computing")
    parser.add_argument("--workers", type=int, default=0, help="processes that augment images; 0: none but this one")
    parser.add_argument(
        "--micro-batch", type=int, default=0, help="images on the device at once; 0: the recipe's batch"
    )
    parser.add_argument("--gradient-checkpointing", type=int, default=0, help="1: recompute a VLM's activations")
    parser.add_argument("--output", type=Path, required=True, help="predictions.csv; its folder is the run's")
    parser.add_argument("--history", type=Path, required=True, help="history.csv: a row per epoch")
    parser.add_argument("--run", type=Path, required=True, help="run.json: what ran, on what, and what it took")
    return parser.parse_args()


def main() -> None:
    given = parsed()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    import numpy as np
    import torch

    from histobench import metrics
    from histobench.datasets import folds, manifest
    from histobench.io.files import atomic_path, write_csv
    from histobench.io.fingerprint import fingerprint
    from histobench.training import devices, finished
    from histobench.training.checkpoint import Checkpoint
    from histobench.training.fit import fit
    from histobench.training.interrupt import Interrupt

    spec = specification(given)
    device = devices.choose(given.device, given.threads, given.share)
    images = manifest.load(given.manifest)
    sides = train_rows, test_rows = folds.load(given.folds, images, given.split_by).rows(
        images, spec.fold, spec.magnification
    )
    labels = np.array([image.label == "malignant" for image in images], dtype=np.float32)
    tested = [images[row] for row in test_rows]
    patients = np.array([image.patient for image in tested])

    pin = device.type == "cuda"
    sources = on_features if given.features else on_images
    training, evaluation, digest = sources(given, spec, images, labels, sides, pin)
    identity = {
        "specification": spec.canonical(),
        "training images": manifest.digest(images[row] for row in train_rows),
        "evaluation images": manifest.digest(tested),
        "embeddings": digest,
        "code": fingerprint(Path(__file__)),
        "version of torch": str(torch.__version__),
    }
    outputs = (given.output, given.history, given.run)
    weights = given.output.with_name("weights.safetensors")
    if (weights.exists() or not spec.recipe.keep_weights) and finished.restore(identity, outputs):
        logging.info("this run had finished: its results are those of then")
        return
    module = classifier(given, spec, training, devices.precision(device))
    checkpoint = Checkpoint(given.output.with_name("checkpoint.pt"), identity)
    fitted = fit(
        module,
        training,
        evaluation,
        score=lambda logits: metrics.epoch_scores(labels[test_rows], logits, patients),
        recipe=spec.recipe,
        seed=spec.seed,
        device=device,
        checkpoint=checkpoint,
        micro_batch=given.micro_batch or None,
        # From here to the end of the script: once the last epoch is done, its results are written first.
        check=Interrupt().check,
    )

    if spec.recipe.keep_weights:
        from histobench.io.state_dicts import save_trained

        save_trained(weights, module, spec.canonical())
    columns = zip(tested, fitted.logits, fitted.best_logits, strict=True)
    write_csv(given.output, PREDICTIONS, (prediction(image, spec.fold, last, best) for image, last, best in columns))
    write_csv(given.history, HISTORY, map(epoch_row, fitted.history))
    parameters = list(module.parameters())
    training_seconds = sum(row["train_seconds"] for row in fitted.history)
    validation_seconds = sum(row["validation_seconds"] for row in fitted.history)
    record = {
        "specification": spec.model_dump(mode="json"),
        "versions": {"torch": str(torch.__version__)} | versions(spec),
        "code": identity["code"],
        "sha256": {name: identity[name] for name in ("training images", "evaluation images", "embeddings")},
        "device": devices.describe(device),
        "jobs_per_gpu": given.share if device.type == "cuda" else None,
        "precision": devices.precision(device),
        "threads": given.threads,
        "workers": given.workers,
        "micro_batch": fitted.micro_batch,
        "parameters": {
            "total": sum(parameter.numel() for parameter in parameters),
            "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        },
        "images": {"training": len(train_rows), "evaluation": len(test_rows)},
        "best_epoch": fitted.best_epoch,
        "resumed_from": fitted.resumed_from,
        "images_per_second": round(len(train_rows) * spec.recipe.epochs / training_seconds, 3),
        "seconds": {
            "total": round(time.perf_counter() - STARTED, 3),
            "start_up": round(fitted.ready - STARTED, 3),
            "training": round(training_seconds, 3),
            "validation": round(validation_seconds, 3),
        },
        "peak_memory_mib": devices.peak_memory_mib(device),
    }
    with atomic_path(given.run) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    finished.keep(identity, outputs)
    checkpoint.remove()


def specification(given: argparse.Namespace) -> "RunSpec":
    """Return the run's specification, and require the inputs that it asks for."""
    from pydantic import ValidationError

    from histobench.study.spec import RunSpec

    try:
        spec = RunSpec.model_validate_json(given.specification)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the JSON text"
        raise HistoBenchError(f"--specification: {where}: {first['msg']}; give the JSON of a RunSpec") from error
    head, lora = (spec.recipe.trainable == which for which in ("head", "lora"))
    wanted = {
        "--features": head or (lora and given.features is not None),
        "--pixels": not head and (not lora or given.features is None),
        "--evaluation-features": given.features is not None and bool(spec.augmentation),
        "--weights": not head and spec.model.weights != "random",
    }
    for option, needed in wanted.items():
        if needed != (getattr(given, option.strip("-").replace("-", "_")) is not None):
            fault, remedy = ("is missing", "give it") if needed else ("is of no use", "leave it out")
            raise HistoBenchError(
                f"{option} {fault} for trainable {spec.recipe.trainable!r}, weights {spec.model.weights!r} and "
                f"{len(spec.augmentation)} augmentation transforms; {remedy}"
            )
    if given.micro_batch < 0:
        raise HistoBenchError(f"--micro-batch {given.micro_batch}: at least 1 image is needed; give 0 for the default")
    return spec


def versions(spec: "RunSpec") -> dict[str, str]:
    """Return the versions of Python and of the libraries that this run used; the metadata spare their imports."""
    from histobench.study.spec import CnnSettings

    used = ["numpy"]
    if spec.recipe.trainable != "head":
        torchvision_or_timm = isinstance(spec.model, CnnSettings) and spec.model.architecture.partition("/")[0]
        used += [torchvision_or_timm] if torchvision_or_timm else ["transformers", "peft"]
        used += ["albumentations"] if spec.augmentation else []
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in used}


def classifier(given: argparse.Namespace, spec: "RunSpec", training: "Source", precision: str) -> "nn.Module":
    """Return the module to train: a linear head for embeddings, a CNN, or a vision-language model with adapters."""
    from histobench.models import build
    from histobench.training.data import Stored

    if spec.recipe.trainable == "head":
        assert isinstance(training, Stored)
        return build.probe(spec, training.array[0][training.rows])
    return build.build(spec, given.weights, precision, given.features is not None, bool(given.gradient_checkpointing))


def on_images(
    given: argparse.Namespace,
    spec: "RunSpec",
    images: "Sequence[Image]",
    labels: "np.ndarray",
    sides: "tuple[np.ndarray, np.ndarray]",
    pin: bool,
) -> "tuple[Source, Source, str]":
    """Return the training and the evaluation images, and a digest of inputs beside the manifest (none)."""
    from histobench.datasets import pixels
    from histobench.training.data import Augmented, Stored

    store = pixels.load(given.pixels, len(images), spec.model.image_size)
    train, test = sides
    training = Stored(store[None], train, labels[train], pin)
    if spec.augmentation:
        from histobench.datasets.augment import Augmentation

        ids = [images[row].image_id for row in train]
        augmentation = Augmentation(spec.augmentation, spec.model.image_size)
        training = Augmented(store, train, labels[train], ids, augmentation, spec.seed, given.workers, pin)
    return training, Stored(store[None], test, labels[test], pin), ""


def on_features(
    given: argparse.Namespace,
    spec: "RunSpec",
    images: "Sequence[Image]",
    labels: "np.ndarray",
    sides: "tuple[np.ndarray, np.ndarray]",
    pin: bool,
) -> "tuple[Source, Source, str]":
    """Return the training and the evaluation embeddings or visual tokens, and a digest of them."""
    import numpy as np

    from histobench.training.data import Stored

    # Features have a row per image of the magnification.
    here = np.flatnonzero([image.magnification == spec.magnification for image in images])
    train, test = (np.searchsorted(here, rows) for rows in sides)
    views = spec.recipe.epochs if spec.augmentation else 1
    dimensions = 1 if spec.recipe.trainable == "head" else 2
    features = unaugmented = features_of(given.features, views, len(here), dimensions)
    if given.evaluation_features:
        unaugmented = features_of(given.evaluation_features, 1, len(here), dimensions)
    if (features.shape[2:], features.dtype) != (unaugmented.shape[2:], unaugmented.dtype):
        raise HistoBenchError(
            f"{given.evaluation_features}: holds {unaugmented.dtype} {unaugmented.shape[2:]} for each image, "
            f"{given.features} holds {features.dtype} {features.shape[2:]}; delete both to have them made again"
        )
    # Some images tell one store from another; reading tens of gigabytes would take longer than an epoch.
    some = slice(None) if dimensions == 1 else slice(None, None, max(1, len(train) // 16))
    digest = hashlib.sha256(features[0][train[some]].tobytes())
    digest.update(unaugmented[0][test[some]].tobytes())
    training = Stored(features, train, labels[sides[0]], pin)
    return training, Stored(unaugmented, test, labels[sides[1]], pin), digest.hexdigest()


def features_of(path: Path, views: int, count: int, dimensions: int) -> "np.ndarray":
    """Return embeddings (V, count, D) or visual tokens (V, count, T, D), memory-mapped; V is `views`, or more, or 1.

    Embeddings are float32; tokens are float32, or bf16 as the uint16 of the same bits, which numpy has no name for.
    """
    from histobench.io.arrays import mapped

    try:
        array = mapped(path)
    except (OSError, ValueError) as error:
        raise HistoBenchError(
            f"{path}: cannot be read as features ({error}); delete it to have it made again"
        ) from error
    enough = array.ndim == 2 + dimensions and (array.shape[0] >= views if views > 1 else array.shape[0] == 1)
    types = ("float32",) if dimensions == 1 else ("float32", "uint16")
    if not enough or array.shape[1] != count or array.dtype not in types:
        shape = "dimensions" if dimensions == 1 else "tokens, dimensions"
        raise HistoBenchError(
            f"{path}: holds {array.dtype} {array.shape}, expected {' or '.join(types)} ({views} views, {count} images, "
            f"{shape}); delete it to have it made again"
        )
    return array


def prediction(image: "Image", fold: int, last: float, best: float) -> dict[str, object]:
    """Return a row of predictions.csv; nine digits give back the very float32."""
    logits = {"logit": f"{last:.9g}", "best_epoch_logit": f"{best:.9g}"}
    label = int(image.label == "malignant")
    return {"image_id": image.image_id, "patient": image.patient, "fold": fold, "label": label, **logits}


def epoch_row(scores: dict[str, float]) -> dict[str, object]:
    """Return a row of history.csv."""
    return {name: value if name == "epoch" else f"{value:.9g}" for name, value in scores.items()}


if __name__ == "__main__":
    run_script(main)
