import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_evaluation_claims_report_and_audit_never_import_torch() -> None:
    library = ROOT / "workflow" / "histobench"
    modules = [
        ".".join(path.relative_to(library.parent).with_suffix("").parts)
        for room in ("evaluation", "claims", "report", "audit")
        for path in sorted((library / room).rglob("*.py"))
        if path.name != "__main__.py"
    ]
    assert len(modules) >= 8
    # The tables are read at every demo: none of them waits for pandas or scikit-learn either.
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "for heavy in ('torch', 'pandas', 'sklearn'): assert heavy not in sys.modules, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=library.parent)
