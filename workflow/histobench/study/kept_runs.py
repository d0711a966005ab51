"""Runs that kept their trained weights, found by their folder alone."""

from dataclasses import dataclass
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.study import keys, paths
from histobench.study.runs import Run, record
from histobench.study.spec import RunSpec
from histobench.study.values import canonical_json

KEEP = "weights are kept where the mode has `keep_weights: true` in the configuration; add it and run the study again"


@dataclass(frozen=True)
class KeptRun:
    """A run with kept weights."""

    run: Run
    folder: Path
    """Absolute path of its results."""
    spec: RunSpec

    @property
    def trained(self) -> Path:
        """The kept weights, after the last epoch."""
        return self.folder / Path(paths.TRAINED).name

    @property
    def weights(self) -> Path | None:
        """The pretrained weights that it started from; None where they were random.

        Raises:
            HistoBenchError: they are not there.
        """
        return self._published(paths.WEIGHTS, "weights that the run started from are")

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer of its prompt; None without a prompt, or where weights were random.

        Raises:
            HistoBenchError: it is not there.
        """
        return self._published(paths.TOKENIZER, "tokenizer of the run's prompt is") if self.spec.recipe.prompt else None

    def _published(self, pattern: str, what: str) -> Path | None:
        """Return a file of its published model; None where weights were random."""
        model = self.spec.model
        if model.weights == "random":
            return None
        key = paths.key(canonical_json(keys.of_weights(model)))
        file = self.folder.parents[9] / pattern.format(model=self.run.model, weights_key=key)
        if not file.is_file():
            raise HistoBenchError(
                f"{file}: the {what} not there; fetch the downloads of its study again, by `make fetch` or, for another study than the "
                'paper\'s, by `make fetch ARGS="--configfile FILE"`'
            )
        return file

    @property
    def dataset(self) -> Path:
        """The folder of its dataset's results."""
        return self.folder.parents[7]


def kept_run(folder: Path) -> KeptRun:
    """Return the run in a folder of results.

    Raises:
        HistoBenchError: there is none, or it kept no weights.
    """
    whole = Path(folder).resolve()
    if not whole.is_dir():
        raise HistoBenchError(f"{folder}: there is no such folder; give that of a run, results/.../fold1")
    try:
        run = Run.of(str(whole / "predictions.csv"))
        found = KeptRun(run, whole, RunSpec.model_validate(record(whole)["specification"]))
    except (ValueError, IndexError, KeyError):
        raise HistoBenchError(
            f"{folder}: is not the folder of a run; give one that holds run.json, "
            "results/DATASET-KEY/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION-KEY/seed0/fold1"
        ) from None
    if found.spec.recipe.trainable == "none":
        raise HistoBenchError(
            f"{folder}: in this run nothing was trained, so that it kept no weights; give a run of a mode that trains"
        )
    if not found.trained.is_file():
        raise HistoBenchError(f"{folder}: this run kept no weights; {KEEP}")
    if found.spec.classes:
        raise HistoBenchError(
            f"{folder}: this run has the classes {', '.join(found.spec.classes)}, expected one that tells benign from malignant; give "
            "such a run"
        )
    if found.spec.recipe.stain:
        raise HistoBenchError(
            f"{folder}: this run reads images whose stain is normalised to that of its training images, which is not done here; "
            "give a run of a mode without `stain`"
        )
    return found
