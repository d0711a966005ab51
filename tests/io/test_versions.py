"""Installed versions against the bounds of a pyproject.toml."""

from importlib.metadata import version

import pytest

from histobench.io import versions


@pytest.fixture
def pyproject(tmp_path):
    def write(*dependencies: str):
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[project]\ndependencies = {list(dependencies)!r}\n")
        return path

    return write


def test_a_library_below_its_bound_is_one_warning(pyproject, capsys):
    path = pyproject("numpy>=9999", "pandas>=0.1", "not-a-library>=1", "scipy")
    versions.warn_of_versions(path)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: numpy {version('numpy')} is installed, but HistoBench needs numpy>=9999; ")
    assert "requirements.lock" in warning
    assert versions.missing(path) == ["not-a-library"]


def test_a_pinned_library_must_be_that_version(pyproject):
    assert versions.wrong_versions(pyproject(f"numpy=={version('numpy')}")) == []
    assert len(versions.wrong_versions(pyproject("numpy==0.1"))) == 1


def test_other_platforms_and_absent_files_ask_for_nothing(pyproject, tmp_path):
    assert versions.requirements(pyproject("numpy>=9999; sys_platform == 'none'")) == []
    assert versions.wrong_versions(tmp_path / "absent.toml") == []


def test_this_environment_has_what_the_project_asks_for():
    assert versions.wrong_versions() == []
    assert versions.missing() == []
