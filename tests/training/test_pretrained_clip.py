"""CLIP asked by captions, against the library's own model and tokenizer: a small random one, from a Hub on this machine."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from histobench.fetch import hub
from histobench.io.errors import HistoBenchError
from histobench.models import encoder, text_embeddings
from histobench.study.recipes import Answers
from histobench.training import pretrained_encoder
from tests.models import encoder_repositories
from tests.models.hub_server import REPOSITORY, files_of, serve
from tests.training.test_pretrained_encoder import CONFIG, IMAGES, WEIGHTS, as_pickle, library, point, settings

pytestmark = pytest.mark.slow

PROMPTS = ["A haematoxylin and eosin image at 40x showing a", "It's  an IMAGE of a"]
ONE = Answers(malignant=[" malignant tumour"], benign=[" benign tumour"])
SEVERAL = Answers(malignant=[" malignant tumour", " carcinoma", " m"], benign=[" benign tumour", " harmless growth"])
CLIP = settings("clip")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    encoder_repositories.save("clip", folder)
    return folder


@pytest.fixture
def fetched(saved, tmp_path, monkeypatch):
    """Return what converts a repository, gated and of the saved files unless others are given: text weights, and tokenizer."""

    def fetch(files=None):
        weights, tokenizer = tmp_path / "tiny.text.safetensors", tmp_path / "tiny.tokenizer.json"
        with serve(files or files_of(saved)) as server:
            point(monkeypatch, server.url)
            server.token = "hf_secret"
            monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
            hub.fetch_tokenizer(CLIP.weights, tmp_path, tokenizer, encoder=True, gated=True)
            assert server.requests == ["tree", "tokenizer.json"]
            assert pretrained_encoder.convert_text_tower(CLIP, tmp_path, weights, gated=True)
            assert pretrained_encoder.convert(CLIP, tmp_path, tmp_path / "tiny.safetensors", gated=True) is False
        return weights, tokenizer

    return fetch


@pytest.mark.parametrize("old", [False, True])
@torch.no_grad()
def test_logits_are_those_of_the_librarys_own_model_and_tokenizer(old, saved, fetched, tmp_path):
    """In `old` configs the end token is 2, as in those of OpenAI's and PLIP's time."""
    import transformers

    files = files_of(saved)
    if old:
        config = json.loads(files[CONFIG])
        config["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2}
        files[CONFIG] = json.dumps(config).encode()
    weights, tokenizer = fetched(files)
    whole = transformers.CLIPModel.from_pretrained(hub_folder := next(tmp_path.glob("someone--*"))).eval()
    assert whole.config.text_config.eos_token_id == (2 if old else len(encoder_repositories.vocabulary()[0]) - 1)
    theirs = transformers.CLIPTokenizer.from_pretrained(hub_folder)

    captions = [prompt + word for word in (*ONE.malignant, *ONE.benign) for prompt in PROMPTS]
    inputs = theirs(captions, padding=True, return_tensors="pt")
    ids = text_embeddings.caption_ids(whole.config.text_config, captions, tokenizer)
    assert ids == [theirs(caption).input_ids for caption in captions]
    assert len(set(map(len, ids))) > 1
    pixels = transformers.AutoImageProcessor.from_pretrained(saved)(images=list(IMAGES), return_tensors="pt")
    expected = whole(**inputs, **pixels).logits_per_image
    expected = expected[:, :2] - expected[:, 2:]

    embeddings = encoder.build(CLIP, 0, tmp_path / "tiny.safetensors").eval().embed(torch.from_numpy(IMAGES))
    module = text_embeddings.build(CLIP, PROMPTS, ONE, 0, weights, tokenizer)
    found = module(embeddings)
    assert (found.dtype, found.shape) == (torch.float32, (3, 2))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(embeddings), found)


@torch.no_grad()
def test_a_class_of_several_answers_is_the_mean_of_their_unit_embeddings(saved, fetched):
    import transformers

    weights, tokenizer = fetched()
    whole = transformers.CLIPModel.from_pretrained(saved).eval()
    theirs = transformers.CLIPTokenizer.from_pretrained(saved)

    def unit(vector):
        return vector / np.linalg.norm(vector)

    def of_class(prompt, words):
        texts = [theirs(prompt + word, return_tensors="pt") for word in words]
        vectors = [whole.get_text_features(**text).pooler_output[0].double().numpy() for text in texts]
        return unit(sum(map(unit, vectors)) / len(words))

    images = library("clip", saved)[0]
    expected = [
        [
            np.exp(1.7) * unit(image.double().numpy()) @ (of_class(prompt, SEVERAL.malignant) - of_class(prompt, SEVERAL.benign))
            for prompt in PROMPTS
        ]
        for image in images
    ]  # fmt: skip
    found = text_embeddings.build(CLIP, PROMPTS, SEVERAL, 0, weights, tokenizer)(images)
    one = text_embeddings.build(CLIP, PROMPTS, ONE, 0, weights, tokenizer)(images)
    assert (found - one).abs().max() > 0.05
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4)


def test_pickled_weights_are_the_same(saved, fetched, tmp_path):
    safe = load(fetched()[0].read_bytes())
    for path in next(tmp_path.glob("someone--*")).iterdir():
        path.unlink()
    pickled = load(
        fetched(as_pickle(files_of(saved) | {"scratch": str(tmp_path / "scratch").encode()}))[0].read_bytes()
    )
    assert safe.keys() == pickled.keys()
    assert {name.partition(".")[0] for name in safe} == {"text_model", "text_projection", "logit_scale"}
    assert all(torch.equal(safe[name], pickled[name]) for name in safe)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("logit_scale", "the weights lack parameter logit_scale, one number; choose another revision or folder"),
        ("text_projection.weight", "the weights lack parameter text_projection.weight (1 such); choose another "),
    ],
)
def test_a_parameter_that_is_missing_is_one_sentence(name, said, saved, fetched):
    files = files_of(saved)
    tensors = load(files[WEIGHTS])
    del tensors[name]
    with pytest.raises(HistoBenchError, match=re.escape(said)):
        fetched(files | {WEIGHTS: save(tensors, {"format": "pt"})})


def test_a_logit_scale_is_one_number(saved, fetched):
    files = files_of(saved)
    tensors = load(files[WEIGHTS])
    found = []
    for scale in (tensors["logit_scale"], tensors["logit_scale"].reshape(1)):
        weights, tokenizer = fetched(files | {WEIGHTS: save(tensors | {"logit_scale": scale}, {"format": "pt"})})
        found.append(text_embeddings.build(CLIP, PROMPTS, ONE, 0, weights, tokenizer).directions)
        for path in (weights, tokenizer):
            path.unlink()
        shutil.rmtree(next(weights.parent.glob("someone--*")))
    assert torch.equal(*found)
    with pytest.raises(HistoBenchError, match="the weights lack parameter logit_scale, one number; choose another "):
        fetched(files | {WEIGHTS: save(tensors | {"logit_scale": torch.ones(2)}, {"format": "pt"})})


def test_a_caption_that_is_too_long_or_ends_twice_is_one_sentence(fetched):
    weights, tokenizer = fetched()
    long = Answers(malignant=[" x" * 80], benign=["b"])
    with pytest.raises(HistoBenchError, match="x' has 82 tokens, more than the 77 that the model reads; shorten "):
        text_embeddings.build(CLIP, [""], long, 0, weights, tokenizer)
    early = Answers(malignant=["<|endoftext|> m"], benign=["b"])
    with pytest.raises(
        HistoBenchError, match="' has the token 531, at which the model reads it out, before its end too; leave"
    ):
        text_embeddings.build(CLIP, [""], early, 0, weights, tokenizer)


@pytest.mark.parametrize(("malignant", "benign"), [("Tumour", "tumour"), (" ", "  ")])
def test_answers_with_the_same_tokens_are_one_sentence(malignant, benign, fetched):
    both = Answers(malignant=[malignant], benign=["b", benign])
    said = f"'a {malignant}' of malignant and 'a {benign}' of benign have the same tokens; change one of the answers"
    with pytest.raises(HistoBenchError) as caught:
        text_embeddings.build(CLIP, ["a "], both, 0, *fetched())
    assert str(caught.value) == said


@pytest.mark.parametrize("end", [2, 531])
def test_a_tokenizer_that_does_not_end_a_caption_is_one_sentence(end, saved, fetched):
    files = files_of(saved)
    config, asked = (json.loads(files[name]) for name in (CONFIG, "tokenizer.json"))
    config["text_config"]["eos_token_id"], asked["post_processor"] = end, None
    changed = {CONFIG: json.dumps(config).encode(), "tokenizer.json": json.dumps(asked).encode()}
    weights, tokenizer = fetched(files | changed)
    with pytest.raises(
        HistoBenchError, match="does not put one token before and one after a caption, as CLIP's"
    ) as caught:
        text_embeddings.build(CLIP, PROMPTS, ONE, 0, weights, tokenizer)
    assert str(caught.value).startswith(f"{tokenizer}: ")


def test_tokens_of_another_vocabulary_are_said_before_weights_are_fetched(saved, tmp_path, monkeypatch):
    config = json.loads((saved / CONFIG).read_text())
    config["text_config"]["eos_token_id"] = 9999
    with serve(files_of(saved) | {CONFIG: json.dumps(config).encode()}) as server:
        point(monkeypatch, server.url)
        with pytest.raises(
            HistoBenchError, match=r"config\.json: the config's text_config has \[530, 9999\] as bos_token_id"
        ):
            pretrained_encoder.convert_text_tower(CLIP, tmp_path, tmp_path / "tiny.text.safetensors")
    assert WEIGHTS not in server.requests


def test_a_tokenizer_that_would_cut_or_pad_does_not(saved, fetched):
    files = files_of(saved)
    asked = json.loads(files["tokenizer.json"])
    asked["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    whole = {"strategy": {"Fixed": 30}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}
    asked["padding"] = whole | {"pad_token": "!"}
    _, tokenizer = fetched(files | {"tokenizer.json": json.dumps(asked).encode()})
    from transformers import CLIPTextConfig

    config = CLIPTextConfig(**json.loads(files[CONFIG])["text_config"])
    (ids,) = text_embeddings.caption_ids(config, ["a benign malignant tumour a"], tokenizer)
    assert len(ids) == 7


def test_the_tokenizer_in_a_folder_of_ones_own_is_verified(saved, tmp_path):
    own = settings("clip", weights={"folder": str(saved), "sha256": "f" * 64})
    with pytest.raises(HistoBenchError, match=r"the SHA-256 of its files \(.*tokenizer\.json.*\) is ") as caught:
        pretrained_encoder.convert_text_tower(own, tmp_path, tmp_path / "tiny.text.safetensors")
    digest = str(caught.value).partition(" is ")[2][:64]
    own = settings("clip", weights={"folder": str(saved), "sha256": digest})
    hub.fetch_tokenizer(own.weights, tmp_path, tmp_path / "tokenizer.json", encoder=True)
    assert (tmp_path / "tokenizer.json").read_bytes() == (saved / "tokenizer.json").read_bytes()
    assert not pretrained_encoder.convert_text_tower(own, tmp_path, tmp_path / "tiny.text.safetensors")


def test_an_encoder_without_text_is_said_before_its_weights_are_fetched(tmp_path, monkeypatch):
    folder = tmp_path / "vit"
    encoder_repositories.save("vit", folder)
    with serve(files_of(folder)) as server:
        point(monkeypatch, server.url)
        with pytest.raises(HistoBenchError) as caught:
            pretrained_encoder.convert_text_tower(settings("vit"), tmp_path, tmp_path / "tiny.text.safetensors")
        with pytest.raises(HistoBenchError, match=f"{REPOSITORY} at .* has no tokenizer.json"):
            hub.fetch_tokenizer(CLIP.weights, tmp_path, tmp_path / "tokenizer.json", encoder=True)
    assert "config.json: the config.json is of 'vit', which reads no text, but a mode with " in str(caught.value)
    assert WEIGHTS not in server.requests
