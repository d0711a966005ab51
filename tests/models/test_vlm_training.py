"""Training of adapters with `fit`: on images, and on visual tokens that were computed before.

Results that must be equal but for rounding are computed in float64 (`double`).
"""

import numpy as np
import pytest
import torch

from histobench.datasets.augment import Augmentation
from histobench.io.state_dicts import trained_state
from histobench.models import vlm
from histobench.study.recipes import Lora, Recipe
from histobench.training import data
from histobench.training.fit import fit
from tests.checkpoints import Waiting
from tests.models.vlm_settings import tiny

CPU = torch.device("cpu")
SEED = 3
PLAIN = Lora(rank=4, dropout=0)
IDS = [f"image {number}" for number in range(70)]
LABELS = (np.arange(70) % 3 == 0).astype(np.float32)
REST = 60  # of the 70 images, those from here on are evaluated in some tests
RATE, EPOCHS = 0.01, 2
ROUNDING = 10_000 * torch.finfo(torch.float64).eps
"""Of a gradient of size 1 or less: a sum of at most 64 images x 18 tokens, after 6 layers with sums of at most 64 terms."""
MOST_STEPS = 2 * EPOCHS * 5
"""Of 70 images in batches of 16, for two trainings that are compared."""
BOUND = MOST_STEPS * RATE * ROUNDING / 1e-8
"""Of the difference of two parameters: AdamW (epsilon 1e-8) turns an error of a gradient into one at most 1e8 times as large."""

both = pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm"])


def pixels():
    """Images of which the malignant ones are redder."""
    array = np.random.default_rng(0).integers(0, 200, (70, 64, 64, 3), dtype=np.uint8)
    array[..., 0] += (LABELS[:, None, None] * 40).astype(np.uint8)
    return array


def tokens(name, images):
    """Visual tokens (N, 16, 48), or with DeepStack (N, 16, 144), of images, by the tower alone and in batches of another size than any in training."""
    tower = vlm.build(tiny(name), SEED, None, parts=("vision",)).eval()
    with torch.inference_mode():
        return torch.cat([tower.tokens(batch) for batch in torch.from_numpy(images).split(32)]).numpy()


def stored(array, first=0, last=70):
    rows = np.arange(first, last)
    return data.Stored(array, rows, LABELS[rows])


def train(
    folder, name, training, evaluation, lora=PLAIN, parts=vlm.WHOLE, size=None, score=None, resume=False, **recipe
):
    """Return a classifier after training, and what `fit` gives."""
    if not resume:
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    classifier = vlm.build(tiny(name), SEED, None, parts)
    classifier.adapt(lora, SEED)
    recipe = Recipe(**{"trainable": "lora", "epochs": EPOCHS, "batch_size": 64, "learning_rate": RATE} | recipe)
    score = score or (lambda logits: {"accuracy": float(np.mean((logits >= 0) == evaluation.labels))})
    checkpoint = Waiting(folder / "checkpoint.pt", {"specification": "test"}, interval=0)
    return classifier, fit(classifier, training, evaluation, score, recipe, SEED, CPU, checkpoint, size)


def largest_difference(one, other):
    one, other = trained_state(one), trained_state(other)
    assert one.keys() == other.keys()
    return max((one[key] - other[key]).abs().max().item() for key in one)


def untrained(name, lora=PLAIN):
    classifier = vlm.build(tiny(name), SEED, None)
    classifier.adapt(lora, SEED)
    return classifier


def logits_agree(one, other):
    """Logits of parameters that differ by at most BOUND, after 100 products of which none doubles an error."""
    assert one.dtype == np.float64
    np.testing.assert_allclose(one, other, rtol=0, atol=100 * BOUND)


@both
@pytest.mark.parametrize(
    ("live", "batch_size", "lora"),
    [(False, 64, PLAIN), (True, 16, PLAIN), (True, 64, Lora(rank=4, dropout=0, vision=True, connector=True))],
    ids=["cached", "live", "vision"],
)
def test_the_micro_batch_changes_only_rounding(tmp_path, name, live, batch_size, lora, double):
    """70 images: the last batch of an epoch has 6, whatever the batch size."""
    source = stored(pixels()[None] if live else tokens(name, pixels())[None])
    parts = vlm.WHOLE if live else ("decoder",)
    whole, fitted = train(tmp_path, name, source, source, lora, parts, batch_size=batch_size)
    assert fitted.micro_batch == batch_size
    if live:
        assert largest_difference(whole, untrained(name, lora)) > 0.01
    for size in (1, 3):
        again, cut = train(tmp_path, name, source, source, lora, parts, size, batch_size=batch_size)
        assert cut.micro_batch == min(size, batch_size)
        assert largest_difference(again, whole) < BOUND
        logits_agree(cut.logits, fitted.logits)


@pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm", "qwen3-vl"])
def test_stored_tokens_of_one_augmented_view_per_epoch_give_what_augmented_images_give(tmp_path, name, double):
    array, rows = pixels(), np.arange(REST)
    augmentation = Augmentation([{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.5}}], 64)
    source = data.Augmented(array, rows, LABELS[rows], IDS[:REST], augmentation, SEED)
    live, on_images = train(tmp_path, name, source, stored(array[None], REST), batch_size=32)

    views = [[augmentation(image, SEED, epoch, key) for image, key in zip(array, IDS, strict=True)] for epoch in (1, 2)]
    cached = np.stack([tokens(name, np.stack(view)) for view in views])
    evaluation, options = stored(tokens(name, array)[None], REST), {"parts": ("decoder",), "batch_size": 32}
    ahead, on_tokens = train(tmp_path, name, stored(cached, 0, REST), evaluation, **options)
    assert largest_difference(ahead, live) < BOUND
    logits_agree(on_tokens.logits, on_images.logits)
    one_view, _ = train(tmp_path, name, stored(cached[:1], 0, REST), evaluation, **options)
    assert largest_difference(one_view, live) > 100 * BOUND


class Stopped(Exception):
    pass


@both
@pytest.mark.parametrize("live", [False, True], ids=["cached", "live"])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, name, live):
    lora = Lora(rank=4, dropout=0.3, vision=live, connector=live)
    array = pixels() if live else tokens(name, pixels())
    sources = stored(array[None], 0, 20), stored(array[None], REST)
    options = {"lora": lora, "parts": vlm.WHOLE if live else ("decoder",), "batch_size": 8, "epochs": 3}
    whole, uninterrupted = train(tmp_path, name, *sources, **options)
    scored = []

    def score(logits):
        scored.append(logits)
        if len(scored) == 3:
            raise Stopped
        return {"accuracy": 0.5}

    with pytest.raises(Stopped):
        train(tmp_path, name, *sources, **options, score=score)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["module"]
    assert kept.keys() == trained_state(whole).keys()
    torch.rand(5)
    again, resumed = train(tmp_path, name, *sources, **options, resume=True)
    assert resumed.resumed_from == 2
    assert largest_difference(again, whole) == 0
    assert np.array_equal(resumed.logits, uninterrupted.logits)
    other, _ = train(tmp_path, name, *sources, **options | {"lora": lora.model_copy(update={"dropout": 0.0})})
    assert largest_difference(other, whole) > 1e-3  # dropout was at work
