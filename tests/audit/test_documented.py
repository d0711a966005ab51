"""The commands of docs/audit.md print what that page says."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
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


def test_the_packages_that_are_named_are_enough(tmp_path: Path) -> None:
    page = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    named = re.findall(r"^pip install (.*)$", page, re.MULTILINE)[0].split()
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed = {re.split(r"[>=]", text)[0] for text in tomllib.load(file)["project"]["dependencies"]}
    assert set(named) <= needed
    others = needed - {*named, "pillow"}  # which matplotlib needs
    modules = [name for name, owners in packages_distributions().items() if {one.lower() for one in owners} & others]
    assert {"torch", "pandas", "sklearn", "snakemake"} <= set(modules)
    (tmp_path / "t.csv").write_text("model,accuracy,precision,recall\nA,0.95,0.9,0.9\n")
    (tmp_path / "p.csv").write_text("image,score\nSOB_B_A-14-22549AB-40-001,0.2\nSOB_M_DC-14-2523-40-010,0.9\n")
    code = f"import sys; sys.modules |= dict.fromkeys({modules!r}); "
    code += "sys.argv = ['audit', '--split', 'official', '--predictions', 'p.csv', '--table', 't.csv']\n"
    code += "import runpy; runpy.run_module('histobench.audit', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
