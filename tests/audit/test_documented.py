"""The commands of docs/audit.md print what that page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"```sh run\n(.*?)```\s*```\n(.*?)```", (ROOT / "docs/audit.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=lambda text: text.split("\n")[-2].split(" -")[-1][:30])
def test_an_example_prints_what_is_shown(tmp_path: Path, command: str, shown: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "workflow"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    printed = " ".join(done.stdout.split())
    for part in shown.split("...\n"):  # which stands for lines that are left out
        assert " ".join(part.split()) in printed
    assert len(EXAMPLES) == 4
