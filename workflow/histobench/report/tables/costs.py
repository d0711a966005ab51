"""What each arm of a study cost: time, memory and device, from the records of its runs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.study.runs import Run

COLUMNS = (
    *ARM,
    "runs",
    "trainable",
    "seconds",
    "training_seconds",
    "images_per_second",
    "host_mib",
    "device_mib",
    "device",
    "precision",
    "versions",
)


def read(record: Path) -> dict[str, Any]:
    """Return a run's record.

    Raises:
        HistoBenchError: it is missing or no record of a run.
    """
    try:
        found = json.loads(Path(record).read_text(encoding="utf-8"))
        return {key: found[key] for key in ("seconds", "parameters", "device", "precision", "versions")} | found
    except FileNotFoundError as error:
        raise HistoBenchError(f"{record}: no such file; run the workflow again to make it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HistoBenchError(
            f"{record}: this is no record of a run ({error}); delete it to have the run repeated"
        ) from error


def table(records: Iterable[tuple[Run, Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Return a row per arm, in the order of its first run.

    `seconds` and `training_seconds` (wall clock of the whole job, and of training alone) are summed over runs,
    `images_per_second` is averaged, memory (MiB) is the highest of any run. What runs of one arm do not share, devices for
    example, is joined with a semicolon.
    """
    arms: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for run, record in records:
        identity = asdict(run)
        arms.setdefault(tuple(identity[key] for key in ARM), []).append(record)
    rows = []
    for arm, runs in arms.items():
        speeds = [run["images_per_second"] for run in runs if run.get("images_per_second")]
        rows.append(
            dict(zip(ARM, arm, strict=True))
            | {
                "runs": len(runs),
                "trainable": "; ".join(dict.fromkeys(str(run["parameters"]["trainable"]) for run in runs)),
                "seconds": f"{sum(run['seconds']['total'] for run in runs):.1f}",
                "training_seconds": f"{sum(run['seconds']['training'] for run in runs):.1f}",
                "images_per_second": f"{sum(speeds) / len(speeds):.1f}" if speeds else "",
                "host_mib": _highest(runs, "host"),
                "device_mib": _highest(runs, "device"),
                "device": "; ".join(dict.fromkeys(run["device"] for run in runs)),
                "precision": "; ".join(dict.fromkeys(run["precision"] for run in runs)),
                "versions": "; ".join(dict.fromkeys(_versions(run["versions"]) for run in runs)),
            }
        )
    return rows


def _highest(runs: Iterable[Mapping[str, Any]], place: str) -> str:
    known = [run["peak_memory_mib"][place] for run in runs if run.get("peak_memory_mib", {}).get(place)]
    return f"{max(known):.0f}" if known else ""


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
