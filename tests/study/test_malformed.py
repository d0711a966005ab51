"""Two hundred malformed configurations: one sentence each, which names the key, before anything is done."""

import copy
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from histobench.io.errors import HistoBenchError
from histobench.study.checks import unambiguous
from histobench.study.config import load
from histobench.study.resolved import resolve
from histobench.study.values import canonical_json
from tests.study.test_config import FOLDERS, GONE, OWN, PAPER, ROOT, with_change

INF, NAN = math.inf, math.nan


class Case(NamedTuple):
    """One mistake: a key of a good configuration, its wrong value, and a word of the message."""

    key: str
    value: Any
    word: str
    named: str = ""
    """The key that the message names, where it is not the one with the mistake."""


def merged(file: str) -> dict:
    """Return a study's whole configuration."""
    config = copy.deepcopy(PAPER)
    update_config(config, yaml.safe_load((ROOT / file).read_text()))
    return config


STUDIES = {"paper": PAPER, "demo": merged("config/demo.yaml"), "tiny": merged("tests/workflow/tiny.yaml")}
STUDIES["foundation"] = merged("config/studies/foundation.yaml")

TOP = [
    Case("study", GONE, "required"),
    Case("study", None, "string"),
    Case("study", "", "lower case letters"),
    Case("study", "Paper", "lower case letters"),
    Case("study", "../paper", "lower case letters"),
    Case("study", "..", "lower case letters"),
    Case("study", "paper\n", "lower case letters"),
    Case("study", "x" * 300, "80"),
    Case("sudy", "paper", "unknown key"),
    Case("ledger", "hao-2023", "choose one of hao-2022, zhaksylyk-2026"),
    Case("ledger", "../papers", "lower case letters"),
    Case("ledger", "hao-2022/tables", "lower case letters"),
    Case("ledger", None, "string"),
    Case("seed", -1, "0"),
    Case("seed", 0.5, "whole number"),
    Case("seed", "0", "whole number"),
    Case("seed", True, "whole number"),
    Case("seed", None, "whole number"),
    Case("seed", 2**64, "below"),
    Case("seed", INF, "finite"),
    Case("note", ["a", "b"], "string"),
    Case("device", "gpu", "cuda:N"),
    Case("device", "cuda:", "cuda:N"),
    Case("device", 0, "string"),
    Case("datasets", GONE, "required"),
    Case("datasets", [], "keys and values"),
    Case("datasets", {}, "not among", "grid.0.dataset"),
    Case("augmentations", ["none"], "keys and values"),
    Case("modes", 5, "keys and values"),
]

DATASETS = [
    Case("datasets.Mine", {"source": "x"}, "lower case letters"),
    Case("datasets.breakhis", "resources/x.tar.gz", "keys and values"),
    Case("datasets.breakhis.format", "BreakHis", "'breakhis'"),
    Case("datasets.breakhis.format", None, "'breakhis'"),
    Case("datasets.breakhis.sorce", "x", "unknown key"),
    Case("datasets.breakhis.source", GONE, "source", "datasets.breakhis"),
    Case("datasets.breakhis.source", "", "not empty"),
    Case("datasets.breakhis.source", "images {new}", "a path without {} and <>"),
    Case("datasets.breakhis.source", "images <new>", "a path without {} and <>"),
    Case("datasets.breakhis.source", "/data/x.tar.gz", "resources/breakhis/FILE"),
    Case("datasets.breakhis.source", "resources/breakhis/../x.tar.gz", "resources/breakhis/FILE"),
    Case("datasets.breakhis.url", "file:///etc/passwd", "http"),
    Case("datasets.breakhis.url", "www.host.org/x.tar.gz", "http"),
    Case("datasets.breakhis.url", "http:// host/x", "http"),
    Case("datasets.breakhis.mirrors", ["ftp://a/b.zip"], "address http://HOST/FILE", "datasets.breakhis.mirrors.0"),
    Case("datasets.mine", {"source": "x", "mirrors": ["https://a/b.zip"]}, "beside `url`"),
    Case("datasets.breakhis.sha256", "abc", "64"),
    Case("datasets.breakhis.sha256", "A" * 64, "lower case"),
    Case("datasets.breakhis.sha256", int("1" * 63), "put it in quotes"),
    Case("datasets.breakhis.sha256", 0, "found 0; put it in quotes"),
    Case("datasets.breakhis.licence", 4.0, "expected a string, found 4.0; put it in quotes"),
    Case("datasets.breakhis.citation", date(2016, 7, 1), "found 2016-07-01; put it in quotes"),
    Case("datasets.breakhis.complete", "yes", "true or false"),
    Case("datasets.breakhis.complete", 1, "true or false"),
    Case("datasets.breakhis.classes", {"a": "benign"}, "csv or folders", "datasets.breakhis"),
    Case("datasets.mine", OWN | {"table": GONE}, "needs `table`"),
    Case("datasets.mine", OWN | {"table": ""}, "not empty", "datasets.mine.table"),
    Case("datasets.mine", OWN | {"table": "{new}.csv"}, "a path without {} and <>", "datasets.mine.table"),
    Case("datasets.mine", OWN | {"complete": True}, "format bach or breakhis, not to csv"),
    Case("datasets.mine", OWN | {"patient": "(x)"}, "belongs to format folders"),
    Case("datasets.mine", OWN | {"classes": {"a": "benign"}}, "at least one benign"),
    Case("datasets.mine", OWN | {"classes": None}, "keys and values", "datasets.mine.classes"),
    Case(
        "datasets.mine", OWN | {"classes": {"a": "benign", "b": "Malignant"}}, "'malignant'", "datasets.mine.classes.b"
    ),
    Case("datasets.mine", OWN | {"classes": {"a": "benign", "": "malignant"}}, "without a name", "datasets.mine"),
    Case("datasets.mine", OWN | {"classes": {"a": "benign", False: "malignant"}}, "quotes", "datasets.mine.classes.0"),
    Case("datasets.mine", OWN | {"classes": {"a": "benign", 1.0: "malignant"}}, "quotes", "datasets.mine.classes.1.0"),
    Case("datasets.mine", OWN | {"source": 2024}, "found 2024; put it in quotes", "datasets.mine.source"),
    Case("datasets.mine", FOLDERS | {"patient": GONE}, "needs `patient`"),
    Case("datasets.mine", FOLDERS | {"patient": "(P"}, "regular expression"),
    Case("datasets.mine", FOLDERS | {"patient": "P\\d+"}, "one group"),
    Case("datasets.mine", FOLDERS | {"patient": "(P)(\\d+)"}, "one group"),
    Case("datasets.mine", FOLDERS | {"patient": "()"}, "empty"),
]

