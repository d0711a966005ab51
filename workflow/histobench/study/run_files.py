"""The files of a run's results: their columns and keys, for the scripts that write them and all code that reads them."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

SELECTIONS = {"last": "logit", "validation": "validation_logit", "best_epoch": "best_epoch_logit"}
"""Which epoch is scored, and the column that holds its logits. `validation` is there where the recipe has a share of that name:
epoch, threshold and temperature were chosen on training groups that did not train. `best_epoch` is optimistic: the epoch was
chosen on the very images that it is scored on."""

PREDICTIONS = ("image_id", "accession", "group", "fold", "label", SELECTIONS["last"], SELECTIONS["best_epoch"])
"""Columns of predictions.csv: a row per image of the evaluation fold, in manifest order; label 1 is malignant. `group` is what
statistics resample (:func:`resampled_with`). The column of the selection `validation` comes last, where it is there: the logit of
the chosen epoch minus the threshold, over the temperature."""

EXTERNAL = ("image_id", "group", "class", "label", "logit")
"""Columns of a run's predictions on another dataset: `group` is the patient, `class` the dataset's own class."""

SCORES = ("accuracy", "precision", "recall", "f1", "auc", "patient_rate")
SECONDS = ("train_seconds", "validation_seconds")
KEPT = ("kept_loss", "kept_accuracy")
HISTORY = ("epoch", "train_loss", "validation_loss", "learning_rate", *SCORES, *SECONDS)
"""Columns of history.csv: a row per epoch, from 1. `validation_loss` and scores are those of the evaluation fold. Where training
groups are kept for choosing, the loss and accuracy on their images, :data:`KEPT`, stand before the seconds."""


class RunRecord(TypedDict):
    """Content of run.json: what ran, on what, and what it took."""

    specification: dict[str, Any]
    """The RunSpec."""
    versions: dict[str, str]
    """Of Python and the libraries that the run used."""
    code: str
    """Fingerprint of the training code, as the workflow gave it; of the script and all its imports where the script was run by itself."""
    sha256: dict[str, str]
    """Digests of the training images, the evaluation images and the stored features."""
    start: str
    """`launcher` if the job was forked from a process that had imported PyTorch, else `cold` and the reason."""
    device: str
    jobs_per_gpu: int | None
    """How many jobs could share the GPU; None on another device."""
    precision: str
    threads: int
    workers: int
    compiled: bool
    """Whether the layers of the decoder were compiled."""
    micro_batch: int
    parameters: dict[str, int]
    """`total` and `trainable`."""
    images: dict[str, int]
    """`training` and `evaluation`, and `validation` where groups are kept for choosing."""
    best_epoch: int
    chosen: NotRequired[dict[str, Any]]
    """Where groups are kept for choosing: `epoch`, `threshold`, `temperature`, the kept `groups` and `images` of each class, and
    `fitted`, false where the malignant probability did not rise with the logit: threshold and temperature are then 0 and 1."""
    resumed_from: int | None
    """How many epochs an earlier, stopped process had finished; None if there was none."""
    images_per_second: float
    """Training images per second of training."""
    seconds: dict[str, float | None]
    """Wall clock: `total` of the job, `start_up` until the first batch, `training` and `validation`; and `features`, what the
    jobs took before that computed embeddings or visual tokens for all folds: 0 without them, None if it is not known."""
    peak_memory_mib: dict[str, float]
    """`host` and, on a CUDA GPU, `device`."""


def unit_of(policy: str) -> str:
    """Return what statistics resample under a split policy: the group that it keeps together, but at least the patient.

    Images of one patient are not independent, whatever a split does with them.
    """
    return "accession number" if policy == "accession" else "patient"


def resampled_with(image: Any, policy: str) -> str:
    """Return the unit of :func:`unit_of` that an image of a manifest belongs to."""
    return image.accession if policy == "accession" else image.patient


def prediction_columns(chosen: bool, prompts: int = 0) -> tuple[str, ...]:
    """Return the columns of predictions.csv of a run that chooses on validation groups, or not, and of each of its `prompts`."""
    own = (*PREDICTIONS, SELECTIONS["validation"]) if chosen else PREDICTIONS
    return (*own, *map(prompt_column, range(prompts)))


def prompt_column(number: int) -> str:
    """Return the column of predictions.csv with the logits after a prompt, of which the first is number 0."""
    return f"prompt_{number + 1}_logit"


def history_columns(chosen: bool) -> tuple[str, ...]:
    """Return the columns of history.csv of a run that chooses on validation groups, or not."""
    return (*HISTORY[: -len(SECONDS)], *KEPT, *SECONDS) if chosen else HISTORY


def prediction_row(
    image: Any,
    group: str,
    fold: int,
    last: float,
    best: float,
    chosen: float | None = None,
    prompts: Sequence[float] = (),
) -> dict[str, object]:
    """Return a row of predictions.csv for an image of a manifest, with its logits after the last and the best epoch.

    `chosen`, where there is one, is a float64 and is written so that it is read back: it must order images as its epoch's logit.
    """
    values = (image.image_id, image.accession, group, fold, int(image.label == "malignant"))
    row: dict[str, object] = dict(zip(PREDICTIONS, (*values, _float32(last), _float32(best)), strict=True))
    row |= {prompt_column(number): _float32(logit) for number, logit in enumerate(prompts)}
    return row if chosen is None else row | {SELECTIONS["validation"]: repr(float(chosen))}


def external_row(image: Any, logit: float) -> dict[str, object]:
    """Return a row of predictions on another dataset."""
    values = (image.image_id, image.patient, image.subtype, int(image.label == "malignant"), _float32(logit))
    return dict(zip(EXTERNAL, values, strict=True))


def epoch_row(scores: Mapping[str, float]) -> dict[str, object]:
    """Return a row of history.csv."""
    return {name: value if name == "epoch" else _float32(value) for name, value in scores.items()}


def _float32(value: float) -> str:
    """Return the nine digits from which the same float32 is read back."""
    return f"{value:.9g}"
