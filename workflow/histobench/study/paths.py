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
FEATURES = "results/{dataset}/features/{model}/{magnification}x/{augmentation}/views{views}.npy"
TOKENS = "results/{dataset}/tokens/{model}/{magnification}x/{augmentation}/views{views}.npy"
RUN = "results/{dataset}/runs/{model}/{mode}/{split}/{magnification}x/{augmentation}/fold{fold}"
PREDICTIONS = f"{RUN}/predictions.csv"
HISTORY = f"{RUN}/history.csv"
RECORD = f"{RUN}/run.json"
TRAINED = f"{RUN}/weights.safetensors"
EXTERNAL = "results/{on}/predictions/{dataset}/{model}/{mode}/{split}/{magnification}x/{augmentation}/fold{fold}.csv"
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
