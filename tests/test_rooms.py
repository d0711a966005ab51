"""The rooms of the library and the arrows between them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "workflow" / "histobench"
ROOMS = (
    "io",
    "study",
    "fetch",
    "datasets",
    "models",
    "training",
    "metrics",
    "evaluation",
    "claims",
    "report",
    "audit",
    "tools",
)
"""Imports point only to rooms further up this list."""
WITHOUT_TORCH = ("evaluation", "claims", "report", "audit")


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_only_to_rooms_further_up(room):
    for path in (path for path in LIBRARY.rglob("*.py") if room_of(path) == room):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] if node.module != "histobench" else [f"histobench.{a.name}" for a in node.names]
            rooms = {name.split(".")[1] for name in names if name.startswith("histobench.")}
            further_down = rooms - set(ROOMS[: ROOMS.index(room) + 1])
            assert not further_down, f"{path.name} imports {further_down}"


def test_no_two_files_have_the_same_name():
    names = [path.name for path in LIBRARY.rglob("*.py") if path.name != "__init__.py"]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("study.config study.paths io.fingerprint", {"torch", "numpy", "pandas", "cv2", "albumentations"}),
        ("datasets.manifest datasets.folds", {"torch", "pandas", "sklearn", "scipy", "albumentations"}),
        ("training.gpu_lease launcher", {"torch", "numpy", "pydantic"}),
        ("training.fit", {"torchvision", "timm", "pandas", "sklearn", "scipy", "albumentations"}),
        ("training.fit models.linear_head metrics datasets.folds", {"transformers", "peft", "torchvision"}),
        (
            "models.vlm models.families.smolvlm2 models.families.qwen2_5_vl models.families.qwen3_vl",
            {"transformers", "peft", "torchvision"},
        ),
    ],
)
def test_what_every_job_loads_stays_light(modules, heavy):
    code = "import sys; " + "; ".join(f"import histobench.{module}" for module in modules.split())
    code += "; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not heavy & set(loaded.stdout.split())
