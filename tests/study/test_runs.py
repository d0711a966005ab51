"""When a run's results are up to date."""

import json

import pytest

from histobench.study.recipes import Recipe
from histobench.study.runs import is_up_to_date, record
from histobench.study.spec import CnnSettings, RunSpec


def specification(**recipe) -> RunSpec:
    model = CnnSettings(architecture="torchvision/alexnet")
    return RunSpec(model=model, recipe=Recipe(**recipe), augmentation=[], magnification=40, fold=1, seed=0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"specification": json.loads(specification().canonical())}))
    (tmp_path / "predictions.csv").touch()
    return tmp_path


def test_a_run_is_up_to_date_with_its_own_settings_alone(folder):
    assert is_up_to_date(folder, specification())
    assert not is_up_to_date(folder, specification(epochs=21))
    (folder / "predictions.csv").unlink()
    assert not is_up_to_date(folder, specification())


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_run_with_a_damaged_record_or_none_is_not(folder, content):
    (folder / "run.json").unlink() if content is None else (folder / "run.json").write_bytes(content)
    assert record(folder) == {}
    assert not is_up_to_date(folder, specification())
