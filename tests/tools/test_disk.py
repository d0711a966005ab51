"""Room on the disk against sums by hand."""

from pathlib import Path

import pytest

from histobench.study import paths
from histobench.tools.disk import needs, size_of
from histobench.tools.estimate import Estimate
from histobench.tools.studies import study
from tests.tools.test_estimate import finish


def by_name(*files: str, bf16: bool = True) -> dict[str, tuple[float, float]]:
    """Return what is needed and what is there in GB, by the first word of what it is."""
    found = needs(Estimate(study([Path(file) for file in files])), bf16)
    return {need.what.split()[0]: (need.size / 1e9, need.there / 1e9) for need in found}


def test_the_papers_study(folder):
    found = {name: size for name, (size, there) in by_name().items() if not there}
    resnet34, lora = 21_285_185, 6_291_456 + 2049  # trained parameters of ResNet34 and of SmolVLM
    vgg19 = 143_667_240 - 999 * 4097
    assert found["trained"] == pytest.approx(4 * 40 * (resnet34 + lora) / 1e9, rel=1e-4)
    assert found["checkpoint"] == pytest.approx(2 * 12 * vgg19 / 1e9, rel=1e-4)
    assert found["embeddings"] == pytest.approx(4 * 7909 * 21 * (1536 + 2048) / 1e9)
    assert found["pixel"] == pytest.approx(3 * 336**2 * (7909 + 400) / 1e9)
    # The widest visual tokens at the magnification of most images: 442 kB a view, 20 augmented ones and the plain one.
    assert found["visual"] == pytest.approx(2081 * 21 * 144 * 1536 * 2 / 1e9)
    assert found["archives"] == pytest.approx(14.4)
    # Downloaded and joined: CNNs in fp32, joined and counted without their 1000 classes; VLMs in bf16, SmolVLM's without the
    # language-model head that it does not share with its embedding.
    cnn = 61_100_840 + 143_667_240 + 21_797_672
    qwen, smolvlm = 2_208_985_600, 2_246_272_880
    joined = 4 * (cnn - 999 * (4097 + 4097 + 513)) + 2 * (qwen + smolvlm - 49155 * 2048 + 2049)
    assert found["pretrained"] == pytest.approx((4 * cnn + 2 * (qwen + smolvlm) + joined) / 1e9, rel=1e-6)
    assert by_name(bf16=False)["visual"][0] == pytest.approx(2 * found["visual"])


def test_what_is_there_is_not_needed_again(folder):
    def write(path: str | Path, size: int) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x" * size)

    config = study([Path("config/demo.yaml")])
    before = {need.what: need for need in needs(Estimate(config), False)}
    assert all(not need.there for need in before.values())
    write(paths.PIXELS.format(dataset="synthetic", size=64), 1000)
    write("results/synthetic/archive.tar.gz", 500)
    for run in config.runs:
        finish(config, run)
        if run.model == "resnet34-narrow":
            write(Path(run.folder) / "weights.safetensors", 10)
    after = {need.what: need for need in needs(Estimate(config), False)}
    assert not any(name.startswith("checkpoint") for name in after)  # no run is left
    stores = next(need for name, need in after.items() if name.startswith("pixel"))
    assert stores.there == 1000
    assert stores.missing == 3 * 64**2 * 32  # of the other dataset
    kept = next(need for name, need in after.items() if name.startswith("trained"))
    assert kept.there == 20 * 10
    assert kept.missing == 20 * 4 * 16_449
    assert next(need for name, need in after.items() if name.startswith("predictions")).missing == 0


def test_joined_weights_stand_for_what_was_downloaded(folder):
    Path("resources/weights").mkdir(parents=True)
    before = by_name()["pretrained"][0]
    Path("resources/weights/vgg19-dcbb9e9d.pth").write_bytes(b"x" * 1_000_000)
    size, there = by_name()["pretrained"]
    assert there == pytest.approx(1e-3)
    assert size == pytest.approx(before - 4 * 143_667_240 / 1e9 + 1e-3)
    Path("resources/weights/vgg19.safetensors").write_bytes(b"x" * 1_000_000)
    Path("resources/weights/vgg19-dcbb9e9d.pth").unlink()
    size, there = by_name()["pretrained"]
    assert there == pytest.approx(1e-3)
    assert size == pytest.approx(before - 4 * (143_667_240 + 143_667_240 - 999 * 4097) / 1e9 + 1e-3)


def test_images_of_ones_own_take_no_room_of_the_project(folder):
    assert "archives" not in by_name("config/sample.yaml")
    assert "pretrained" in by_name("config/sample.yaml")  # joined from the package's file


def test_sizes_of_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    (tmp_path / "c").write_bytes(b"4")
    assert size_of(tmp_path, tmp_path / "c", tmp_path / "nothing") == 3 + 1 + 1