SYNTHETIC = "datasets.synthetic.synthetic"
MADE = [
    Case("datasets.synthetic", {"synthetic": None}, "source"),
    Case("datasets.synthetic", {"synthetic": {}, "source": "x"}, "source"),
    Case("datasets.synthetic", {"synthetic": {}, "url": "http://x.org/y"}, "url"),
    Case("datasets.synthetic", {"synthetic": {}, "complete": True}, "complete"),
    Case("datasets.synthetic", {"synthetic": {}, "sha256": "0" * 64}, "sha256"),
    Case("datasets.synthetic", {"synthetic": {"kind": "bach"}}, "bach"),
    Case("datasets.synthetic", {"synthetic": 5}, "keys and values", SYNTHETIC),
    Case(f"{SYNTHETIC}.kind", "csv", "'breakhis'"),
    Case(f"{SYNTHETIC}.patients_per_class", 0, "1"),
    Case(f"{SYNTHETIC}.patients_per_class", 10**9, "9999"),
    Case(f"{SYNTHETIC}.patients_per_class", 12.5, "whole number"),
    Case(f"{SYNTHETIC}.patients_per_class", "12", "whole number"),
    Case(f"{SYNTHETIC}.patients_per_class", 4, "5 folds"),
    Case(f"{SYNTHETIC}.images_per_patient", -3, "1"),
    Case(f"{SYNTHETIC}.magnifications", [], "at least 1"),
    Case(f"{SYNTHETIC}.magnifications", [40, 150], "40, 100, 200 or 400", f"{SYNTHETIC}.magnifications.1"),
    Case(f"{SYNTHETIC}.magnifications", [40, 200, 40], "twice", SYNTHETIC),
    Case(f"{SYNTHETIC}.magnifications", ["40x", 200], "40, 100, 200 or 400", f"{SYNTHETIC}.magnifications.0"),
    Case(f"{SYNTHETIC}.magnifications", [100], "not generated", "grid.0.magnifications"),
    Case(f"{SYNTHETIC}.width", 10**6, "4096"),
    Case(f"{SYNTHETIC}.height", 1, "24"),
    Case(f"{SYNTHETIC}.class_effect", -0.1, "0"),
    Case(f"{SYNTHETIC}.class_effect", NAN, "finite"),
    Case(f"{SYNTHETIC}.patient_effect", 100, "3"),
    Case(f"{SYNTHETIC}.patient_effect", "strong", "number"),
    Case(f"{SYNTHETIC}.colour", "red", "unknown key"),
    Case("datasets.synthetic-bach.synthetic.magnifications", [200], "one scale", "datasets.synthetic-bach"),
    Case("datasets.synthetic-bach.synthetic.patients_per_class", 900, "999", "datasets.synthetic-bach"),
]

