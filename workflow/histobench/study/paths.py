"""Where every artefact of a study stands, as patterns that the workflow fills in."""

from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

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
FINISHED = f"{RUN}/finished.json"
TRAINED = f"{RUN}/weights.safetensors"
EXTERNAL = "results/{on}/predictions/{dataset}/{model}/{mode}/{split}/{magnification}x/{augmentation}/fold{fold}.csv"
EXTERNAL_LOG = EXTERNAL.replace("/predictions/", "/logs/predict/").replace(".csv", ".log")
EXTERNAL_BENCHMARK = EXTERNAL.replace("/predictions/", "/benchmarks/predict/").replace(".csv", ".tsv")
RUN_LOG = RUN.replace("/runs/", "/logs/") + ".log"
RUN_BENCHMARK = RUN.replace("/runs/", "/benchmarks/") + ".tsv"
STUDY = "results/studies/{study}"


@dataclass(frozen=True, order=True)
class Run:
    """The identity of a training run: the wildcards of its rule, the folder of its results, the key of every table."""

    dataset: str
    model: str
    mode: str
    split: str
    magnification: int
    augmentation: str
    fold: int

    @property
    def folder(self) -> str:
        """Folder of the run's results."""
        return RUN.format(**asdict(self))

    @property
    def predictions(self) -> str:
        """Path of the run's predictions."""
        return PREDICTIONS.format(**asdict(self))

    @property
    def arm(self) -> str:
        """Name of the run's arm, whose folds are averaged: `breakhis/vgg19/ft/patient/40/none`."""
        return "/".join(map(str, list(asdict(self).values())[:-1]))

    @classmethod
    def of(cls, predictions: str) -> "Run":
        """Return the run that a predictions path belongs to."""
        dataset, _, model, mode, split, magnification, augmentation, fold, _ = PurePosixPath(predictions).parts[-9:]
        return cls(
            dataset,
            model,
            mode,
            split,
            int(magnification.removesuffix("x")),
            augmentation,
            int(fold.removeprefix("fold")),
        )


def external(on: str, run: Run) -> str:
    """Return the path of what a run predicts on another dataset."""
    return EXTERNAL.format(on=on, **asdict(run))


def of_external(path: str) -> tuple[str, Run]:
    """Return the dataset and the run that a path of :func:`external` belongs to."""
    on, _, *parts, file = PurePosixPath(path).parts[-9:]
    return on, Run.of("/".join([parts[0], "runs", *parts[1:], file.removesuffix(".csv"), "predictions.csv"]))
