"""Which version of the project's code this is, as git knows it."""

import subprocess
from pathlib import Path


def commit(root: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout at `root` and whether its tracked files are as committed.

    Nothing where git knows none; a repository around the project is not the project's.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None, None
        return git("rev-parse", "HEAD"), not git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None, None