SPLITS = [
    Case("splits.Patient", {"by": "patient"}, "lower case letters"),
    Case("splits.patient", {}, "required", "splits.patient.by"),
    Case("splits.patient.by", "slide", "'patient'"),
    Case("splits.patient.by", ["patient"], "'patient'"),
    Case("splits.patient.folds", 1, "2"),
    Case("splits.patient.folds", 21, "20"),
    Case("splits.patient.folds", 5.5, "whole number"),
    Case("splits.patient.seed", 2**32, "below"),
    Case("splits.patient.fold", 5, "unknown key"),
    Case("splits.patient.files", ["a.txt"], "by: official", "splits.patient"),
    Case("splits.patient", {"by": "official", "folds": 3}, "the authors' 5 folds"),
    Case("splits.patient", {"by": "file"}, "`file` belongs to `by: file`, and is required there"),
    Case("splits.patient", {"by": "patient", "file": "a.csv"}, "`file` belongs to `by: file`"),
    Case("splits.patient", {"by": "file", "file": "a.csv", "files": ["a.txt"]}, "`files` belongs to `by: official`"),
    Case("splits.patient", {"by": "file", "file": ["a.csv"]}, "string", "splits.patient.file"),
    Case("splits.patient", {"by": "official", "folds": 2, "files": ["a.txt"]}, "one file per fold"),
    Case(
        "splits.patient", {"by": "official", "folds": 2, "files": ["a.txt", "a.txt"]}, "twice", "splits.patient.files"
    ),
    Case("splits.patient", {"by": "official", "folds": 2, "files": "ab"}, "list", "splits.patient.files"),
    Case(
        "splits.patient", {"by": "official", "folds": 2, "files": ["a.txt", None]}, "string", "splits.patient.files.1"
    ),
    Case(
        "splits.patient", {"by": "official", "folds": 2, "files": ["a.txt", ""]}, "not empty", "splits.patient.files.1"
    ),
]

PAPERS = "augmentations.paper"
AUGMENTATIONS = [
    Case("augmentations.Flips", [], "lower case letters"),
    Case(PAPERS, "HorizontalFlip", "list"),
    Case(PAPERS, ["HorizontalFlip"], "keys and values", f"{PAPERS}.0"),
    Case(PAPERS, [{"HorizontalFlip": None}], "keys and values", f"{PAPERS}.0.HorizontalFlip"),
    Case(PAPERS, [{"HorizontalFlip": {}, "Blur": {}}], "one transform", f"{PAPERS}.0"),
    Case(PAPERS, [{}], "one transform", f"{PAPERS}.0"),
    Case(PAPERS, [[{"HorizontalFlip": {}}]], "keys and values", f"{PAPERS}.0"),
    Case(PAPERS, [{"Rotate": {"p": NAN}}], "finite number", f"{PAPERS}.0.Rotate"),
    Case(PAPERS, [{"Rotate": {"limit": [date(2026, 1, 1)]}}], "finite number", f"{PAPERS}.0.Rotate"),
    Case("augmentations", {"paper": PAPER["augmentations"]["paper"]}, "none", "augmentations"),
]

