"""What is trained on or computed from: images of a pixel store, or stored features."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from histobench.datasets import folds, joined_scales, manifest, pixels, run_images, validation
from histobench.datasets.manifest import Image
from histobench.io.arrays import mapped
from histobench.io.errors import HistoBenchError
from histobench.study.run_files import resampled_with
from histobench.study.spec import FeatureSpec, RunSpec, starts_from_embeddings
from histobench.study.values import Transform
from histobench.training.bags import Bags, bags_of
from histobench.training.data import Augmented, Source, Stored


@dataclass(frozen=True)
class Files:
    """Files that a run reads, beside weights."""

    manifest: Path
    folds: Path
    split_by: str
    """Policy of the folds."""
    pixels: Path | None
    """Pixel store of the manifest, to train from images."""
    features: Path | None
    """Embeddings (views, images, D) for a head or a CLIP's captions, or visual tokens (views, images, T, D) for LoRA or answers."""
    evaluation_features: Path | None
    """The same without augmentation, if `features` are augmented."""
    scale_features: Sequence[Path] = ()
    """Embeddings at the other magnifications of the recipe's `scales`, ascending."""


@dataclass(frozen=True)
class Inputs:
    """The two sides of a run's fold, and what it keeps for choosing."""

    training: Source
    evaluation: Source
    trained: int
    """How many images train, in bags or not."""
    unit: np.ndarray
    """(N,) which logit of `evaluation` each evaluation image has: its own, or its bag's."""
    validation: Source | None
    """Images of the training groups that are kept for choosing; None where the recipe keeps none."""
    kept: dict[str, dict[str, int]]
    """Their groups and images of each class (:func:`histobench.datasets.validation.counts`)."""
    images: list[Image]
    """The evaluation images."""
    groups: np.ndarray
    """(N,) text: what statistics resample them with."""
    digests: dict[str, str]
    """SHA-256 of what a run's result depends on beside its specification and code."""
    feature_seconds: float | None
    """What its stored features took, which it shares with the other folds; 0 without features, None if it is not known."""

    def embeddings(self) -> np.ndarray:
        """Return the stored features to train on, those of the first view: (N, D) for a linear head."""
        assert isinstance(self.training, Stored | Bags)
        return self.training.array[0][self.training.rows]

    @property
    def labels(self) -> np.ndarray:
        """Return (N,) float32: the labels of the evaluation images."""
        return self.evaluation.labels[self.unit]


def load(spec: RunSpec, files: Files, workers: int) -> Inputs:
    """Return what a run trains and is evaluated on.

    `workers` processes augment images.

    Raises:
        HistoBenchError: a file is missing, of no use, damaged, or does not belong to the run.
    """
    embeddings = starts_from_embeddings(spec.model.family, spec.recipe.trainable)
    stored = embeddings or (spec.recipe.trainable in ("lora", "none") and files.features is not None)
    wanted = {"features": stored, "pixels": not stored, "evaluation_features": stored and bool(spec.augmentation)}
    for name, needed in wanted.items():
        if needed != (getattr(files, name) is not None):
            fault, remedy = ("is missing", "give it") if needed else ("is of no use", "leave it out")
            raise HistoBenchError(
                f"--{name.replace('_', '-')} {fault} for trainable {spec.recipe.trainable!r} and "
                f"{len(spec.augmentation)} augmentation transforms; {remedy}"
            )
    images = manifest.load(files.manifest)
    split = folds.load(files.folds, images, files.split_by, [spec.magnification])
    rows = run_images.of_run(spec, images, split)
    sides = rows.fold, rows.evaluation
    trained, tested = ([images[row] for row in side] for side in sides)
    parts = (rows.training, rows.evaluation, *([rows.kept] if spec.recipe.validation else []))
    labels = run_images.labels_of(images, spec.classes).astype(np.float32)
    groups = np.array([resampled_with(image, files.split_by) for image in images])
    unit = np.arange(len(tested))
    if files.features:
        sources, digest = _from_features(spec, files, images, split, labels, sides, parts)
        if spec.recipe.bag:
            made = [
                bags_of(one.array, one.rows, one.labels, groups[part]) for one, part in zip(sources, parts, strict=True)
            ]
            sources, (_, unit) = [bags for bags, _ in made], (index for _, index in made)
    else:
        assert files.pixels is not None
        digest, sources = "", []
        for part, augmentation in zip(parts, (spec.augmentation, [], []), strict=False):
            sources.append(_from_pixels(spec, files.pixels, images, part, labels[part], augmentation, workers))
    return Inputs(
        training=sources[0],
        evaluation=sources[1],
        trained=len(parts[0]),
        unit=unit,
        validation=sources[2] if len(parts) > 2 else None,
        kept=validation.counts([images[row] for row in rows.kept], files.split_by) if len(rows.kept) else {},
        images=tested,
        groups=groups[sides[1]],
        digests={
            "training images": manifest.digest(trained),
            "evaluation images": manifest.digest(tested),
            "embeddings": digest,
        },
        feature_seconds=feature_seconds(files.features, files.evaluation_features, *files.scale_features),
    )


