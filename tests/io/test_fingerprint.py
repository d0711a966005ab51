"""What changes a fingerprint, and what must not."""

from pathlib import Path

import pytest

from histobench.io import fingerprint as module

SCRIPT = "from histobench.study.used import double\n\nprint(double(2))\n"
USED = '"""Docs."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x  # twice\n'


def forget() -> None:
    module._normalised.cache_clear()
    module._files_of.cache_clear()


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
    forget()
    yield tmp_path
    forget()


def changed_by(project: Path, file: str, text: str) -> bool:
    before = module.fingerprint(project / "script.py")
    (project / file).write_text(text, newline="")
    forget()
    return module.fingerprint(project / "script.py") != before


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("histobench/study/used.py", USED.replace("\n", "\r\n"), False),
        ("script.py", SCRIPT.replace("\n", "\r\n"), False),
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
    forget()
    assert changed_by(project, "histobench/study/used.py", USED.replace("2 * x", "x + x"))


def test_indirect_imports_count(project):
    (project / "histobench/study/used.py").write_text("import histobench.study.unused\n" + USED)
    forget()
    assert changed_by(project, "histobench/study/unused.py", "x = 3\n")


def test_data_files_beside_a_module_count(project):
    (project / "histobench/study/used.py").write_text(USED + 'TABLE = "table.csv"\n')
    (project / "histobench/study/table.csv").write_text("a\n1\n")
    forget()
    assert not changed_by(project, "histobench/study/table.csv", "a\r\n1\r\n")
    assert changed_by(project, "histobench/study/table.csv", "a\n2\n")


SOURCES = {
    """x = f'{a["b"]!r:>{w}}' "c" f"{{}}{a = :%H\\n}" '' u'\u00e9'; y = rb'\\d'\n""": "54f78e03252bf9fa",
    "@d(1, *a, **b)\nasync def f(a, /, b: int = 2, *, c=None) -> None:\n    'Docs.'\n    return [i async for i in (y := a)]\n": "60b913c8a2132ae4",
    "match p:\n    case [-2, {'a': b, **r}, P(x=0) | None, *_] if q:\n        x[1:, ::3, *a] = 1_000, 0x10, 1j, ...\n": "0d84328289dd3547",
    "class A(B, m=C):\n    'Docs.'\n\n\ntry:\n    pass\nexcept* E as e:\n    raise X from e\n": "8a7d52caca5a4d86",
    "with (open(a) as b, c):\n    lambda *, k: (yield)\n": "81233c4877850316",
}
"""Sources, and the fingerprints that CPython 3.11, 3.12, 3.13 and 3.14 all give them."""


@pytest.mark.parametrize("source", SOURCES)
def test_every_python_gives_the_same_fingerprint(tmp_path, source):
    (tmp_path / "script.py").write_text(source, encoding="utf-8")
    forget()
    assert module.fingerprint(tmp_path / "script.py") == SOURCES[source]
