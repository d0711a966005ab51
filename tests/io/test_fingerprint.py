"""What changes a fingerprint, and what must not."""

from pathlib import Path

import pytest

from histobench.io import fingerprint as module

SCRIPT = "from histobench.study.used import double\n\nprint(double(2))\n"
USED = '"""Docs."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x  # twice\n'


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    package = tmp_path / "histobench" / "study"
    package.mkdir(parents=True)
    (tmp_path / "histobench" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text(USED)
    (package / "unused.py").write_text("x = 1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(module, "LIBRARY", tmp_path)
    module._normalised.cache_clear()
    yield tmp_path
    module._normalised.cache_clear()


def changed_by(project: Path, file: str, text: str) -> bool:
    before = module.fingerprint(project / "script.py")
    (project / file).write_text(text)
    module._normalised.cache_clear()
    return module.fingerprint(project / "script.py") != before


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("histobench/study/used.py", USED.replace("# twice", "# another comment"), False),
        ("histobench/study/used.py", USED.replace("Twice.", "Two times.").replace("Docs", "More docs"), False),
        ("histobench/study/used.py", USED.replace("2 * x", "2  *  x"), False),
        ("histobench/study/used.py", USED.replace("2 * x", "3 * x"), True),
        ("histobench/study/unused.py", "x = 2\n", False),
        ("script.py", SCRIPT.replace("double(2)", "double(3)"), True),
        ("script.py", "# why\n" + SCRIPT, False),
    ],
)
def test_only_code_that_the_script_runs_counts(project, file, text, changes):
    assert changed_by(project, file, text) is changes


def test_imports_inside_functions_and_of_whole_modules_count(project):
    (project / "script.py").write_text("def main():\n    from histobench.study import used\n    used.double(1)\n")
    module._normalised.cache_clear()
    assert changed_by(project, "histobench/study/used.py", USED.replace("2 * x", "x + x"))


def test_indirect_imports_count(project):
    (project / "histobench/study/used.py").write_text("import histobench.study.unused\n" + USED)
    module._normalised.cache_clear()
    assert changed_by(project, "histobench/study/unused.py", "x = 3\n")


def test_data_files_beside_a_module_count(project):
    (project / "histobench/study/used.py").write_text(USED + 'TABLE = "table.csv"\n')
    (project / "histobench/study/table.csv").write_text("a\n1\n")
    module._normalised.cache_clear()
    assert changed_by(project, "histobench/study/table.csv", "a\n2\n")
