"""Published encoders, from a Hub on this machine: small random models that timm and transformers wrote themselves."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load, save

from histobench.fetch import hub
from histobench.io.errors import HistoBenchError
from histobench.models import encoder
from histobench.study.spec import EncoderSettings
from histobench.training import pretrained_encoder
from tests.models import encoder_repositories
from tests.models.encoder_repositories import ARGUMENTS, MEAN, STD
from tests.models.hub_server import REPOSITORY, REVISION, files_of, serve

pytestmark = pytest.mark.slow

KINDS = ("timm", "vit", "dinov2", "clip")
WEIGHTS, PICKLED, CONFIG = "model.safetensors", "pytorch_model.bin", "config.json"
IMAGES = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
GATE = (
    f"{REPOSITORY} is gated: accept its licence on {{0}}/{REPOSITORY}, write `gated: true` in the model's entry, and give a token of "
    "that account in the environment variable HF_TOKEN or by `hf auth login`"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """The folder of a repository of each form."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, folder in folders.items():
        encoder_repositories.save(kind, folder)
    return folders


def point(monkeypatch, url: str) -> None:
    """Name a mirror of the Hub, without a token of the user's."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


def settings(kind: str, **changes) -> EncoderSettings:
    arguments = ARGUMENTS if kind == "timm" else {}
    weights = {"hub": REPOSITORY, "revision": REVISION}
    return EncoderSettings(
        **{"family": "encoder", "weights": weights, "image_size": 32, "arguments": arguments} | changes
    )


def library(kind: str, folder: Path) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return what the library's own model makes of IMAGES after its own preprocessing: embedding, tokens, number of prefix tokens."""
    pictures = [Image.fromarray(image) for image in IMAGES]
    if kind == "timm":
        import timm
        from timm.layers import SwiGLUPacked

        arguments = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU, "num_classes": 0}
        model = timm.create_model(f"local-dir:{folder}", pretrained=True, **arguments).eval()
        transform = timm.data.create_transform(**timm.data.resolve_data_config(model.pretrained_cfg, model=model))
        pixels = torch.stack([transform(picture) for picture in pictures])
        return model(pixels), model.forward_features(pixels), 3
    import transformers

    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")[
        "pixel_values"
    ]
    if kind == "clip":
        whole = transformers.CLIPModel.from_pretrained(folder).eval()
        tokens = whole.vision_model(pixel_values=pixels).last_hidden_state
        return whole.get_image_features(pixel_values=pixels).pooler_output, tokens, 1
    tokens = transformers.AutoModel.from_pretrained(folder).eval()(pixel_values=pixels).last_hidden_state
    return tokens[:, 0], tokens, 1


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_the_librarys_own_model_and_preprocessing(kind, saved, tmp_path, monkeypatch):
    output = tmp_path / "tiny.safetensors"
    with serve(files_of(saved[kind])) as server:
        point(monkeypatch, server.url)
        assert pretrained_encoder.convert(settings(kind), tmp_path, output)
    with safe_open(output, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["hub"], metadata["revision"]) == (REPOSITORY, REVISION)
    assert json.loads(metadata["config"]) == json.loads((saved[kind] / CONFIG).read_text())
    with torch.no_grad():
        whole, tokens, prefix = library(kind, saved[kind])
        token, mean = tokens[:, 0], tokens[:, prefix:].mean(1)
        wanted = {"model": whole, "token": token, "mean": mean, "token+mean": torch.cat([token, mean], 1)}
        assert tokens.shape[1] == prefix + 16
        for pooling, expected in wanted.items():
            classifier = encoder.build(settings(kind, pooling=pooling), 0, output).eval()
            found = classifier.embed(torch.from_numpy(IMAGES))
            assert found.std() > 0.05
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
            assert classifier.head.in_features == expected.shape[1]
    assert torch.allclose(classifier.mean.flatten() / 255, torch.tensor(MEAN))
    assert torch.allclose(classifier.std.flatten() / 255, torch.tensor(STD))


@pytest.mark.parametrize("kind", KINDS)
def test_another_image_size_resamples_the_positions(kind, saved, tmp_path, monkeypatch):
    """A constant image has equal patches, so that only positions tell tokens apart; the size at hand leaves all as it is."""
    with serve(files_of(saved[kind])) as server:
        point(monkeypatch, server.url)
        pretrained_encoder.convert(settings(kind), tmp_path, tmp_path / "tiny.safetensors")
    images = torch.full((1, 64, 64, 3), 90, dtype=torch.uint8)
    with torch.no_grad():
        one, two = (
            encoder.build(settings(kind, image_size=side), 0, tmp_path / "tiny.safetensors")
            .eval()
            .embed(images[:, :side, :side])
            for side in (32, 64)
        )
    assert one.shape == two.shape
    assert 0 < (one - two).norm() < one.norm()
    with pytest.raises(HistoBenchError, match="choose another image_size"):
        encoder.build(settings(kind, image_size=36), 0, tmp_path / "tiny.safetensors")


def as_pickle(files: dict[str, bytes], content: object = None) -> dict[str, bytes]:
    """Return a repository whose weights are pickled: its own, or any object."""
    path = Path(files.pop("scratch").decode())
    torch.save(load(files.pop(WEIGHTS)) if content is None else content, path)
    return files | {PICKLED: path.read_bytes()}