VGG = "models.vgg19"
CNNS = [
    Case("models.VGG19", {"architecture": "torchvision/vgg19"}, "lower case letters"),
    Case(VGG, "torchvision/vgg19", "keys and values"),
    Case(VGG, {}, "required", f"{VGG}.architecture"),
    Case(f"{VGG}.architecture", "vgg19", "torchvision/NAME"),
    Case(f"{VGG}.architecture", "torchvision/../vgg19", "torchvision/NAME"),
    Case(f"{VGG}.family", "CNN", "cnn, encoder, qwen2-vl"),
    Case(f"{VGG}.family", None, "string"),
    Case(f"{VGG}.weights", "imagnet", "'imagenet'"),
    Case(f"{VGG}.weights", None, "'imagenet'"),
    Case(f"{VGG}.weights", {"file": "x.pth"}, "required", f"{VGG}.weights.sha256"),
    Case(f"{VGG}.weights", {"file": "", "sha256": "0" * 64}, "not empty", f"{VGG}.weights.file"),
    Case(f"{VGG}.weights", {"file": "file:///x.pth", "sha256": "0" * 64}, "http", f"{VGG}.weights.file"),
    Case(f"{VGG}.weights", {"file": "x.pth", "sha256": "0" * 8}, "64", f"{VGG}.weights.sha256"),
    Case(f"{VGG}.weights", {"file": "x.pth", "sha256": "0" * 64, "md5": 1}, "unknown key", f"{VGG}.weights.md5"),
    Case(f"{VGG}.weights", {"package": "p", "file": "../x", "sha256": "0" * 64}, "package", f"{VGG}.weights"),
    Case(f"{VGG}.weights", {"package": "a-b/c", "file": "x", "sha256": "0" * 64}, "package", f"{VGG}.weights.package"),
    Case(f"{VGG}.image_size", 8, "16"),
    Case(f"{VGG}.image_size", 10**6, "2048"),
    Case(f"{VGG}.mean", 0.5, "list"),
    Case(f"{VGG}.mean", [0.5, 0.5], "more items"),
    Case(f"{VGG}.mean", [0.5] * 4, "3"),
    Case(f"{VGG}.mean", [123.7, 116.3, 103.5], "scale 0 to 1"),
    Case(f"{VGG}.mean", [0.5, 0.5, NAN], "finite", f"{VGG}.mean.2"),
    Case(f"{VGG}.mean", [True, 0.5, 0.5], "number", f"{VGG}.mean"),
    Case(f"{VGG}.std", [0.5, 0.5, 0], "above 0"),
    Case(f"{VGG}.width", 0, "0"),
    Case(f"{VGG}.width", 2, "1"),
    Case(f"{VGG}.width", 0.5, "weights: random", VGG),
    Case(f"{VGG}.widht", 0.5, "unknown key"),
    Case(f"{VGG}.label", "AlexNet", "alexnet"),
    Case(f"{VGG}.label", False, "found false; put it in quotes"),
    Case(f"{VGG}.label", "alexnet\nx", "line", f"{VGG}.label"),
    Case(f"{VGG}.training", ["ft"], "keys and values"),
    Case(f"{VGG}.training", {"fft": {}}, "did you mean 'ft'"),
    Case(f"{VGG}.training", {"ft": None}, "keys and values", f"{VGG}.training.ft"),
    Case(f"{VGG}.training", {"ft": {"epoch": 3}}, "unknown key", f"{VGG}.training.ft.epoch"),
    Case(f"{VGG}.training", {"ft": {"trainable": "lora", "lora": None}}, "required to train adapters", "ft.lora"),
]

SMOL = "models.smolvlm"
VLMS = [
    Case(f"{SMOL}.family", "smol", "known: cnn"),
    Case(f"{SMOL}.family", "qwen2_vl", "known: cnn"),
    Case(f"{SMOL}.architecture", "torchvision/vgg19", "unknown key"),
    Case(f"{SMOL}.weights", GONE, "required"),
    Case(f"{SMOL}.weights", "imagenet", "'random'"),
    Case(f"{SMOL}.weights", 5, "keys and values"),
    Case(f"{SMOL}.weights", {"folder": "x"}, "required", f"{SMOL}.weights.sha256"),
    Case(f"{SMOL}.weights", {"folder": "x", "sha256": "0123"}, "64 hex digits", f"{SMOL}.weights.sha256"),
    Case(
        f"{SMOL}.weights",
        {"folder": "x", "sha256": "0" * 64, "revision": "0" * 40},
        "unknown key",
        f"{SMOL}.weights.revision",
    ),
    Case(f"{SMOL}.weights", {"hub": "smolvlm", "revision": "0" * 40}, "OWNER/NAME", f"{SMOL}.weights.hub"),
    Case(f"{SMOL}.weights", {"hub": "../x", "revision": "0" * 40}, "OWNER/NAME", f"{SMOL}.weights.hub"),
    Case(f"{SMOL}.weights.revision", "main", "40"),
    Case(f"{SMOL}.weights.revision", int("1" * 39), "put it in quotes"),
    Case(f"{SMOL}.weights.revision", GONE, "required"),
    Case(f"{SMOL}.config", {"text_config": {}}, "weights: random"),
    Case(f"{SMOL}.config", 8, "keys and values"),
    Case(f"{SMOL}.readout", "last", "'end_marker'"),
    Case(f"{SMOL}.mean", [0.5, 0.5, 0.5], "unknown key"),
]

