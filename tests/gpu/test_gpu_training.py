"""Training on a GPU: precision, repetition, interruption, and too little memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks import ROOT
from benchmarks.vlm import entry
from histobench.io.errors import Interrupted
from histobench.models import cnn, vlm
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training import data, fit, gpu_lease
from histobench.training import device as devices
from histobench.training.checkpoint import Checkpoint
from histobench.training.microbatch import FoundSize, MicroBatch

COUNT, SIDE = 48, 64
LABELS = (np.arange(COUNT) % 3 == 0).astype(np.float32)
NARROW = CnnSettings(architecture="torchvision/resnet18", weights="random", width=0.125, image_size=SIDE)
BF16 = 2.0**-8
"""Rounding of a bf16 number, relative."""
ORDER = 1e-3
"""Bound of what sums in another order and the few steps after them change in a logit, in fp32."""


@pytest.fixture(autouse=True)
def exact():
    """Let equal work give equal numbers, in true fp32 where it is not bf16."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = True, False
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = before


def pixels():
    """Images of which the malignant ones are redder."""
    array = np.random.default_rng(0).integers(0, 200, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    array[..., 0] += (LABELS[:, None, None] * 40).astype(np.uint8)
    return array


def train(folder, module, device, array=None, epochs=2, name="a", **given):
    source = data.Stored((pixels() if array is None else array)[None], np.arange(COUNT), LABELS)
    recipe, checkpoint = Recipe(epochs=epochs, batch_size=16), Checkpoint(folder / f"{name}.pt", {})
    return fit.fit(module, source, source, lambda _: {"accuracy": 0}, recipe, 0, device, checkpoint, **given)


LORA = Lora()


def small_vlm(name, device, parts=vlm.WHOLE, lora=LORA):
    """A model of the demo with adapters, in the precision of the device."""
    dtype = torch.bfloat16 if devices.precision(device) == "bf16" else torch.float32
    classifier = vlm.build(entry(name, "demo.yaml"), 0, None, parts, dtype)
    classifier.adapt(lora, 0)
    return classifier


def test_bf16_trains_as_fp32_does(tmp_path, device, monkeypatch):
    """Each of 18 layers rounds its input and its weights once; 6 steps of AdamW at 1e-4 add less than that."""
    reduced = train(tmp_path, cnn.build(NARROW, 0, None), device)
    monkeypatch.setattr(fit, "autocast", lambda device: torch.autocast(device.type, enabled=False))
    full = train(tmp_path, cnn.build(NARROW, 0, None), device, name="b")
    bound = 2 * 18 * BF16 * max(1, np.abs(full.logits).max())
    np.testing.assert_allclose(reduced.logits, full.logits, rtol=0, atol=bound)
    losses = [[row["train_loss"] for row in fitted.history] for fitted in (reduced, full)]
    np.testing.assert_allclose(*losses, rtol=0, atol=bound)


@pytest.mark.parametrize("name", ["qwen2-vl-tiny", "smolvlm-tiny"])
def test_cached_tokens_train_as_live_images_do(tmp_path, device, name):
    tower = small_vlm(name, device).to(device).eval()
    with torch.inference_mode(), devices.autocast(device):
        tokens = torch.cat([tower.tokens(batch.to(device)).cpu() for batch in torch.from_numpy(pixels()).split(32)])
    bits = tokens.view(torch.uint16) if tokens.dtype == torch.bfloat16 else tokens
    cached = train(tmp_path, small_vlm(name, device, ("decoder",)), device, bits.numpy())
    live = train(tmp_path, small_vlm(name, device), device, name="b")
    # Batches of another size may sum in another order; each of the two layers rounds to bf16 several times. An epoch less
    # changes the logits by more.
    bound = 8 * BF16 if devices.precision(device) == "bf16" else ORDER
    np.testing.assert_allclose(cached.logits, live.logits, rtol=0, atol=bound * max(1, np.abs(live.logits).max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2-vl-tiny", "smolvlm-tiny"])
def test_compiled_layers_train_as_others_do(tmp_path, device, name):
    """Without dropout, of which compiled layers draw other masks."""
    logits = []
    for compiled in (False, True):
        module = small_vlm(name, device, lora=Lora(dropout=0))
        if compiled:
            module.compile_layers()
        logits.append(train(tmp_path, module, device, name=f"{compiled}").logits)
    bound = 8 * BF16 if devices.precision(device) == "bf16" else ORDER
    np.testing.assert_allclose(*logits, rtol=0, atol=bound * max(1, np.abs(logits[0]).max()))


def test_equal_runs_are_equal(tmp_path, device):
    one, other = (train(tmp_path, cnn.build(NARROW, 0, None), device, name=name) for name in "ab")
    assert (one.logits == other.logits).all()


@pytest.mark.parametrize("module", [cnn.build, lambda *_: Wide()], ids=["batch-norm", "dropout"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(tmp_path, device, module):
    undisturbed = train(tmp_path, module(NARROW, 0, None), device)
    calls = []

    def check():
        calls.append(None)
        # The second step of the second epoch, after 3 steps and 3 evaluation batches in the first.
        if len(calls) == 8:
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        train(tmp_path, module(NARROW, 0, None), device, name="b", check=check)
    resumed = train(tmp_path, module(NARROW, 0, None), device, name="b")
    assert resumed.resumed_from == 1
    assert (resumed.logits == undisturbed.logits).all()


class Wide(torch.nn.Module):
    """With dropout and without batch normalisation; keeps about 32 MiB of each image in fp32 for the backward pass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 1024, 3, padding=1), torch.nn.Tanh(), torch.nn.Tanh())
        self.dropout = torch.nn.Dropout()
        self.head = torch.nn.Linear(1024, 1)

    def forward(self, batch):
        maps = self.layers(batch.permute(0, 3, 1, 2) / 255 - 0.5)
        return self.head(self.dropout(maps.mean((2, 3)))).squeeze(1)


def test_a_batch_that_memory_does_not_hold_is_cut(tmp_path, cuda):
    """The run is one that began with the smaller size, bit for bit; a later job starts with that size."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(cuda)
    whole = train(tmp_path, Wide(), cuda)
    peak = torch.cuda.max_memory_allocated(cuda)
    torch.cuda.empty_cache()
    spec = RunSpec(model=NARROW, recipe=Recipe(), augmentation=[], magnification=40, fold=1, seed=0)
    found = FoundSize(tmp_path, spec, {}, cuda)
    torch.cuda.set_per_process_memory_fraction(0.6 * peak / torch.cuda.get_device_properties(cuda).total_memory, cuda)
    try:
        cut = train(tmp_path, Wide(), cuda, name="b", found=found)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert whole.micro_batch == 16
    assert cut.micro_batch < 16
    smaller = train(tmp_path, Wide(), cuda, micro_batch=cut.micro_batch, name="c")
    assert (cut.logits == smaller.logits).all()
    assert MicroBatch(None, 16, cuda, found=found).size == cut.micro_batch


JOB = """
import sys, time
import torch
from histobench.training import device
chosen = device.choose("cuda", 1, int(sys.argv[1]))
print(float(torch.ones(1000, device=chosen).sum()), flush=True)
sys.stdin.read()
"""


def test_two_jobs_share_a_gpu_and_a_third_waits(tmp_path, cuda, monkeypatch):
    for name in (*gpu_lease.SCHEDULERS, gpu_lease.POD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "HISTOBENCH_LEASES": str(tmp_path / "leases")}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    jobs = []
    try:
        for _ in range(2):
            jobs.append(subprocess.Popen([sys.executable, "-c", JOB, "2"], env=environment, text=True, **pipes))
            assert jobs[-1].stdout.readline() == "1000.0\n"
        jobs.append(subprocess.Popen([sys.executable, "-c", JOB, "2"], env=environment, text=True, **pipes))
        assert jobs[2].stderr.readline().startswith("waiting for a GPU")
        jobs[0].kill()
        assert jobs[2].stdout.readline() == "1000.0\n"
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


MODELS = yaml.safe_load(Path(ROOT, "config", "config.yaml").read_text())["models"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_study_trains_for_a_step_at_true_size(name, cuda):
    given = MODELS[name]
    with cuda:
        if "architecture" in given:
            settings = CnnSettings(architecture=given["architecture"], weights="random")
            module = cnn.build(settings, 0, None)
        else:
            settings = entry(name, "config.yaml")
            module = vlm.build(settings, 0, None, vlm.WHOLE, torch.bfloat16)
            module.adapt(Lora(), 0)
    module.to(cuda).train()
    images = torch.randint(0, 256, (4, settings.image_size, settings.image_size, 3), dtype=torch.uint8, device=cuda)
    loss = fit._gradients(module, images, torch.tensor([0.0, 1, 0, 1], device=cuda), 4)
    assert loss.isfinite()
    gradients = [parameter.grad for parameter in module.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
