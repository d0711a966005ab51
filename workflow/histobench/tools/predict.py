"""Predict a folder of images with the kept weights of a run, or of all folds of an arm, with a heat map for each image.

Writes predictions.csv (image, probability of malignant, logit, call) and predictions.html. Nothing is trained, and no result of
a study changes. docs/predict.md explains the page.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from histobench.datasets import manifest
from histobench.datasets.decode import FORMATS, SUFFIXES, decode, pixel_sha256
from histobench.datasets.pixels import squash
from histobench.evaluation.calibration import probability
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_csv, write_csv
from histobench.metrics import decide
from histobench.report.overlays import rank_correlation, towards_call
from histobench.report.page import predictions_page
from histobench.report.terms import magnified, origin
from histobench.study import paths, resolved
from histobench.study.config import Config
from histobench.study.kept_runs import KEEP, KeptRun, kept_run
from histobench.tools.command_line import parser, run_tool, study

COLUMNS = ("image", "probability", "logit", "call")
CALLS = ("benign", "malignant")
ON_PAGE = 200
"""Most images that the page shows, each with its map."""
COMPARED = 8
"""Most images whose maps are made again with shuffled parameters."""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, required=True, metavar="FOLDER", help=f"of {FORMATS} files")
    made.add_argument("--run", type=Path, metavar="FOLDER", help="a run's folder, with weights.safetensors")
    made.add_argument("--arm", metavar="MODEL/MODE", help="an arm of the study of --configfile instead of a run")
    made.add_argument("--magnification", type=int, help="of the arm; by default the one at which its study compares")
    made.add_argument("--output", type=Path, default=Path("predictions"), metavar="FOLDER")
    made.add_argument("--maps", choices=("auto", "occlusion", "none"), default="auto", help="auto: Grad-CAM for CNNs")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    predict(made.parse_args())


def predict(given: argparse.Namespace) -> None:
    """Predict the images, and write both files."""
    files = images_in(given.images)
    if given.run:
        kept, said = [kept_run(given.run)], []
    elif given.configfile:
        kept, said = arm_of(study(given.configfile), given.arm, given.magnification)
    else:
        raise HistoBenchError("say what predicts: RUN=results/.../fold1, or a study, CONFIG=FILE, and ARM=MODEL/MODE")
    names, pixels, hashes, unreadable = decoded(given.images, files, kept[0].spec.model.image_size)
    for sentence in unreadable:
        print(f"warning: {sentence}", file=sys.stderr)
    if not names:
        raise HistoBenchError(f"{given.images}: none of its {len(files)} images can be read; see the warnings above")
    logits, maps, of_maps = computed(kept, pixels, given.maps, given.device)
    shares, malignant = probability(logits), decide(logits)
    heat = towards_call(maps, logits[: len(maps)]) if len(maps) else [None] * ON_PAGE
    known = hashes_of(kept[0].dataset)
    rows: list[dict[str, str]] = [
        dict(zip(COLUMNS, (name, f"{share:.6f}", f"{logit:.9g}", CALLS[call]), strict=True))
        for name, share, logit, call in zip(names, shares, logits, malignant.astype(int), strict=True)
    ]
    cards = [
        predictions_page.Predicted(row["image"], float(share), row["call"], square, own, digest in known)
        for row, share, square, own, digest in zip(rows, shares, pixels, heat, hashes, strict=False)
    ][:ON_PAGE]
    counts = f"{len(names)} images: {malignant.sum()} called malignant, {(~malignant).sum()} benign."
    if unreadable:
        counts += f" {len(unreadable)} file{'s' if len(unreadable) > 1 else ''} could not be read."
    if len(names) > ON_PAGE:
        counts += f" The page shows the first {ON_PAGE} by name; predictions.csv has all."
    if seen := sum(one in known for one in hashes):
        counts += f" {seen} have equal pixels in the dataset of training: the model may have seen their labels."
    facts = [("Images", counts), *about(kept, said), *of_maps]
    title = f"{kept[0].run.model}, mode {kept[0].run.mode}"
    page = predictions_page.build(title, notes_of(kept[0]), facts, cards, unreadable)
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        write_csv(given.output / "predictions.csv", COLUMNS, rows)
        with atomic_path(given.output / "predictions.html") as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise HistoBenchError(
            f"{given.output}: cannot be written ({error.strerror}); choose another folder with --output"
        ) from None
    print(
        "\n".join([counts, *(text for _, text in of_maps), f"Open in a browser: {given.output / 'predictions.html'}"])
    )


# ---- what predicts ----


def arm_of(config: Config, arm: str | None, magnification: int | None) -> tuple[list[KeptRun], list[str]]:
    """Return the runs of an arm of a study, and sentences on its accuracy and how it was chosen.

    They are those of the dataset, split and augmentation of Table 4 at one magnification. Without `arm` it is, of the arms that
    kept weights, the one with the highest mean accuracy.
    """
    about = resolved.resolve(config)
    place = {**about.main, "magnification": about.magnification if magnification is None else magnification}
    found: dict[str, list[KeptRun]] = {}
    for run in (run for run in config.runs if place.items() <= vars(run).items()):
        with suppress(HistoBenchError):
            found.setdefault(f"{run.model}/{run.mode}", []).append(kept_run(Path(config.path(paths.RUN, **vars(run)))))
    where = f"study {config.study}, {magnified(place['magnification'])}"
    found = {name: runs for name, runs in found.items() if runs}
    if not found:
        raise HistoBenchError(f"{where}: no arm has kept weights; {KEEP}")
    if arm and arm not in found:
        raise HistoBenchError(f"{where}: {arm} has no kept weights, but {', '.join(found)}; {KEEP}")
    summary = Path(paths.STUDY.format(study=config.study), "summary.csv")
    wanted = {key: str(value) for key, value in place.items()} | {"selection": "last"}
    accuracy = {
        f"{row['model']}/{row['mode']}": float(row["accuracy_mean"])
        for row in (read_csv(summary, ("accuracy_mean",)) if not arm or summary.is_file() else [])
        if wanted.items() <= row.items()
    }
    best = arm or max(found, key=lambda name: accuracy.get(name, -1))
    said = [f"Mean accuracy over the folds of study {config.study}: {accuracy[best]:.4f}."] if best in accuracy else []
    if not arm:
        said.append(
            f"The arm was chosen by this score, the highest of the {len(found)} with kept weights: so chosen, it is too high."
        )
    return found[best], said


def about(kept: Sequence[KeptRun], more: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield terms and sentences on what a reader must know of the model."""
    run, spec = kept[0].run, kept[0].spec
    yield (
        "Trained on",
        (
            f"Dataset {run.dataset}, {magnified(run.magnification)}; split policy {run.split}, augmentation {run.augmentation}, "
            f"{spec.recipe.epochs} epochs. Images at another magnification are unlike those it was trained on."
        ),
    )
    weights = spec.model.weights
    several = (
        f"The logits of {len(kept)} runs, of all folds, are averaged, and so are their maps."
        if len(kept) > 1
        else f"One run: seed {run.seed}, fold {run.fold}."
    )
    start = weights if isinstance(weights, str) else origin(weights.model_dump())
    yield "Model", " ".join([f"{run.model} in mode {run.mode}, started from weights: {start}.", several, *more])
    yield "Probability", "The logistic function of the logit, not calibrated; malignant is called from 0.5 on."


