"""The results of a run, kept until the workflow knows of them.

Snakemake deletes the outputs of a job that it did not see end, such as one that finished just before the power failed. A
copy of the few small files, beside them and no output itself, spares training again from the first epoch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from histobench.io.files import atomic_path
from histobench.study import paths

_FILE = Path(paths.FINISHED).name


def keep(identity: Mapping[str, str], outputs: Sequence[Path]) -> None:
    """Copy the texts of `outputs`, which stand in one folder, into one file beside them."""
    results = {path.name: path.read_text(encoding="utf-8") for path in outputs}
    with atomic_path(outputs[0].with_name(_FILE)) as temporary:
        temporary.write_text(json.dumps({"identity": dict(identity), "results": results}), encoding="utf-8")


def restore(identity: Mapping[str, str], outputs: Sequence[Path]) -> bool:
    """Write `outputs` again if :func:`keep` has kept them for a run of this identity; tell whether it has."""
    try:
        kept = json.loads(outputs[0].with_name(_FILE).read_text(encoding="utf-8"))
        texts = [str(kept["results"][path.name]) for path in outputs] if kept["identity"] == dict(identity) else []
    except (OSError, ValueError, KeyError, TypeError):
        return False
    for path, text in zip(outputs, texts, strict=False):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return bool(texts)