def feature_seconds(*stores: Path | None) -> float | None:
    """Return how many seconds it took to compute stores of features; None where it is not known.

    `scripts/features.py` writes them to a JSON file beside each store.
    """
    try:
        records = [json.loads(store.with_suffix(".json").read_text(encoding="utf-8")) for store in stores if store]
        return round(sum(record["seconds"] for record in records), 3)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unlabelled(
    spec: FeatureSpec,
    images: Sequence[Image],
    rows: Sequence[int],
    store: Path | None,
    tokens: Path | None,
    workers: int,
) -> Source:
    """Return the images of a manifest at `rows`, their augmented views, or their visual tokens; labels are 0.

    They come from the pixel `store` of the manifest or from `tokens` (views, images, T, D); `workers` augment images.

    Raises:
        HistoBenchError: a file is damaged, or holds other images.
    """
    count, labels = len(rows), np.zeros(len(rows), np.float32)
    if tokens:
        return Stored(features_of(tokens, spec.views, count, dimensions=2), np.arange(count), labels)
    assert store is not None
    return _from_pixels(spec, store, images, np.array(rows), labels, spec.augmentation, workers)


Sides = tuple[np.ndarray, np.ndarray]
"""Rows of the manifest to train on, and to evaluate on."""


def _from_pixels(
    spec: RunSpec | FeatureSpec,
    path: Path,
    images: Sequence[Image],
    rows: np.ndarray,
    labels: np.ndarray,
    augmentation: Sequence[Transform],
    workers: int,
) -> Source:
    store = pixels.load(path, len(images), spec.model.image_size)
    if not augmentation:
        return Stored(store[None], rows, labels)
    from histobench.datasets.augment import Augmentation

    augment = Augmentation(augmentation, spec.model.image_size)
    return Augmented(store, rows, labels, [images[row].image_id for row in rows], augment, spec.seed, workers)


def _from_features(
    spec: RunSpec,
    files: Files,
    images: Sequence[Image],
    split: folds.Folds,
    labels: np.ndarray,
    sides: Sides,
    parts: Sequence[np.ndarray],
) -> tuple[Sequence[Stored], str]:
    """Return a source for each part, the rows that train, evaluate and, where there are any, are kept, and a digest of `sides`."""
    assert files.features is not None
    # Features have a row per image of the magnification.
    here = np.flatnonzero([image.magnification == spec.magnification for image in images])
    train, test = (np.searchsorted(here, rows) for rows in sides)
    views = spec.recipe.epochs if spec.augmentation else 1
    dimensions = 1 if starts_from_embeddings(spec.model.family, spec.recipe.trainable) else 2
    features = plain = features_of(files.features, views, len(here), dimensions)
    if files.evaluation_features:
        plain = features_of(files.evaluation_features, 1, len(here), dimensions)
    if spec.recipe.scales:
        stores = {spec.magnification: files.features}
        stores |= zip(
            (one for one in spec.recipe.scales if one != spec.magnification), files.scale_features, strict=True
        )
        counts = Counter(image.magnification for image in images)
        found = {scale: features_of(path, 1, counts[scale], 1)[0] for scale, path in stores.items()}
        features = plain = joined_scales.join(images, split, spec.fold, spec.magnification, found)[None]
    # Of tokens some images are enough to tell one store from another: reading all would take longer than an epoch.
    some = slice(None) if dimensions == 1 else slice(None, None, max(1, len(train) // 16))
    digest = hashlib.sha256(features[0][train[some]].tobytes())
    digest.update(plain[0][test[some]].tobytes())
    arrays = (features, plain, plain)
    sources = [
        Stored(array, np.searchsorted(here, rows), labels[rows]) for array, rows in zip(arrays, parts, strict=False)
    ]
    return sources, digest.hexdigest()


def features_of(path: Path, views: int, count: int, dimensions: int) -> np.ndarray:
    """Return embeddings (V, count, D) or visual tokens (V, count, T, D), memory-mapped; V is `views` or more, or 1.

    Embeddings are float32; tokens are float32, or bf16 as the uint16 of the same bits, because numpy has no bf16.

    Raises:
        HistoBenchError: the file is not that.
    """
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