MODES = [
    Case("modes.ft", None, "keys and values"),
    Case("modes.ft.trainable", "full", "'all'"),
    Case("modes.ft.trainable", "last", "CNN"),
    Case("modes.ft.epochs", 0, "1"),
    Case("modes.ft.epochs", 10**9, "at most"),
    Case("modes.ft.epochs", 2.5, "whole number"),
    Case("modes.ft.epochs", True, "whole number"),
    Case("modes.ft.batch_size", 10**12, "at most"),
    Case("modes.ft.learning_rate", 0, "0"),
    Case("modes.ft.validation", 0, "above 0"),
    Case("modes.ft.validation", 0.6, "at most 0.5"),
    Case("modes.ft.learning_rate", -1e-4, "0"),
    Case("modes.ft.learning_rate", NAN, "finite"),
    Case("modes.ft.learning_rate", "1e-4x", "number"),
    Case("modes.ft.learning_rate", True, "number"),
    Case("modes.ft.weight_decay", -0.01, "0"),
    Case("modes.ft.standardise", True, "head", "modes.ft"),
    Case("modes.ft.standardise", "on", "true or false"),
    Case("modes.ft.keep_weights", "true", "true or false"),
    Case("modes.ft.keep_weight", True, "unknown key"),
    Case("modes.ft.vision", "frozen", "'cached'"),
    Case("modes.ft.vision", True, "'cached'"),
    Case("modes.ft.micro_batch", "auto", "whole number"),
    Case("modes.ft.gradient_checkpointing", 1, "true or false"),
    Case("modes.ft.lora", GONE, "required"),
    Case("modes.ft.lora", 16, "keys and values"),
    Case("modes.ft.lora.rank", 10**6, "at most"),
    Case("modes.ft.lora.alpha", -1, "1"),
    Case("modes.ft.lora.dropout", 1, "1"),
    Case("modes.ft.lora.projections", [], "at least 1"),
    Case("modes.ft.lora.projections", ["conv"], "for CNNs"),
    Case("modes.ft.lora.vision_blocks", 0, "1"),
    Case("modes.ft.lora.vision_blocks", 2, "vision: live"),
    Case("modes.ft.lora.projections", "qkvo", "list"),
    Case("modes.ft.lora.projections", ["q_proj"], "'q'", "modes.ft.lora.projections.0"),
    Case("modes.ft.lora.projections", ["q", "v", "q"], "twice"),
    Case("modes.ft.lora.layers", [], "at least 1"),
    Case("modes.ft.lora.layers", [-1], "0", "modes.ft.lora.layers.0"),
    Case("modes.ft.lora.layers", [0, 0], "twice"),
    Case("modes.ft.lora.layers", ["0-3"], "whole number", "modes.ft.lora.layers.0"),
    Case("modes.ft.lora.vision", True, "vision: live"),
    Case("modes.ft.lora.connector", True, "vision: live"),
    Case("modes.ft.lora.r", 16, "unknown key"),
    Case("modes.lp.lora", {}, "head", "modes.lp"),
]

GRID = [
    Case("grid", GONE, "required"),
    Case("grid", [], "at least 1"),
    Case("grid", ["breakhis"], "keys and values", "grid.0"),
    Case("grid.0.dataset", GONE, "required"),
    Case("grid.0.dataset", "breakhiss", "did you mean 'breakhis'"),
    Case("grid.0.dataset", "bach", "most patients of 'bach' are not known"),
    Case("grid.0.models", GONE, "required"),
    Case("grid.0.models", [], "at least 1"),
    Case("grid.0.models", ["resnet43"], "did you mean 'resnet34'"),
    Case("grid.0.models", ["alexnet", "alexnet"], "twice"),
    Case("grid.0.models", [["alexnet"]], "string", "grid.0.models.0"),
    Case("grid.0.models", [34], "found 34; put it in quotes", "grid.0.models.0"),
    Case("grid.0.modes", ["f t"], "lower case letters", "grid.0.modes.0"),
    Case("grid.0.modes", ["fine-tune"], "not among `modes`"),
    Case("grid.0.splits", ["patients"], "did you mean 'patient'"),
    Case("grid.0.magnifications", [], "at least 1"),
    Case("grid.0.magnifications", [40, 150], "40, 100, 200 or 400", "grid.0.magnifications.1"),
    Case("grid.0.magnifications", ["40"], "40, 100, 200 or 400", "grid.0.magnifications.0"),
    Case("grid.0.magnifications", [40.5], "40, 100, 200 or 400", "grid.0.magnifications.0"),
    Case("grid.0.magnifications", [False], "expected a number", "grid.0.magnifications.0"),
    Case("grid.0.magnifications", [40, 40], "twice"),
    Case("grid.0.magnifications", [0], "magnification of 40"),
    Case("grid.0.seeds", [], "at least 1"),
    Case("grid.0.seeds", [0, 0], "twice"),
    Case("grid.0.seeds", [True], "found true", "grid.0.seeds.0"),
    Case("grid.0.seeds", ["1"], "whole number", "grid.0.seeds.0"),
    Case("grid.0.seeds", 3, "list"),
    Case("datasets.bach.microns_per_pixel", 420, "a number below 100"),
    Case("grid.0.augmentations", ["papper"], "did you mean 'paper'"),
    Case("grid.0.fold", 1, "unknown key"),
    Case("grid.0.model", ["alexnet"], "unknown key"),
]