def notes_of(kept: KeptRun) -> list[str]:
    """Return warnings: synthetic images of training, random weights, a narrowed model."""
    synthetic = (kept.dataset / Path(paths.ARCHIVE).name).exists()
    for file in kept.dataset.parent.glob("studies/*/study.json"):
        with suppress(HistoBenchError):
            synthetic |= bool(resolved.load(file).datasets.get(kept.run.dataset, {}).get("synthetic"))
    notes = {
        "The model was trained on SYNTHETIC images.": synthetic,
        "It started from RANDOM weights.": kept.spec.model.weights == "random",
        "It is NARROWED to a share of its channels.": getattr(kept.spec.model, "width", 1) < 1,
    }
    return [note for note, holds in notes.items() if holds]


def hashes_of(dataset: Path) -> set[str]:
    """Return the pixel hashes of a dataset's images; none where its manifest is not there."""
    with suppress(HistoBenchError):
        return {image.sha256 for image in manifest.load(dataset / Path(paths.MANIFEST).name)}
    return set()


# ---- what is predicted ----


def images_in(folder: Path) -> list[Path]:
    """Return the image files in a folder and in those below it, by name; hidden ones are left out."""
    if not folder.is_dir():
        raise HistoBenchError(f"{folder}: there is no such folder of images; correct the path")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = sorted(path for path in files if not path.name.startswith("."))
    if not found:
        raise HistoBenchError(f"{folder}: holds no {FORMATS} image; give the folder that has the images")
    return found


