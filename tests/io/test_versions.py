"""Installed versions against the bounds of a pyproject.toml."""

from importlib.metadata import version

import pytest

from histobench.io import versions
from histobench.io.errors import HistoBenchError


@pytest.fixture
def pyproject(tmp_path):
    def write(*dependencies: str):
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[project]\ndependencies = {list(dependencies)!r}\n")
        return path

    return write


def test_a_library_below_its_bound_is_one_sentence(pyproject):
    path = pyproject("numpy>=9999", "pandas>=0.1", "not-a-library>=1", "scipy")
    with pytest.raises(HistoBenchError) as caught:
        versions.check_versions(path)
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith(f"numpy {version('numpy')} is installed, but HistoBench needs numpy>=9999; ")
    assert "requirements.lock" in sentence
    assert versions.missing(path) == ["not-a-library"]


def test_a_pinned_library_must_be_that_version(pyproject):
    assert versions.wrong_versions(pyproject(f"numpy=={version('numpy')}")) == []
    assert len(versions.wrong_versions(pyproject("numpy==0.1"))) == 1


def test_other_platforms_and_absent_files_ask_for_nothing(pyproject, tmp_path):
    assert versions.requirements(pyproject("numpy>=9999; sys_platform == 'none'")) == []
    versions.check_versions(tmp_path / "absent.toml")


def test_this_environment_has_what_the_project_asks_for():
    versions.check_versions()
    assert versions.missing() == []
