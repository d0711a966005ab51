"""The rooms of the library and the arrows between them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "workflow" / "histobench"
MAY_IMPORT = {
    "study": {"study"},
    "datasets": {"study", "datasets"},
    "models": {"study", "datasets", "models"},
    "training": {"study", "datasets", "models", "training"},
    "evaluation": {"study", "evaluation"},
    "reporting": {"study", "evaluation", "reporting"},
    "tools": {"study", "datasets", "models", "training", "evaluation", "reporting", "tools"},
}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_only_point_back(room):
    files = list((LIBRARY / room).rglob("*.py"))
    assert len(files) > 1
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] if node.module != "histobench" else [f"histobench.{a.name}" for a in node.names]
            rooms = {name.split(".")[1] for name in names if name.startswith("histobench.")}
            assert rooms <= MAY_IMPORT[room], f"{path.name} imports {rooms - MAY_IMPORT[room]}"


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("study.config study.paths study.fingerprint", {"torch", "numpy", "pandas", "cv2", "albumentations"}),
        ("datasets.manifest datasets.folds", {"torch", "pandas", "sklearn", "scipy", "albumentations"}),
        ("training.gpus training.lease", {"torch", "numpy", "pydantic"}),
        ("training.fit", {"torchvision", "timm", "pandas", "sklearn", "scipy", "albumentations"}),
        ("training.fit training.probe training.monitor datasets.folds", {"transformers", "peft", "torchvision"}),
        ("models.vlm models.families.smolvlm models.families.qwen2_vl", {"transformers", "peft", "torchvision"}),
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
