"""Measure and print: `python -m benchmarks [PART ...] [--images FOLDER] [--cold]`."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import ROOT, cores

PARTS = {
    "pixels": "Into the pixel store",
    "feeding": "Batches of images, augmented or stored",
    "training": "Training ResNet34",
    "vlm": "Vision-language models",
    "gpu": "Every arm at true size on a CUDA GPU, and the time of the paper's runs",
    "findings": "From predictions to the page",
    "statistics": "Statistics of a simulated study, and how often tests reject",
    "seeds": "Variance of seed, fold and group, and intervals with training variance",
    "demo": "`make demo`, from nothing to the page",
    "soak": "The demo, killed again and again",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default")
    data = os.environ.get("HISTOBENCH_SHARED_DATA", "")
    parser.add_argument("--images", default=data, help="folder that holds breakhis-originals; HISTOBENCH_SHARED_DATA")
    parser.add_argument("--cold", action="store_true", help="run the demo also without the launcher")
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no part {min(unknown)}; choose from {', '.join(PARTS)}")
    originals = Path(given.images).resolve() / "breakhis-originals" if given.images else None
    if originals and not originals.is_dir():
        parser.error(f"{originals}: no such folder; HISTOBENCH_SHARED_DATA or --images must name the one that holds it")

    os.environ["TQDM_DISABLE"] = "1"  # no progress bar of `fit` between the lines of the report
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # of several GPUs the Trainer would use all
    os.environ["PYTHONPATH"] = str(ROOT / "workflow")
    sys.path.insert(0, os.environ["PYTHONPATH"])
    began = time.perf_counter()
    print(f"HistoBench on this machine\n\n{machine()}")
    with tempfile.TemporaryDirectory(prefix="histobench-bench-") as folder:
        for part in given.parts or PARTS:
            print(f"\n{PARTS[part]}\n{'-' * len(PARTS[part])}", flush=True)
            place = Path(folder, part)
            place.mkdir()
            importlib.import_module(f"benchmarks.{part}").run(place, originals, given.cold)
    print(f"\nMeasured in {(time.perf_counter() - began) / 60:.1f} minutes; temporary files are removed.")


def machine() -> str:
    """Return what the figures depend on, as lines."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("torch", "torchvision", "transformers", "peft", "pillow", "snakemake")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return "\n".join(
        (
            f"  processor  {names[0] if names else platform.processor()}, {cores()} cores, {platform.system()}",
            f"  memory     {memory:.0f} GiB",
            f"  load       {os.getloadavg()[0]:.1f} processes in the last minute (the figures want a quiet machine)",
            f"  software   Python {platform.python_version()}, {', '.join(versions)}",
        )
    )


if __name__ == "__main__":
    main()
