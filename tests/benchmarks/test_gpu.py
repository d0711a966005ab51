"""The measurement of a GPU, tried on the CPU with the demo's tiny models: it must not fail on the day a GPU is at hand."""

import csv
import shutil
from functools import partialmethod

import pytest
import torch
import yaml
from torch import nn

from benchmarks import ROOT, gpu
from benchmarks.vlm import entry
from histobench.study.model_settings import CnnEntry
from histobench.study.spec import CnnSettings
from histobench.tools import plan

TINY = {
    "torchvision/alexnet": "alexnet-narrow",
    "torchvision/vgg19": "vgg19-narrow",
    "torchvision/resnet34": "resnet34-narrow",
    "Qwen/Qwen2-VL-2B-Instruct": "qwen2-vl-tiny",
    "HuggingFaceTB/SmolVLM-Instruct": "smolvlm-tiny",
}
SIZES = gpu.Sizes(8, 4, 8, 1, 4, 1, (4, 2), (1,), 1e9, 0)
MODES = {
    "torchvision": {("training", ""), ("evaluation", ""), ("augmented", "")},
    "vlm": {("tokens", ""), ("evaluation", ""), ("head", "")}
    | {(kind, size) for kind in ("lora", "lora live") for size in "42"},
}


def tiny_models():
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())["models"]
    return {
        name: CnnEntry(**demo[own]).settings if name.startswith("torchvision") else entry(own, "demo.yaml")
        for name, own in TINY.items()
    }


@pytest.fixture
def rates_csv(tmp_path, monkeypatch):
    path = tmp_path / "rates.csv"
    shutil.copy(plan.RATES, path)
    monkeypatch.setattr(plan, "RATES", path)
    monkeypatch.chdir(tmp_path)  # where no run is finished
    yield path
    plan.forget_rates()


def test_every_part_is_measured_and_the_study_estimated(tmp_path, rates_csv, capsys, monkeypatch):
    measured = gpu.Measurement(torch.device("cpu"), tiny_models(), SIZES, tmp_path)
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    measured.all()
    output = capsys.readouterr().out
    assert not measured.failed, output
    assert not measured.skipped
    starts = [line for line in output.splitlines() if "start of a cold job" in line]
    for line in starts:  # all three are numbers: nothing kept the launcher from being used
        cold, first, second = map(float, line.partition("(s)")[2].split())
        assert 0 < max(first, second) < cold
    assert len(starts) == 2
    before = rates_csv.read_text().splitlines()
    for _ in range(2):  # the second time its own rows are there
        gpu.write_rates(rates_csv, "Small, GPU", measured.rates)
    after = rates_csv.read_text().splitlines()
    assert after[: len(before)] == before
    rows = list(csv.reader(after[len(before) :]))
    for name in TINY:
        kind = "torchvision" if name.startswith("torchvision") else "vlm"
        own = [row for row in rows if row[1] == name]
        assert {(mode, size) for _, _, mode, size, _ in own} == MODES[kind]
        assert len(own) == len(MODES[kind])
    assert all(row[0] == "Small, GPU" and float(row[4]) > 0 for row in rows)

    paper, everything = gpu.estimate(gpu.study(), "Small, GPU").splitlines()
    assert paper.startswith("The paper's 280 runs")
    assert everything.startswith("All 340 runs")
    assert "no rate" not in paper + everything


def test_rates_that_were_not_measured_again_stay(rates_csv):
    before = rates_csv.read_text().splitlines()
    (own,) = (row for row in before if row.startswith("NVIDIA H200,torchvision/alexnet,training,,"))
    gpu.write_rates(rates_csv, "NVIDIA H200", {("torchvision/alexnet", "training", 0): 9999.4})
    after = rates_csv.read_text().splitlines()
    assert after[-1] == "NVIDIA H200,torchvision/alexnet,training,,9999"
    assert after[:-1] == [row for row in before if row != own]


def test_the_estimate_is_the_arithmetic_of_the_rates(rates_csv):
    """With 100 images per second for everything: passes by BreakHis's numbers of images, 20 epochs and 5 folds."""
    names = {name: ("training", "augmented", "evaluation") for name in TINY if name.startswith("torchvision")}
    names |= {name: ("tokens", "evaluation", "head") for name in TINY if name not in names}
    rates = {(name, mode, 0): 100.0 for name, modes in names.items() for mode in modes}
    rates |= {(name, "lora", 16): 100.0 for name in TINY if "torchvision" not in name}
    gpu.write_rates(rates_csv, "Hundred", rates)
    line = gpu.estimate(gpu.study(), "Hundred").splitlines()[0]
    images = 1995 + 2081 + 2013 + 1820
    training = 20 * 5 * images * 14 / 100 / 3600  # seven arms, with and without augmentation
    # What runs share comes on top: tokens, embeddings, and predictions on BACH.
    found = float(line.partition("share: ")[2].partition(" h")[0])
    assert training < found < 1.5 * training


def test_the_models_are_those_of_the_study_at_true_size():
    found = gpu.models(gpu.study())
    assert found.keys() == TINY.keys()
    assert all(own.weights == "random" and own.image_size == 336 for own in found.values())
    assert all(own.width == 1 for own in found.values() if isinstance(own, CnnSettings))


def test_a_part_that_fails_is_named_and_time_is_kept(tmp_path, capsys):
    measured = gpu.Measurement(torch.device("cpu"), {}, gpu.Sizes(seconds=100, reserve=20), tmp_path)
    measured.part("one", lambda: 1 / 0)
    measured.part("two", lambda: "5")
    measured.began -= 81
    measured.part("three", lambda: "6")
    assert measured.failed == ["one"]
    assert measured.skipped == ["three"]
    one, two = capsys.readouterr().out.splitlines()
    assert one.split() == ["one", "FAILED:", "ZeroDivisionError:", "division", "by", "zero"]
    assert two.split() == ["two", "5"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which would be measured")
def test_without_a_gpu_one_sentence_is_printed(tmp_path, capsys):
    gpu.run(tmp_path, None, False)
    assert capsys.readouterr().out == "  There is no CUDA GPU on this machine, and nothing is measured.\n"
