"""The papers whose claims can be checked: the folders of resources/papers that hold a claims.yaml."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "resources" / "papers"
PAPER = "zhaksylyk-2026"
"""The paper that the default study reproduces: the only one that studies are compared with (:mod:`histobench.study.paper`)."""


def ledgers() -> list[str]:
    """Return the names of the papers, in order."""
    return sorted(path.parent.name for path in FOLDER.glob("*/claims.yaml"))
