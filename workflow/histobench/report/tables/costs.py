"""What each arm of a study cost: time, memory and device, from the records of its runs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_json
from histobench.study.runs import Run

READ = ("seconds", "parameters", "images_per_second", "device", "precision", "versions", "peak_memory_mib")
COLUMNS = (
    *(*ARM, "runs", "trainable", "seconds", "training_seconds", "feature_seconds", "images_per_second"),
    *("host_mib", "device_mib", "device", "precision", "versions"),
)


def read(record: Path) -> dict[str, Any]:
    """Return a run's record.

    Raises:
        HistoBenchError: it is missing or no record of a run.
    """
    found = read_json(record)
    if missing := [key for key in READ if key not in found]:
        raise HistoBenchError(
            f"{record}: this is no record of a run (it has no {missing[0]!r}); delete it to have the run repeated"
        )
    return found


def table(records: Iterable[tuple[Run, Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Return a row per arm, in the order of its first run.

    `seconds` and `training_seconds` (wall clock of the whole job, and of training alone) are summed over runs;
    `feature_seconds` are those of the embeddings or visual tokens that runs share, of each store once (seeds with stores of
    their own differ in them), empty if they are not known.
    `images_per_second` is averaged, memory (MiB) is the highest of any run. What runs of one arm do not share, devices for
    example, is joined with a semicolon.
    """
    arms: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for run, record in records:
        identity = asdict(run)
        arms.setdefault(tuple(identity[key] for key in ARM), []).append(record)
    rows = []
    for arm, runs in arms.items():
        speeds = [run["images_per_second"] for run in runs if run["images_per_second"]]
        features = [run["seconds"].get("features") for run in runs]
        row = dict(zip(ARM, arm, strict=True)) | {
            "runs": len(runs),
            "trainable": _listed(str(run["parameters"]["trainable"]) for run in runs),
            "seconds": f"{sum(run['seconds']['total'] for run in runs):.1f}",
            "training_seconds": f"{sum(run['seconds']['training'] for run in runs):.1f}",
            "feature_seconds": "" if None in features else f"{sum(set(features)):.1f}",
            "images_per_second": f"{sum(speeds) / len(speeds):.1f}" if speeds else "",
            "device": _listed(run["device"] for run in runs),
            "precision": _listed(run["precision"] for run in runs),
            "versions": _listed(", ".join(" ".join(item) for item in run["versions"].items()) for run in runs),
        }
        for place in ("host", "device"):
            known = [run["peak_memory_mib"].get(place) or 0 for run in runs]
            row[f"{place}_mib"] = f"{max(known):.0f}" if any(known) else ""
        rows.append(row)
    return rows


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
