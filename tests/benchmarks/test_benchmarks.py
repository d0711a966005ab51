"""The benchmarks of vision-language models run, on tiny models, and train what they say. No speed is asserted."""

import numpy as np
import pytest
import torch

from histobench.models.vlm import build
from histobench.study.spec import Recipe
from tests.benchmarks import trainer_baseline, vlm

CPU = torch.device("cpu")

both = pytest.mark.parametrize("name", vlm.SMALL)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tests share the cores
    yield
    torch.set_num_threads(before)


@both
def test_three_ways_to_train_are_compared(tmp_path, capsys, name):
    vlm.Comparison(vlm.entry(name, "demo.yaml"), CPU, 4, 2, 2, 1, tmp_path).report("tiny")
    lines = capsys.readouterr().out.splitlines()
    for start in ("cached", "live", "Trainer", "tokens", "cached / live", "cached / Trainer", "live / Trainer"):
        assert any(line.strip().startswith(start) for line in lines), start
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_decoder_goes_through_one_step(tmp_path):
    step = vlm.decoder_step(vlm.entry("smolvlm-tiny", "demo.yaml"), 2, tmp_path)
    assert step.trained > 0
    assert step.peak_training > 0


@both
def test_the_trainer_trains_the_same_model(name):
    settings = vlm.entry(name, "demo.yaml")
    torch.manual_seed(0)
    theirs, ours = trainer_baseline.model_with_adapters(settings, vlm.LORA, CPU), build(settings, 0, None)
    ours.adapt(vlm.LORA, 0)
    for head in (module for path, module in theirs.named_modules() if path.endswith("head.modules_to_save.default")):
        head.load_state_dict(ours.head.state_dict())
    trainable = [
        sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        for model in (ours, theirs)
    ]
    assert trainable[0] == trainable[1]
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    collate = trainer_baseline.Collator(settings, trainer_baseline.architecture(settings))
    batch = collate([{"image": image, "label": np.float32(1)} for image in images])
    with torch.inference_mode():
        expected = ours.eval()(torch.from_numpy(images))
        torch.testing.assert_close(theirs.eval()(**batch)["logits"], expected, rtol=0, atol=1e-5)


def test_the_cost_of_tokens_is_shared_by_all_folds():
    assert vlm.with_tokens(2, 4, 0) == 2
    assert vlm.with_tokens(2, 4, 80) == pytest.approx(4 / 3)  # 80 uses of an image: half a second each, and a quarter
    assert Recipe().epochs == vlm.EPOCHS
