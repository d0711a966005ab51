"""One lock: what conda, the container and the command line install is the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()


def locked(python: str = "3.11") -> dict[str, str]:
    """Return package -> version for one Python; the lock may hold one version below 3.12 and another from there on."""
    versions = {}
    for name, version, marker in re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)([^\\\n]*)", LOCK, re.MULTILINE):
        if "python_full_version >= '3.12'" not in marker:
            versions[name] = version
    return versions


def test_every_requirement_is_locked_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[=<>]", requirement)[0] for requirement in wanted}
    assert names <= locked().keys()
    for block in re.split(r"\n(?=[a-z0-9])", LOCK)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_names_no_server():
    assert "://" not in LOCK
    assert "index-url" not in LOCK
    assert "find-links" not in LOCK


@pytest.mark.parametrize("name", ["compute", "report"])
def test_conda_environments_pin_what_the_lock_pins(name):
    environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    pins = dict(item.split("==") for item in pip)
    assert pins
    assert pins == {package: locked()[package] for package in pins}


def test_the_container_installs_the_lock():
    text = (ROOT / "envs" / "Dockerfile").read_text()
    assert f"uv=={locked()['uv']}" in text
    assert "uv pip sync --system --no-cache /opt/histobench/requirements.lock" in text