TABLES = [
    Case("tables", None, "keys and values"),
    Case("tables.dataset", "breakhiss", "did you mean 'breakhis'"),
    Case("tables.split", "patients", "did you mean 'patient'"),
    Case("tables.without_augmentation", "nothing", "not among"),
    Case("tables.with_augmentation", "papr", "did you mean 'paper'"),
    Case("tables.with_augmentation", "none", "differ"),
    Case("tables.spilt", "patient", "unknown key"),
    Case("external", None, "list"),
    Case("external", ["bach"], "keys and values", "external.0"),
    Case("external.0.dataset", GONE, "required"),
    Case("external.0.on", GONE, "required"),
    Case("external.0.on", "bachh", "did you mean 'bach'"),
    Case("external.0.on", "breakhis", "another"),
    Case("external.0.models", ["vgg19"], "keep_weights", "external.0"),
    Case("external.0.modes", ["lp", "ft"], "not in the grid", "external.0"),
    Case("external.0.splits", ["image", "patient"], "not in the grid", "external.0"),
    Case("external.0.augmentations", ["non"], "did you mean 'none'"),
    Case("external.0.seeds", [0, 1], "resnet34/ft/patient/40/none/seed1/fold1 is not in the grid", "external.0"),
    Case("external.0.headline", 300, "40, 100, 200 or 400"),
    Case("external.0.magnifications", [100], "magnifications", "external.0.headline"),
    Case("external.0.folds", 5, "unknown key"),
    Case("external.0.scales", [], "at least 1"),
    Case("external.0.scales", ["squashed", "squashed"], "twice"),
    Case("external.0.scales", ["native"], "'squashed' or 'matched'", "external.0.scales.0"),
    Case(
        "datasets.bach.microns_per_pixel", GONE, "`matched` needs datasets.bach.microns_per_pixel;", "external.0.scales"
    ),
    Case(
        "datasets.breakhis.microns_per_pixel",
        {40: 0.49, 100: 0.2},
        "`matched` needs datasets.breakhis.microns_per_pixel at 200x, 400x; add it",
        "external.0.scales",
    ),
    Case("datasets.bach.microns_per_pixel", 0, "above 0"),
    Case("datasets.bach.microns_per_pixel", float("inf"), "finite"),
    Case("datasets.bach.microns_per_pixel", "0.42", "expected a number"),
    Case("datasets.bach.microns_per_pixel", {20: 0.5}, "0, 40, 100, 200 or 400", "datasets.bach.microns_per_pixel.20"),
    Case("datasets.breakhis.microns_per_pixel", {40: -0.5}, "above 0", "datasets.breakhis.microns_per_pixel.40"),
    Case("comparisons", None, "keys and values"),
    Case("comparisons.pairs", [["alexnet/ft"]], "more items", "comparisons.pairs.0"),
    Case("comparisons.pairs", ["alexnet/ft"], "list", "comparisons.pairs.0"),
    Case("comparisons.pairs", [["alexnet", "vgg19"]], "MODEL/MODE"),
    Case("comparisons.pairs", [["alexnet/lp", "vgg19/ft"]], "alexnet/lp"),
    Case("comparisons.pairs", [["alexnet/ft", "vgg91/ft"]], "did you mean 'vgg19/ft'"),
    Case("comparisons.pairs", [["vgg19/ft", "vgg19/ft"]], "itself"),
    Case("comparisons.pairs", [["alexnet/ft", "vgg19/ft"], ["vgg19/ft", "alexnet/ft"]], "twice"),
    Case("comparisons.magnification", 300, "40, 100, 200 or 400"),
    Case("comparisons.magnification", 0, "grid"),
    Case("comparisons.draws", 10, "100"),
    Case("comparisons.draws", 10**12, "at most"),
    Case("comparisons.draws", 1e4 + 0.5, "whole number"),
    Case("comparisons.draw", 100, "unknown key"),
]

TINY = [
    Case("models.small.label", "smaller", "name of", "models.smaller.label"),
    Case("models.tiny-vlm.config.text_config.rms_norm_eps", INF, "finite number", "models.tiny-vlm.config"),
    Case("models.tiny-vlm.config", GONE, "weights: random"),
    Case("models.tiny-vlm.config", [], "keys and values"),
    Case("splits.patient.folds", 5, "4 patients", "datasets.made-up.synthetic.patients_per_class"),
    Case(
        "splits.patient",
        {"by": "accession", "folds": 4},
        "3 accession numbers",
        "datasets.made-up.synthetic.patients_per_class",
    ),
    Case("comparisons.magnification", 200, "grid"),
]

