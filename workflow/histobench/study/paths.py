"""Paths of every file that the workflow makes, as patterns with its wildcards.

Beside a name that the user chose there is a key, eight hexadecimal digits of a hash of the settings behind that name
(:mod:`histobench.study.keys`): studies that use a name with different settings share no file, studies that
agree share all.
"""

import hashlib

CONFIGURATION = "config/config.yaml"
"""The configuration that every other one is laid over."""
WORK = "results/{dataset}-{data_key}"
ARCHIVE = f"{WORK}/archive.tar.gz"
ARCHIVE_DIGEST = f"{WORK}/archive.sha256"
MANIFEST = f"{WORK}/manifest.csv"
CENSUS = f"{WORK}/census.csv"
FOLDS = f"{WORK}/folds/{{split}}-{{split_key}}.csv"
FOLDS_DIGEST = f"{FOLDS}.sha256"
FOLDS_CENSUS = f"{WORK}/folds/census/{{split}}-{{split_key}}.csv"
PIXELS = f"{WORK}/pixels/{{size}}px.npy"
TILES = "results/{on}-{on_key}/tiles/{dataset}-{data_key}/{magnification}x-{scale_key}/{size}px.npy"
TILES_LOG = TILES.replace("/tiles/", "/logs/tiles/").replace(".npy", ".log")
NORMAL = f"{WORK}/normalised/{{stain}}/{{split}}-{{split_key}}/{{magnification}}x/fold{{fold}}/kept-{{kept}}"
"""Images whose stain is normalised to that of the training images of a fold, of which `kept` says what is kept for choosing."""
NORMALISED = f"{NORMAL}/{{size}}px.npy"
REFERENCE = f"{NORMAL}/{{size}}px.json"
NORMALISE_LOG = NORMALISED.replace("/normalised/", "/logs/normalise/").replace(".npy", ".log")
WEIGHTS = "resources/weights/{model}-{weights_key}.safetensors"
TOKENIZER = WEIGHTS.replace(".safetensors", ".tokenizer.json")
TEXT_WEIGHTS = WEIGHTS.replace(".safetensors", ".text.safetensors")
"""The language-model head of a vision-language model, or the text tower of a CLIP."""
FOUND_SIZES = "resources/micro-batches"
COMPILED = "resources/compiled"
MODEL_CONFIG = "resources/weights/{model}-{weights_key}.config.json"
VIEWS = "{model}/{magnification}x/{augmentation}-{feature_key}/seed{seed}/views{views}"
FEATURES = f"{WORK}/features/{VIEWS}.npy"
NORMALISED_FEATURES = f"{NORMAL}/features/{VIEWS}.npy"
NORMALISED_FEATURES_LOG = NORMALISED_FEATURES.replace("/normalised/", "/logs/normalised/").replace(".npy", ".log")
TOKENS = f"{WORK}/tokens/{VIEWS}.npy"
FOLD = "{model}/{mode}/{split}/{magnification}x/{augmentation}-{run_key}/seed{seed}/fold{fold}"
RUN = f"{WORK}/runs/{FOLD}"
PREDICTIONS = f"{RUN}/predictions.csv"
HISTORY = f"{RUN}/history.csv"
RECORD = f"{RUN}/run.json"
TRAINED = f"{RUN}/weights.safetensors"
EXTERNAL = f"results/{{on}}-{{on_key}}/predictions/{{scale}}-{{scale_key}}/{{dataset}}-{{data_key}}/{FOLD}.csv"
EXTERNAL_LOG = EXTERNAL.replace("/predictions/", "/logs/predict/").replace(".csv", ".log")
STRESS = f"{WORK}/stress/{FOLD}.csv"
STRESS_LOG = STRESS.replace("/stress/", "/logs/stress/").replace(".csv", ".log")
RUN_LOG = RUN.replace("/runs/", "/logs/") + ".log"
STUDY = "results/studies/{study}"
STUDY_FILE = f"{STUDY}/study.json"

_LENGTH = 8


def key(text: str) -> str:
    """Return the key of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def name_of(part: str) -> str:
    """Return the name in a part of a path that is a name and its key."""
    name, _, key = part.rpartition("-")
    if not name or len(key) != _LENGTH:
        raise ValueError(f"{part} is not a name and its key")
    return name


def model_of(path: str) -> str:
    """Return the model that a path of :data:`MODEL_CONFIG` belongs to."""
    return name_of(path.rpartition("/")[2].removesuffix(".config.json"))