@pytest.mark.parametrize("kind", ["timm", "clip"])
def test_pickled_weights_are_the_same(kind, saved, tmp_path, monkeypatch):
    files = as_pickle(files_of(saved[kind]) | {"scratch": str(tmp_path / "scratch").encode()})
    for name, repository in (("safe", files_of(saved[kind])), ("pickled", files)):
        with serve(repository) as server:
            point(monkeypatch, server.url)
            pretrained_encoder.convert(settings(kind), tmp_path / name, tmp_path / f"{name}.safetensors")
    safe, pickled = (load((tmp_path / f"{name}.safetensors").read_bytes()) for name in ("safe", "pickled"))
    assert safe.keys() == pickled.keys()
    assert all(torch.equal(safe[name], pickled[name]) for name in safe)


class Code:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("this code runs",)


def changed(kind: str, files: dict[str, bytes], fault: str) -> None:
    """Spoil a repository."""
    tensors, config = load(files[WEIGHTS]), json.loads(files[CONFIG])
    names = {"timm": "norm.weight", "vit": "layernorm.weight", "clip": "vision_model.pre_layrnorm.weight"}
    match fault:
        case "missing":
            del tensors[names[kind]]
        case "unknown":
            tensors["extra"] = torch.ones(1)
        case "shape":
            tensors[names[kind]] = torch.ones(3)
        case "architecture":
            config["architecture"] = "vit_unheard_of"
        case "model_type":
            config["model_type"] = "whale"
        case "code":
            files[PICKLED] = pickle.dumps({"weight": Code()})
            del files[WEIGHTS]
        case "config":
            del files[CONFIG]
    if fault != "code":
        files[WEIGHTS] = save(tensors, {"format": "pt"})
    if fault != "config":
        files[CONFIG] = json.dumps(config).encode()


@pytest.mark.parametrize(
    ("kind", "fault", "said"),
    [
        (
            "timm",
            "missing",
            "the weights lack tensor norm.weight; choose another revision or folder, or correct `arguments`",
        ),
        ("timm", "unknown", "the weights hold an unknown tensor extra; "),
        ("timm", "shape", "the weights have norm.weight of shape (3,), expected (24,); "),
        (
            "timm",
            "architecture",
            "config.json: timm has no model 'vit_unheard_of', the `architecture` of the config.json; ",
        ),
        ("timm", "code", "pytorch_model.bin: cannot be read as plain tensors ("),
        ("clip", "code", "pytorch_model.bin: cannot be read as plain tensors ("),
        ("vit", "missing", "the weights lack parameter layernorm.weight (1 such); choose another revision or folder"),
        ("vit", "unknown", "the weights have the unknown parameter extra (1 such); "),
        ("vit", "shape", "the weights have in another shape the parameter layernorm.weight (1 such); "),
        ("clip", "missing", "the weights lack parameter vision_model.pre_layrnorm.weight (1 such); "),
        (
            "vit",
            "model_type",
            "config.json: the config.json has no `architecture` of timm, and the model_type 'whale', expected one ",
        ),
        ("vit", "config", f"{REPOSITORY} at {REVISION} has no config.json, which is needed to load the model; "),
    ],
)
def test_what_does_not_fit_is_one_sentence(kind, fault, said, saved, tmp_path, monkeypatch, capfd):
    files = files_of(saved[kind])
    changed(kind, files, fault)
    with serve(files) as server:
        point(monkeypatch, server.url)
        with pytest.raises(HistoBenchError) as caught:
            pretrained_encoder.convert(settings(kind), tmp_path, tmp_path / "tiny.safetensors")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "this code runs" not in "".join(capfd.readouterr())
    assert not (tmp_path / "tiny.safetensors").exists()
    if fault in ("architecture", "model_type"):
        assert WEIGHTS not in server.requests


def test_a_token_goes_to_the_hub_alone_and_is_written_nowhere(saved, tmp_path, monkeypatch, capfd):
    files, wanted = files_of(saved["vit"]), settings("vit")
    with serve(files) as store, serve(files) as server:
        point(monkeypatch, server.url)
        server.token, server.store = "hf_secret", store.url
        for given in (None, "hf_wrong"):
            monkeypatch.setattr("huggingface_hub.get_token", lambda given=given: given)
            with pytest.raises(HistoBenchError) as caught:
                hub.fetch_config(wanted.weights, tmp_path, tmp_path / "tiny.config.json", gated=True)
            assert str(caught.value) == GATE.format(server.url)
        server.token = ""  # the list of files is public
        hub.resolve(wanted.weights, tmp_path / hub.folder_name(wanted.weights))
        server.token = "hf_secret"
        with pytest.raises(HistoBenchError) as caught:
            pretrained_encoder.convert(wanted, tmp_path, tmp_path / "tiny.safetensors", gated=True)
        assert str(caught.value) == GATE.format(server.url)
        monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
        with pytest.raises(HistoBenchError, match="is gated"):
            pretrained_encoder.convert(wanted, tmp_path, tmp_path / "tiny.safetensors", gated=False)
        assert pretrained_encoder.convert(wanted, tmp_path, tmp_path / "tiny.safetensors", gated=True)
    assert store.requests == [WEIGHTS]
    assert store.credentials == []
    assert "Bearer hf_secret" in server.credentials
    assert "hf_" not in "".join(capfd.readouterr())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]


def test_a_folder_of_ones_own_needs_no_tokenizer(saved, tmp_path):
    with pytest.raises(HistoBenchError, match=r"the SHA-256 of its files \(.*\) is ") as caught:
        pretrained_encoder.convert(
            settings("vit", weights={"folder": str(saved["vit"]), "sha256": "f" * 64}), tmp_path, tmp_path
        )
    digest = str(caught.value).partition(" is ")[2][:64]
    own = settings("vit", weights={"folder": str(saved["vit"]), "sha256": digest})
    assert not pretrained_encoder.convert(own, tmp_path, tmp_path / "tiny.safetensors")
    assert encoder.build(own, 0, tmp_path / "tiny.safetensors").head.in_features == 32
