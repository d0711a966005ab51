"""Speed and memory of HistoBench on this machine: measured and printed, never asserted. See `__main__`."""

import os
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def paper_augmentation() -> list[Any]:
    """Return the transforms of the augmentation `paper` in config/config.yaml."""
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["augmentations"]["paper"]


def say(text: str = "") -> None:
    """Print lines of the report, indented, at once."""
    for line in text.split("\n"):
        print(f"  {line}".rstrip(), flush=True)
