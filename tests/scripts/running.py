"""Scripts run in this process, a dataset for them, and the tables that they write."""

import contextlib
import csv
import io
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from histobench.datasets import folds, manifest
from tests.forking import FORKS, print_to

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a script ended."""

    returncode: int
    stderr: str


def run(name: str, folder: Path, *arguments: object, **options: object) -> Ended:
    """Run a script in a folder; an option that is None is left out."""
    given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None]
    kept, sys.argv = sys.argv, [str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments), *given]
    status = 0
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.argv = kept
    return Ended(status, errors.getvalue())


def start(arguments: list[object], log: Path) -> multiprocessing.process.BaseProcess:
    """Start a script as a process of its own, whose output goes to a log."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    process = FORKS.Process(target=_become, args=([str(part) for part in arguments], log))
    process.start()
    return process


def _become(arguments: list[str], log: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run with these ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    multiprocessing.set_start_method("fork", force=True)  # of its own processes
    print_to(log)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def status(process: multiprocessing.process.BaseProcess) -> int:
    """Wait for the end of a process; return its exit status, or minus the signal."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def random_dataset(folder: Path, patients: int, magnifications: tuple[int, ...], each: int, count: int) -> list:
    """Write manifest.csv, patient.csv and pixels.npy of random images of 64 px, malignant ones redder; return the images.

    Args:
        folder: an empty one.
        patients: benign and malignant by turns.
        magnifications: of the images.
        each: images of a patient at each magnification.
        count: number of folds.
    """
    images = []
    for patient in range(patients):
        label, kind, subtype = (("benign", "B", "A"), ("malignant", "M", "DC"))[patient % 2]
        case = f"14-{1000 + patient}"
        for scale in magnifications:
            for number in range(each):
                name, sha256 = f"SOB_{kind}_{subtype}-{case}-{scale}-{number:03d}", f"{len(images):064x}"
                own = (name, label, subtype, case, case, case, scale, 700, 460, sha256, f"x/{name}.png")
                images.append(manifest.Image(*own))
    images = manifest.ordered(images)
    manifest.save(folder / "manifest.csv", images)
    names = sorted({image.patient for image in images})
    tested = {name: tuple(fold == index // 2 % count for fold in range(count)) for index, name in enumerate(names)}
    folds.save(folds.Folds("patient", tested), images, folder / "patient.csv")
    pixels = np.random.default_rng(0).integers(0, 200, (len(images), 64, 64, 3), dtype=np.uint8)
    pixels[[image.label == "malignant" for image in images], :, :, 0] += 40
    np.save(folder / "pixels.npy", pixels)
    return images