PHIKON = "models.phikon"
ENCODERS = [
    Case(f"{PHIKON}.weights", GONE, "required"),
    Case(f"{PHIKON}.weights", "imagenet", "'random'"),
    Case(f"{PHIKON}.weights", "random", "weights: random", f"{PHIKON}.config"),
    Case(f"{PHIKON}.config", {"model_type": "vit"}, "weights: random"),
    Case(f"{PHIKON}.pooling", "cls", "'token+mean'"),
    Case(f"{PHIKON}.pooling_", "mean", "did you mean 'pooling'"),
    Case(f"{PHIKON}.gated", "yes", "true or false"),
    Case(f"{PHIKON}.arguments", ["SiLU"], "keys and values"),
    Case(f"{PHIKON}.image_size", 8, "16"),
    Case(f"{PHIKON}.readout", "mean", "unknown key"),
    Case("modes.lp", {"trainable": "last"}, "'phikon' is an encoder", "modes.lp.trainable"),
    Case(
        f"{PHIKON}.training",
        {"lp": {"trainable": "lora", "standardise": False}},
        "'phikon' is an encoder",
        f"{PHIKON}.training.lp.trainable",
    ),
]

CASES = [
    *(("paper", case) for case in [*TOP, *DATASETS, *SPLITS, *AUGMENTATIONS, *CNNS, *VLMS, *MODES, *GRID, *TABLES]),
    *(("demo", case) for case in MADE),
    *(("tiny", case) for case in TINY),
    *(("foundation", case) for case in ENCODERS),
]


@pytest.mark.parametrize("study", STUDIES)
def test_the_configurations_without_a_mistake_are_good(study):
    assert load(STUDIES[study]).runs


@pytest.mark.parametrize(("study", "case"), CASES, ids=[f"{case.key}={str(case.value)[:40]}" for _, case in CASES])
def test_each_mistake_gets_one_sentence_that_names_its_key(study, case):
    with pytest.raises(HistoBenchError) as caught:
        load(with_change(case.key, case.value, STUDIES[study]))
    sentence = str(caught.value)
    assert re.match(rf"[\w./ -]*{re.escape(case.named or case.key)}\b[^:\n]*: .", sentence), sentence
    assert case.word in sentence.partition(": ")[2], sentence
    assert "\n" not in sentence
    assert len(sentence) < 300
    for jargon in ("pydantic", "Input should", "Value error", "function-", "Ellipsis", "dict", "None"):
        assert jargon not in sentence


def test_there_are_more_than_two_hundred():
    different = {(study, case.key, repr(case.value)) for study, case in CASES}
    assert len(different) == len(CASES)
    assert len(CASES) >= 200
    assert {case.key.partition(".")[0] for _, case in CASES} >= {key for key in PAPER if key != "external"}


def test_every_mistake_is_told_at_once():
    config = with_change("seed", -1)
    config["modes"]["ft"]["epochs"] = 0
    config["grid"][0]["splits"] = []
    with pytest.raises(HistoBenchError) as caught:
        load(config)
    keys = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert keys == ["seed", "modes.ft.epochs", "grid.0.splits"]


def test_a_pair_that_is_never_trained_on_the_same_images_is_named():
    config = copy.deepcopy(PAPER) | {"external": [], "comparisons": {"pairs": [["vgg19/ft", "smolvlm/ft"]]}}
    config["grid"] = config["grid"][:2]
    for block, magnification in zip(config["grid"], (200, 400), strict=True):
        block["magnifications"] = [magnification]
    with pytest.raises(
        HistoBenchError, match=r"comparisons.pairs.0: vgg19/ft and smolvlm/ft are never trained on the same"
    ):
        load(config)


JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**5000, 0.5, -0.0, NAN, INF, 1e308, "", " ", "x", "no", "../..", "\0", "x" * 1000),
    *("1e400", "é", "{wildcard}", "(a+)+", [], [[]], [None], [NAN], {}, {"": None}, {None: 1}, {1: {2: 3}}, [{}], [[[["deep"]]]]),
    {"synthetic": {}, "source": "x"},
    object(),
]  # fmt: skip


