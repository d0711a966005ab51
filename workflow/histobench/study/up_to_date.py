"""Whether a run's results stand."""

import json
from pathlib import Path, PurePosixPath

from histobench.study import paths
from histobench.study.spec import RunSpec

RECORD, PREDICTIONS = (PurePosixPath(pattern).name for pattern in (paths.RECORD, paths.PREDICTIONS))


def is_up_to_date(folder: Path, specification: RunSpec) -> bool:
    """Tell whether a run's results are in `folder` and were made with these settings.

    It says nothing of changed data or code, which Snakemake sees.
    """
    recorded = record(folder)
    return (
        recorded.get("specification") == specification.model_dump(mode="json") and (Path(folder) / PREDICTIONS).exists()
    )


def record(folder: Path) -> dict:
    """Return what a run's run.json says; nothing where there is none, or it cannot be read."""
    try:
        content = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
