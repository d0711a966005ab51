"""A fingerprint of the code that a script really runs: what it imports from this project, comments left out.

The workflow passes it to each job as a parameter, so that a change of code re-runs the steps that use it, while a
comment, a docstring, other line ends, another Python or a change elsewhere in the library re-runs nothing.
"""

import ast
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PACKAGE = "histobench"
LIBRARY = Path(__file__).parents[2]
DATA = (".csv", ".json", ".html", ".css", ".js")


def fingerprint(script: Path, without: Sequence[str] = (), also: Sequence[str] = ()) -> str:
    """Return 16 hex digits that change when the code of `script`, or of any project module it imports, changes.

    A data file counts if it is beside a module that names it.

    Args:
        script: the file that runs.
        without: modules that it can import but, for the job in question, does not; what only they import is out too.
        also: modules that the job imports by a name which the source does not show.
    """
    digest = hashlib.sha256()
    for path in sorted(imported_files(script, without, also), key=lambda path: (path != script, path)):
        digest.update(_normalised(path)[0].encode())
        for data in _normalised(path)[2]:
            digest.update(data.read_text(encoding="utf-8").encode())
    return digest.hexdigest()[:16]


def imported_files(script: Path, without: Sequence[str] = (), also: Sequence[str] = ()) -> set[Path]:
    """Return `script` and every project file that it imports, directly or through another, also inside functions."""
    left_out = {_files_of(module)[-1] for module in without}
    found, pending = set(), [script, *(file for module in also for file in _files_of(module))]
    while pending:
        path = pending.pop()
        if path not in found and path not in left_out:
            found.add(path)
            pending.extend(_normalised(path)[1])
    return found


@cache
def _normalised(path: Path) -> tuple[str, frozenset[Path], tuple[Path, ...]]:
    """Return the code without comments, docstrings and layout, the project files it imports, and its data files."""
    imports: set[str] = set()
    constants: set[str] = set()
    text = _text(ast.parse(path.read_bytes()), imports, constants)
    files = frozenset(file for name in imports for file in _files_of(name))
    data = (path.parent / value for value in constants if value.endswith(DATA))
    return text, files, tuple(sorted(filter(Path.is_file, data)))


def _text(node: object, imports: set[str], constants: set[str]) -> str:
    """Return a syntax tree as a text that is the same under every Python: `ast.unparse` and `ast.dump` change.

    Fields that are empty are left out, since later versions have more of them. How the text of f-strings is cut differs, too.
    The names of imported modules and the constant texts are added to the two sets.
    """
    kind = type(node)
    if kind is list:
        return f"[{','.join([_text(item, imports, constants) for item in node])}]"  # type: ignore[attr-defined]
    if not isinstance(node, ast.AST):
        return ascii(node)  # which characters `repr` shows depends on the version of Unicode
    if isinstance(node, ast.Import):
        imports.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        imports.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        constants.add(node.value)
    elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        # A bare string at any place of a body documents; it never acts.
        node.body = [item for item in node.body if not _documents(item)] or [ast.Pass()]
    elif isinstance(node, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else f"\0{_text(part, imports, constants)}\0"
            for part in node.values
        ]
        return f"JoinedStr({''.join(map(str, parts))!a})"
    given = [
        f"{name}={_text(value, imports, constants)}"
        for name in _fields(kind)
        if (value := getattr(node, name, None)) is not None and value != []
    ]
    return f"{kind.__name__}({','.join(given)})"


@cache
def _fields(kind: type[ast.AST]) -> list[str]:
    return sorted({*kind._fields} - {"ctx", "kind"})


def _documents(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@cache
def _files_of(module: str) -> list[Path]:
    """Return the files that importing `module` runs, its parent packages' among them; none if it is not ours."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return []
    candidates = [LIBRARY.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [path for path in [*candidates, LIBRARY.joinpath(*parts).with_suffix(".py")] if path.is_file()]