def places(config: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a configuration."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, *above, key)


PLACES = [(study, place) for study, config in STUDIES.items() for place in places(config)]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(JUNK)), min_size=1, max_size=3), st.booleans())
def test_junk_at_any_place_gives_messages_or_a_study(changes, as_key):
    """Up to three places of one study hold junk, or a junk key beside the right ones."""
    study = changes[0][0][0]
    config = copy.deepcopy(STUDIES[study])
    for (_, (*parents, last)), junk in changes:
        place: Any = config
        try:
            for part in parents:
                place = place[part]
            place[last]
        except (KeyError, IndexError, TypeError):  # another change took it away, or it is another study's
            continue
        if not isinstance(place, dict | list):
            continue
        if as_key and isinstance(place, dict) and isinstance(junk, str | int | float | bool | None):
            place[junk] = place[last]
        else:
            place[last] = junk
    try:
        canonical_json(asdict(resolve(load(config))))
    except HistoBenchError as error:
        for sentence in str(error).splitlines():
            assert ": " in sentence
            assert len(sentence) < 600, sentence


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("study: a\nstudy: b\n", "study is there twice, in lines 1 and 2"),
        ("modes:\n  ft:\n    epochs: 1\n    epochs: 2\n", "epochs is there twice, in lines 3 and 4"),
        ("grid: [{dataset: a}, {dataset: b, dataset: c}]\n", "dataset is there twice, in lines 1 and 1"),
        ('{"study": "a", "study": "b"}', "study is there twice"),
    ],
)
def test_a_key_that_a_file_has_twice_is_named_with_its_lines(tmp_path, text, place):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(HistoBenchError, match=re.escape(f"{file}: {place}")):
        unambiguous(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("classes: {010: benign}", "YAML reads 010 as 8"),
        ("label: 0012", "YAML reads 0012 as 10"),
        ("seed: -07", "YAML reads -07 as -7"),
        ("sha256: " + "0" * 64, "as 0"),
        ("sha256: 0" + "7" * 63, "as a number of more than 30 digits"),
        ("note: 12:30:00", "YAML reads 12:30:00 as 45000"),
        ("label: [a, 1:30.5]", "YAML reads 1:30.5 as 90.5"),
        ("label: 2026-01-31", "YAML reads 2026-01-31 as a date"),
        ("label: 2026-13-45", "YAML reads 2026-13-45 as a date"),  # which there is not
        ("classes: {1_000: benign}", "YAML reads 1_000 as a number"),
        ("classes: {0x1F: benign}", "YAML reads 0x1F as a number"),
        ("classes: {1.50: benign}", "YAML reads 1.50 as a number"),
        ("classes: {no: benign, yes: malignant}", "YAML reads no as true or false"),
        ("classes: {NULL: benign}", "YAML reads NULL as nothing"),
        ("classes: {2026-01-31: benign}", "YAML reads 2026-01-31 as a date"),
    ],
)
def test_what_yaml_reads_as_something_else_is_named_with_its_line(tmp_path, text, named):
    file = tmp_path / "study.yaml"
    file.write_text(f"study: a\n{text}\n")
    with pytest.raises(HistoBenchError) as caught:
        unambiguous(file)
    sentence = str(caught.value)
    assert sentence.startswith(f"{file}, line 2: YAML reads ")
    assert named in sentence
    assert sentence.endswith("; if it is text, put it in quotes")
    quoted = re.sub(r"(?<=YAML reads )(\S+).*", r"\1", sentence).rpartition(" ")[2]
    file.write_text(f"study: a\n{text.replace(quoted, repr(quoted)).replace('yes', repr('yes'))}\n")
    unambiguous(file)


def test_digits_that_can_only_be_meant_as_text_are_taken_so():
    """Classes 0 and 1, and hashes without a letter, as YAML reads them."""
    written = yaml.safe_load(f"{{sha256: {'12' * 32}, classes: {{0: benign, 1: malignant}}}}")
    mine = load(with_change("datasets.mine", OWN | written)).datasets["mine"]
    assert (mine.sha256, mine.classes) == ("12" * 32, {"0": "benign", "1": "malignant"})
    weights = load(with_change(f"{SMOL}.weights.revision", int("98" * 20))).models["smolvlm"].weights
    assert weights.revision == "98" * 20


def test_plain_numbers_and_words_need_no_quotes(tmp_path):
    for file in [*ROOT.glob("config/**/*.yaml"), ROOT / "tests/workflow/tiny.yaml"]:
        unambiguous(file)
    (tmp_path / "study.yaml").write_text(
        "seed: 0\nrate: 1.0e-4\ndraws: 10_000\nexternal: [{on: bach}]\nk: [yes, 08, 0.5, -1, ~]\n"
    )
    unambiguous(tmp_path / "study.yaml")


def test_equal_keys_of_different_places_and_aliases_are_good(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghij")
    )
    (tmp_path / "study.yaml").write_text(f"one: {{a: 1}}\ntwo: {{a: 1, <<: {{a: 2}}}}\nthree: &t [*t]\n{bomb}")
    unambiguous(tmp_path / "study.yaml")
