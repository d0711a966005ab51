"""The paper's models in their true sizes, and a dataset so small that a processor trains on it: for measuring what is not arithmetic.

Names, manifest and folds are as long as BreakHis's; but at 400X one benign and one malignant image of each of two folds
are all there are. Images are black; weights are random numbers in files of the true size and type.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from histobench.datasets import breakhis, folds, make_folds, manifest
from histobench.models import cnn, vlm
from histobench.study import paths
from histobench.study.config import Config, load
from histobench.study.spec import CnnSettings, FeatureSpec, RunSpec
from tests.benchmarks import ROOT

MAGNIFICATION, VIEWS = 400, 20
BLOCK = 8 << 20  # random numbers that a weights file repeats


def study() -> Config:
    """Return the paper's study."""
    return load(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))


@dataclass(frozen=True)
class Place:
    """A folder with everything that single jobs of the paper's study read, but for the number of images."""

    folder: Path
    study: Config

    def path(self, pattern: str, **wildcards: object) -> Path:
        """Return the path of one of the workflow's files."""
        return self.folder / pattern.format(**wildcards)

    def run(self, model: str, mode: str, augmentation: str, epochs: int) -> RunSpec:
        """Return a run of the study as it is specified there, but for its epochs."""
        spec = self.study.specification(model, mode, MAGNIFICATION, augmentation, 1)
        return spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"epochs": epochs})})

    def features(self, part: str, model: str) -> FeatureSpec:
        """Return how embeddings or visual tokens of plain images are computed."""
        return self.study.feature_specification(part, model, MAGNIFICATION, self.study.unaugmented, 1)

    def write_dataset(self) -> None:
        """Write manifests, folds, and pixel stores of black images for both datasets."""
        images = [row(identity) for identity in breakhis.official()]
        rest = [image for image in images if image.magnification != MAGNIFICATION]
        made = make_folds.stratified(rest, "patient", 2, 0)
        side = dict(zip(made.groups, made.tested, strict=True))
        few: dict[tuple[tuple[bool, ...], str], manifest.Image] = {}
        for image in images:
            if image.magnification == MAGNIFICATION and image.patient in side:
                few.setdefault((side[image.patient], image.label), image)
        images = manifest.ordered([*rest, *few.values()])
        counts = dict(zip(made.groups, made.images, strict=True))
        for image in few.values():
            counts[image.patient] += 1
        made = replace(made, images=tuple(counts[group] for group in made.groups))
        for dataset, held in (
            ("breakhis", images),
            ("bach", [replace(image, sha256=image.sha256[::-1]) for image in few.values()]),
        ):
            manifest.save(self.path(paths.MANIFEST, dataset=dataset), held)
            store = self.path(paths.PIXELS, dataset=dataset, size=336)
            store.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(store, "w+", np.uint8, (len(held), 336, 336, 3))  # a hole in the disk
        folds.save(made, self.path(paths.FOLDS, dataset="breakhis", split="patient"))

    def write_model(self, model: str) -> None:
        """Write what jobs of a model read beside the dataset."""
        self.write_weights(model)
        if not isinstance(self.study.models[model].settings, CnnSettings):
            self.write_tokens(model)

    def write_weights(self, model: str) -> Path:
        """Write a model's weights file: every parameter in the type in which it is published."""
        settings = self.study.models[model].settings
        path = self.path(paths.WEIGHTS, model=model)
        if isinstance(settings, CnnSettings):
            state, kind = cnn.network(settings.architecture, empty=True).state_dict(), "F32"
        else:
            made = vlm.architecture(settings)
            with torch.device("meta"):
                state, kind = made.model(made.config).state_dict(), "BF16"
        write_safetensors(path, state, kind)
        return path

    def write_tokens(self, model: str) -> None:
        """Write visual tokens and embeddings of the few images, as a GPU would have made them."""
        settings = self.study.models[model].settings
        assert not isinstance(settings, CnnSettings)
        count, (tokens, width) = 4, vlm.architecture(settings).tokens
        random = np.random.default_rng(0).standard_normal((1, count, tokens, width), np.float32)
        for pattern, array in (
            (paths.TOKENS, torch.from_numpy(random).bfloat16().view(torch.uint16).numpy()),
            (paths.FEATURES, random[:, :, -1]),
        ):
            path = self.path(
                pattern, dataset="breakhis", model=model, magnification=MAGNIFICATION, augmentation="none", views=1
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)


def row(identity: breakhis.Identity) -> manifest.Image:
    """Return a row of the manifest, with made-up pixels."""
    patient = identity.slide
    made_up = hashlib.sha256(identity.image_id.encode()).hexdigest()
    return manifest.Image(
        *(identity.image_id, identity.label, identity.subtype, patient, patient, identity.accession),
        *(identity.magnification, 700, 460, made_up, identity.member),
    )


def write_safetensors(path: Path, state: Mapping[str, torch.Tensor], kind: str) -> None:
    """Write random numbers of a small deviation in the shapes of a state, as `F32` or `BF16`; counters are 0."""
    sizes = {"F32": 4, "BF16": 2, "I64": 8}
    header: dict[str, dict[str, Any]] = {}
    offset = 0
    for name, tensor in state.items():
        own = kind if tensor.is_floating_point() else "I64"
        end = offset + sizes[own] * tensor.numel()
        header[name] = {"dtype": own, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    numbers = torch.from_numpy(np.random.default_rng(0).standard_normal(BLOCK, np.float32)) * 0.02
    block = (numbers if kind == "F32" else numbers.bfloat16().view(torch.int16)).numpy().tobytes()
    ones = np.ones(4096, np.float32).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            own = block
            if entry["dtype"] == "I64":
                own = bytes(end - begin)
            elif name.endswith("running_var"):  # below 0 a variance would give no number
                own = ones
            for start in range(begin, end, len(own)):
                file.write(own[: min(len(own), end - start)])
