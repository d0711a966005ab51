"""Rates: measured before the model's, the model's before assumed ones."""

import json
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.tools import rates
from histobench.tools.arms import cost
from histobench.tools.estimate import Estimate
from histobench.tools.rates import Device, Rates, measured, named, present, view_seconds
from histobench.tools.studies import study


def probe(**changes) -> dict:
    gpus = [{"name": "NVIDIA H100 80GB HBM3", "memory": 8e10, "free": 7e10}] * 2
    reaches = {"cuda": {"name": "NVIDIA H100 80GB HBM3", "precision": "bf16", "rate": 7e14}}
    return {"torch": "2.15", "cuda_build": "13.2", "gpus": gpus, "kind": "cuda", "reaches": reaches} | changes


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("H200", 989e12),
        ("h200", 989e12),
        ("NVIDIA H200 NVL", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla V100-SXM2-16GB", 15.7e12),
        ("Tesla T4", 8.1e12),
    ],
)
def test_gpus_are_known_by_any_of_their_names(name, peak):
    assert named(name).reaches == peak


@pytest.mark.parametrize("name", ["", "H2", "A1000", "GTX 1080", "RTX 4090x"])
def test_an_unknown_gpu_is_one_sentence(name):
    with pytest.raises(HistoBenchError, match="its speed is not known here; name one of"):
        named(name)


def test_the_device_is_the_configurations():
    assert present(probe()).count == 2
    assert present(probe(), "cuda:1").count == 1
    assert (present(probe()).reaches, present(probe()).kind) == (7e14, "cuda")
    assert (
        present(probe(reaches={})).reaches == 989e12
    )  # a GPU that is full cannot be measured; its data sheet can be read
    assert present(probe(), "cpu").reaches == 0
    assert present({"error": "no torch"}) == Device("", "cpu")


def record(run, device: str, speed: float, **changes) -> None:
    """Write a run.json of a run, whatever else the run left."""
    config = study()
    specification = config.specification(run.model, run.mode, run.magnification, run.augmentation, run.fold)
    content = json.loads(specification.canonical()) | changes
    folder = Path(run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(
        json.dumps({"specification": content, "device": device, "images_per_second": speed})
    )


def of(config, model: str, augmentation: str = "none", mode: str = "ft") -> list:
    return [run for run in config.runs if (run.model, run.augmentation, run.mode) == (model, augmentation, mode)]


def test_rates_are_measured_on_the_same_device_with_the_same_model(folder):
    config = study()
    plain, augmented = of(config, "resnet34"), of(config, "resnet34", "paper")
    for run, speed in zip(plain, (100, 300, 200), strict=False):
        record(run, "NVIDIA H200", speed)
    record(augmented[0], "NVIDIA H200", 50)
    record(of(config, "alexnet")[0], "cpu (EPYC, 2 cores)", 7)  # another device
    wider = json.loads(config.models["alexnet"].settings.model_copy(update={"image_size": 512}).model_dump_json())
    record(of(config, "alexnet")[1], "NVIDIA H200", 9, model=wider)  # another model of that name
    (Path(of(config, "alexnet")[2].folder)).mkdir(parents=True)
    (Path(of(config, "alexnet")[2].folder) / "run.json").write_text("{}")
    each = cost(config, "resnet34", "ft").training
    for device in (Device("NVIDIA H200", "cuda", reaches=1.0), named("H200")):
        assert measured(config, device) == {
            ("resnet34", "ft", False): pytest.approx(200 * each),
            ("resnet34", "ft", True): pytest.approx(50 * each),
        }
    assert set(measured(config, Device("cpu (EPYC, 2 cores)", "cpu"))) == {("alexnet", "ft", False)}
    rate = rates.rates(config, named("H200"))
    jobs = {job.run: job for job in Estimate(config).training}
    assert rate.of(jobs[plain[5]]) == (pytest.approx(200 * each), "measured")
    assert rate.seconds(jobs[augmented[5]]) == pytest.approx(jobs[augmented[5]].operations / (50 * each))
    predicting = next(job for job in Estimate(config).shared if job.kind == "predict" and job.model == "resnet34")
    assert rate.of(predicting) == (pytest.approx(125 * each), "model")
    assert rate.of(jobs[of(config, "vgg19")[0]]) == (pytest.approx(0.2 * 989e12), "assumed")


def test_assumed_rates_and_the_processors_that_augment(folder):
    config = study()
    rate = Rates(config, Device("x", "cuda", reaches=1e15, cores=2), {})
    jobs = {job.run: job for job in Estimate(config).training}
    plain, augmented = (jobs[of(config, "alexnet", name)[0]] for name in ("none", "paper"))
    assert rate.seconds(plain) == pytest.approx(plain.operations / 2e14)
    assert rate.seconds(augmented) == pytest.approx(20 * 1596 * view_seconds(336) / 2)  # slower than the arithmetic
    lora = jobs[of(config, "smolvlm", "paper")[0]]
    assert rate.seconds(lora) == pytest.approx(lora.operations / 2.5e14)  # its views are in its tokens
    head = jobs[of(config, "smolvlm", "none", "lp")[0]]
    # As slow as its steps, not as its arithmetic: 20 epochs of 1,596 images forward and back, and 399 forward.
    assert rate.seconds(head) == pytest.approx(20 * (1596 + 399 / 2) / rates.HEAD_PASSES)
    unknown = Rates(config, Device("", "cpu"), {})
    assert (unknown.seconds(plain), unknown.of(plain)[1]) == (None, "unknown")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise ImportError('libcudart.so.13: cannot open shared object file')", "cannot open shared object file"),
        ("import os; os._exit(3)", "status 3"),
        ("import time; time.sleep(60)", "did not answer within"),
    ],
)
def test_a_pytorch_that_fails_is_a_sentence(tmp_path, monkeypatch, body, error):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(body)
    library = Path(rates.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{library}:{tmp_path}")
    found = rates.probed(limit=5)
    assert set(found) == {"error"}
    assert error in found["error"]


def test_this_machines_own_pytorch_is_measured(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(rates.__file__).parents[2]))
    found = rates.probed()
    assert found["reaches"][found["kind"]]["rate"] > 1e8
    assert present(found).reaches > 1e8