def decoded(folder: Path, files: Sequence[Path], size: int) -> tuple[list[str], np.ndarray, list[str], list[str]]:
    """Return name, square (size, size, 3) and pixel hash of each image, and a sentence for each that cannot be read."""
    names, squares, hashes, faults = [], [], [], []
    for file in files:
        # Names of files on Linux may hold bytes that are no UTF-8.
        name = file.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
        try:
            whole = decode(file.read_bytes(), name)
        except OSError as error:
            faults.append(f"{name}: cannot be read ({error.strerror}); check its permissions")
        except HistoBenchError as error:
            faults.append(str(error))
        else:
            names.append(name)
            squares.append(squash(whole, size))
            hashes.append(pixel_sha256(whole))
    return names, np.array(squares), hashes, faults


def computed(
    kept: Sequence[KeptRun], pixels: np.ndarray, wanted: str, name: str
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Return the runs' mean logits (N,), their mean maps of the first images (M, h, w), and terms and sentences on these.

    M is 0 without maps.
    """
    import torch

    from histobench.models import heat_maps
    from histobench.training import device as devices
    from histobench.training import fit, kept_weights
    from histobench.training.data import Stored

    device = devices.choose(name, os.cpu_count() or 1)
    source = Stored(pixels[None], np.arange(len(pixels)), np.zeros(len(pixels), np.float32))
    images = torch.from_numpy(pixels[:ON_PAGE]).to(device)
    logits, maps, others, method, seconds = [], [], np.empty(0), "", [0.0, 0.0]
    for one in kept:
        module = kept_weights.load(one.spec, one.weights, one.trained, device, one.tokenizer)
        start = time.perf_counter()
        logits.append(fit.predict(module, source, device, heat_maps.AT_ONCE).double().numpy())
        seconds[0] += (time.perf_counter() - start) / len(pixels)
        if wanted == "none":
            continue
        start = time.perf_counter()
        with devices.autocast(device):
            method, found = heat_maps.maps(module, images, wanted)
            seconds[1] += (time.perf_counter() - start) / len(images)
            maps.append(found)
            if one == kept[-1]:
                heat_maps.shuffle_parameters(module)
                others = heat_maps.maps(module, images[:COMPARED], wanted)[1]
    mean = np.mean(logits, axis=0)
    took = f"On {devices.describe(device)}: {seconds[0]:.2g}\N{NO-BREAK SPACE}s per image for the prediction"
    if not maps:
        return mean, np.empty(0), [("Maps", f"None were made. {took}.")]
    last = logits[-1][: len(others)]
    agreement = rank_correlation(towards_call(maps[-1][: len(others)], last), towards_call(others, last))
    cost = f", {heat_maps.GRID**2} predictions of each image" if method == "occlusion" else ""
    check = (
        f"The maps of {len(others)} images were drawn a second time by a network that has learned nothing: the same one with its "
        f"parameters shuffled. The mean rank correlation of both is {agreement:.2f}. Near 0 or below, the bright places come from what "
        "was learned. Near 1, the maps are the same without anything learned, and must not be interpreted (Adebayo et al. 2018)."
        if np.isfinite(agreement)
        else "It cannot be made: in no map do places differ."
    )
    how = f"{heat_maps.SOURCES[method]}{cost}. {took}, {seconds[1]:.2g}\N{NO-BREAK SPACE}s for its map."
    return mean, np.mean(maps, axis=0), [("Maps", how), ("Check of the maps", check)]


if __name__ == "__main__":
    run_tool(main)
