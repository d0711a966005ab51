"""Paths of every file that the workflow makes, as patterns with its wildcards."""

from dataclasses import asdict
from typing import Any

ARCHIVE = "results/{dataset}/archive.tar.gz"
ARCHIVE_DIGEST = "results/{dataset}/archive.sha256"
MANIFEST = "results/{dataset}/manifest.csv"
CENSUS = "results/{dataset}/census.csv"
FOLDS = "results/{dataset}/folds/{split}.csv"
FOLDS_DIGEST = f"{FOLDS}.sha256"
FOLDS_CENSUS = "results/{dataset}/folds/census/{split}.csv"
PIXELS = "results/{dataset}/pixels/{size}px.npy"
WEIGHTS = "resources/weights/{model}.safetensors"
MODEL_CONFIG = "resources/weights/{model}.config.json"
FEATURES = "results/{dataset}/features/{model}/{magnification}x/{augmentation}/views{views}.npy"
TOKENS = "results/{dataset}/tokens/{model}/{magnification}x/{augmentation}/views{views}.npy"
RUN = "results/{dataset}/runs/{model}/{mode}/{split}/{magnification}x/{augmentation}/fold{fold}"
PREDICTIONS = f"{RUN}/predictions.csv"
HISTORY = f"{RUN}/history.csv"
RECORD = f"{RUN}/run.json"
TRAINED = f"{RUN}/weights.safetensors"
EXTERNAL = "results/{on}/predictions/{dataset}/{model}/{mode}/{split}/{magnification}x/{augmentation}/fold{fold}.csv"
EXTERNAL_LOG = EXTERNAL.replace("/predictions/", "/logs/predict/").replace(".csv", ".log")
RUN_LOG = RUN.replace("/runs/", "/logs/") + ".log"
STUDY = "results/studies/{study}"
STUDY_FILE = f"{STUDY}/study.json"


def external(on: str, run: Any) -> str:
    """Return the path of what a run (:class:`histobench.study.runs.Run`) predicts on another dataset."""
    return EXTERNAL.format(on=on, **asdict(run))
