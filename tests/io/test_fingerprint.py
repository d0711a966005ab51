"""What changes a fingerprint, and what must not."""

import importlib.util
import json
import os
import sys
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


def test_what_was_read_is_kept_beside_the_bytecode_and_never_trusted_for_another_source(project, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    read = []
    parse = module._read
    monkeypatch.setattr(module, "_read", lambda source: read.append(source) or parse(source))
    before = module.fingerprint(project / "script.py")
    assert len(read) == 4  # the script, two packages, and the module
    kept = importlib.util.cache_from_source(str(project / "script.py")).replace(".pyc", ".code.json")
    assert json.loads(Path(kept).read_text())["imports"] == ["histobench.study.used", "histobench.study.used.double"]

    def again() -> str:
        read.clear()
        module._normalised.cache_clear()
        return module.fingerprint(project / "script.py")

    assert again() == before
    assert not read
    for damaged in ("", "[]", '{"key": 1}', "{"):
        Path(kept).write_text(damaged)
        assert again() == before
        assert [SCRIPT.encode()] == read
    state = (project / "script.py").stat()
    (project / "script.py").write_text(SCRIPT.replace("2", "3"))
    os.utime(project / "script.py", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert again() != before
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (project / "script.py").write_text(SCRIPT)
    assert again() == again() == before
    assert [SCRIPT.encode()] == read
