"""Published weights of vision-language models, from a Hub on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from histobench.fetch import hub
from histobench.io.errors import HistoBenchError
from histobench.models import prompts, vlm
from histobench.models.vlm_architecture import Family
from histobench.study.spec import VlmSettings
from histobench.training import pretrained_vlm
from tests.models.hub_server import REPOSITORY, REVISION, Hub, serve
from tests.models.vlm_settings import FAMILIES, tiny

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAME = f"{REPOSITORY.replace('/', '--')}-{REVISION[:12]}"
INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00003.safetensors"


def settings_of(family: str, **changes) -> VlmSettings:
    return tiny(family, weights={"hub": REPOSITORY, "revision": REVISION}, **changes)


def tokenizer(family: Family, config) -> dict[str, object]:
    ids = dict(zip(family.MARKER_TOKENS, family.marker_ids(config), strict=True))
    return {"version": "1.0", "added_tokens": [{"id": number, "content": token} for token, number in ids.items()]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Of each family a model with language-model head as transformers loads it, and its repository's files in bf16."""
    made = {}
    for family in FAMILIES:
        architecture = vlm.architecture(tiny(family))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = architecture.generator(architecture.config).to(torch.bfloat16)
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder, max_shard_size="75KB")
        model = architecture.generator.from_pretrained(folder, dtype=torch.float32).eval()
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        files["tokenizer.json"] = json.dumps(tokenizer(architecture.family, architecture.config)).encode()
        files |= {"pytorch_model.bin": b"a pickle", "README.md": b"# Tiny", "preprocessor_config.json": b"{}"}
        assert sum(name.endswith(".safetensors") for name in files) >= 3
        made[family] = model, files
    return made


def point(monkeypatch, url: str) -> None:
    """Name a mirror of the Hub; do not wait before further attempts."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def unplug(monkeypatch) -> None:
    """Name an address where nobody listens."""
    point(monkeypatch, "http://127.0.0.1:9")


@pytest.fixture
def server(saved, monkeypatch):
    """A Hub with the files of the SmolVLM kind."""
    with serve(saved["smolvlm"][1]) as server:
        point(monkeypatch, server.url)
        yield server


@pytest.fixture
def folder(tmp_path):
    """Where the files of the repository go."""
    return tmp_path / NAME


@pytest.fixture
def output(tmp_path):
    return tmp_path / "tiny.safetensors"


SMOL = settings_of("smolvlm")


def fetch(folder: Path, settings: VlmSettings = SMOL) -> None:
    pretrained_vlm.fetch(settings, folder.parent)


def refused(folder: Path, settings: VlmSettings = SMOL) -> str:
    """Return the message of a conversion that fails, and check that it leaves no incomplete file."""
    with pytest.raises(HistoBenchError) as caught:
        pretrained_vlm.convert(settings, folder.parent, folder.with_name("tiny.safetensors"))
    assert sorted(folder.parent.iterdir()) in ([], [folder])
    assert not [path for path in folder.glob(".*") if "part" not in path.name]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def edited(files: dict[str, bytes], name: str, change) -> bytes:
    """Return a JSON file, or the tensors of a safetensors file, after a change."""
    if name.endswith(".json"):
        content = json.loads(files[name])
        change(content)
        return json.dumps(content).encode()
    tensors = load(files[name])
    change(tensors)
    return save(tensors, {"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_classifier_embeds_as_the_published_model_does(family, saved, monkeypatch, folder, output):
    model, files = saved[family]
    settings = settings_of(family)
    with serve(files) as server:
        point(monkeypatch, server.url)
        assert pretrained_vlm.convert(settings, folder.parent, output)
    with safe_open(output, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert (metadata["hub"], metadata["revision"]) == (REPOSITORY, REVISION)
    assert json.loads(metadata["config"]) == json.loads(files["config.json"])
    expected = model.model.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(tensors[name].dtype == torch.bfloat16 for name in tensors)
    assert all(torch.equal(tensors[name].float(), expected[name]) for name in tensors)

    classifier = vlm.build(settings, 0, output)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    start, image, end = classifier.family.marker_ids(model.config)
    ids = torch.tensor([[start, *[image] * 16, end]] * 3)
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - classifier.mean / 255) / (classifier.std / 255)
    if family.startswith("qwen"):
        patches, grid = classifier.family.pixels(model.config.vision_config, pixels)
        inputs = {"pixel_values": patches, "image_grid_thw": grid, "mm_token_type_ids": (ids == image).int()}
    else:
        inputs = {"pixel_values": pixels.unsqueeze(1)}
    with torch.inference_mode():
        hidden = model.model(input_ids=ids, **inputs).last_hidden_state[:, -1]
        embedded = classifier.eval().embed(images)
    # At most 28 matrix products one after the other, with sums of at most 64 terms of size 1 or less (patches: 192).
    bound = (192 + 27 * 64) * torch.finfo(torch.float32).eps
    assert hidden.std() > 100 * bound
    torch.testing.assert_close(embedded, hidden, rtol=0, atol=bound)


def test_only_json_and_safetensors_are_downloaded_and_later_only_what_is_missing(server: Hub, saved, folder, output):
    fetch(folder)
    weights = [name for name in saved["smolvlm"][1] if name.endswith(".safetensors")]
    assert sorted(server.requests) == sorted(["tree", "config.json", "tokenizer.json", INDEX, *weights])
    assert sorted(path.name for path in folder.iterdir()) == sorted([*server.requests[1:], "hub.json"])
    for name in server.requests[1:]:
        assert (folder / name).read_bytes() == server.files[name]
    server.requests.clear()
    assert not pretrained_vlm.convert(SMOL, folder.parent, output)
    assert server.requests == []
    (folder / FIRST).unlink()
    (folder / "tokenizer.json").unlink()
    fetch(folder)
    assert server.requests == ["tokenizer.json", FIRST]


@pytest.mark.parametrize("name", ["config.json", FIRST])
def test_a_changed_file_is_found_and_kept(name, server, folder):
    fetch(folder)
    changed = bytearray((folder / name).read_bytes())
    changed[-1] ^= 1
    (folder / name).write_bytes(changed)
    message = refused(folder)
    assert message.startswith(f"{folder / name}: its ")
    assert "expected" in message
    assert "delete the file" in message
    assert (folder / name).read_bytes() == changed


def test_a_web_page_in_place_of_the_listing_is_refused(server, folder):
    server.pages.add("tree")
    assert f"{folder / 'config.json'} is missing and {server.url} cannot be reached (its list of" in refused(folder)


@pytest.mark.parametrize("commit", [("hub", "someone/else"), ("revision", "f" * 40)])
def test_an_unknown_repository_or_revision_is_one_message(commit, server, folder):
    weights = {"hub": REPOSITORY, "revision": REVISION} | dict([commit])
    assert refused(folder, tiny("smolvlm", weights=weights)) == (
        f"{weights['hub']}: {server.url} has no public revision {weights['revision']} of such a repository (404); "
        "correct `hub` or `revision` in the model's weights"
    )


def test_a_shard_in_the_index_that_the_repository_lacks_is_named(server, folder):
    del server.files[FIRST]
    assert refused(folder) == (
        f"{REPOSITORY} at {REVISION} has no {FIRST}, which is needed to load the model; choose another revision"
    )


def test_names_outside_the_folder_are_left_out_of_a_listing(server, folder):
    names = ["../stolen.safetensors", "/tmp/stolen.json", "C:stolen.json", "..\\stolen.json"]
    server.listed.update(dict.fromkeys(names, b"!"))
    fetch(folder)
    assert not any("stolen" in name for name in server.requests)
    assert "stolen" not in (folder / "hub.json").read_text()


def test_a_config_of_another_model_type_is_refused_before_the_weights_come(server, saved, folder):
    server.files["config.json"] = saved["qwen2-vl"][1]["config.json"]
    assert refused(folder) == (
        f"{folder / 'config.json'}: smolvlm: the model's config has the model_type 'qwen2_vl', expected idefics3; correct "
        "`family`, or choose another model"
    )
    assert not any(name.endswith(".safetensors") for name in server.requests)


def test_a_published_config_in_the_older_flat_form_is_the_same_architecture(saved):
    def flatten(config):
        config |= config.pop("text_config") | {"model_type": "qwen2_vl", "torch_dtype": config.pop("dtype")}
        rope = config.pop("rope_parameters")
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": {k: rope[k] for k in ("type", "mrope_section")}}
        config |= {"max_window_layers": 28, "vision_token_id": 5}
        config["vision_config"] |= {"in_chans": 3, "spatial_patch_size": 8}

    files = saved["qwen2-vl"][1]
    flat = json.loads(edited(files, "config.json", flatten))
    one, other = (
        vlm.architecture(settings_of("qwen2-vl"), config).config.text_config.to_dict()
        for config in (flat, json.loads(files["config.json"]))
    )
    ignored = ("dtype", "max_window_layers", "rope_parameters")
    assert {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}
    for key in ("rope_theta", "mrope_section"):
        assert one["rope_parameters"][key] == other["rope_parameters"][key]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "tokenizer.json",
            {"added_tokens": [{"id": 9, "content": "<image>"}]},
            "<fake_token_around_image> the id of no",
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "<image>"}}}, "<image> the id 3 and 9"),
        ("added_tokens.json", {"<fake_token_around_image>": 7}, "<fake_token_around_image> the id 2 and 7"),
    ],
)
def test_a_tokenizer_with_another_id_of_a_marker_is_refused(file, content, said, server, folder):
    server.files[file] = json.dumps(content).encode()
    assert refused(folder).startswith(f"{folder}: the tokenizer gives {said}")


NORM = "model.text_model.norm.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(NORM, None), f"the weights lack parameter {NORM}"),
        (
            lambda tensors: [tensors.update({f"module.{name}": tensors.pop(name)}) for name in list(tensors)],
            # as DataParallel names them
            r"the weights lack parameter model\.\S+ \(\d+ such\) and have the unknown parameter module\.",
        ),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "the weights have the unknown parameter extra"),
        (
            lambda tensors: tensors.update({NORM: torch.ones(3)} if NORM in tensors else {}),
            f"the weights have in another shape the parameter {NORM}",
        ),
    ],
)
def test_missing_unknown_and_misshapen_parameters_are_refused(change, said, server, folder):
    for name in server.files:
        if name.endswith(".safetensors"):
            server.files[name] = edited(server.files, name, change)
    assert re.match(rf"{folder}: {said}", refused(folder))


def test_a_language_model_head_may_be_missing_and_verified_files_need_no_network(server, folder, output, monkeypatch):
    for name in server.files:
        if name.endswith(".safetensors"):
            server.files[name] = edited(server.files, name, lambda tensors: tensors.pop("lm_head.weight", None))
    fetch(folder)
    unplug(monkeypatch)
    pretrained_vlm.convert(SMOL, folder.parent, output)
    vlm.build(SMOL, 0, output)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_language_model_head_and_the_tokenizer_are_files_of_their_own(family, saved, tmp_path, monkeypatch):
    model, files = saved[family]
    head, tokenizer_file = tmp_path / "head.safetensors", tmp_path / "tokenizer.json"
    with serve(files) as server:
        point(monkeypatch, server.url)
        hub.fetch_tokenizer(settings_of(family).weights, tmp_path, tokenizer_file)
        assert server.requests == ["tree", "tokenizer.json"]
        assert pretrained_vlm.convert_language_head(settings_of(family), tmp_path, head)
    assert tokenizer_file.read_bytes() == files["tokenizer.json"]
    (tensor,) = load(head.read_bytes()).values()
    assert torch.equal(tensor.float(), model.lm_head.weight)
    made = vlm.architecture(settings_of(family), json.loads(files["config.json"]))
    assert torch.equal(prompts.language_head(made, head, 0), model.lm_head.weight)
    (tmp_path / NAME / "tokenizer.json").write_text("{}")
    with pytest.raises(HistoBenchError, match=r"tokenizer\.json"):
        hub.fetch_tokenizer(settings_of(family).weights, tmp_path, tokenizer_file)
    assert tokenizer_file.read_bytes() == files["tokenizer.json"]


def test_a_head_that_is_missing_is_that_of_the_embedding_where_both_are_tied_and_refused_elsewhere(
    server, folder, output
):
    def without_head(tied: bool) -> dict[str, bytes]:
        def tie(config):
            config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = tied

        files = {name: edited(server.files, name, drop) for name in server.files if name.endswith(".safetensors")}
        return files | {"config.json": edited(server.files, "config.json", tie)}

    def drop(tensors):
        tensors.pop("lm_head.weight", None)

    server.files |= without_head(tied=False)
    with pytest.raises(HistoBenchError, match=r"the weights lack parameter lm_head\.weight"):
        pretrained_vlm.convert_language_head(SMOL, folder.parent, output)
    shutil.rmtree(folder)
    server.files |= without_head(tied=True)
    pretrained_vlm.convert_language_head(SMOL, folder.parent, output)
    (name,) = (name for name in server.files if b"embed_tokens" in server.files[name] and name.endswith(".safetensors"))
    embedding = next(tensor for key, tensor in load(server.files[name]).items() if "embed_tokens" in key)
    assert torch.equal(load(output.read_bytes())["lm_head.weight"], embedding)


def test_without_network_files_put_there_by_hand_are_used_with_a_warning(saved, folder, output, monkeypatch, caplog):
    unplug(monkeypatch)
    put(folder, saved["smolvlm"][1])
    pretrained_vlm.convert(SMOL, folder.parent, output)
    assert f"{folder / FIRST}: could not be compared with {REPOSITORY} at {REVISION}" in caplog.text
    assert not (folder / "hub.json").exists()


@pytest.mark.parametrize("name", ["config.json", INDEX, FIRST])
def test_without_network_the_message_says_which_file_is_missing_and_where_to_get_and_put_it(
    name, saved, folder, monkeypatch
):
    unplug(monkeypatch)
    put(folder, {key: content for key, content in saved["smolvlm"][1].items() if key != name})
    missing = "model.safetensors" if name == INDEX else name
    message = refused(folder)
    assert message.startswith(f"{folder / missing} is missing and http://127.0.0.1:9 cannot be reached (")
    assert (
        f"files (an encoder's may be pytorch_model.bin) of http://127.0.0.1:9/{REPOSITORY}/tree/{REVISION} " in message
    )
    assert f"put them into {folder}," in message


def test_a_single_file_that_the_repository_lacks_is_not_loaded_in_place_of_the_shards(server, folder, output):
    fetch(folder)
    shutil.copy(folder / FIRST, folder / "model.safetensors")
    pretrained_vlm.convert(SMOL, folder.parent, output)


def test_the_architecture_alone_is_downloaded_in_kilobytes(server, folder, tmp_path, monkeypatch):
    output = tmp_path / "tiny.config.json"
    hub.fetch_config(SMOL.weights, tmp_path, output)
    assert server.requests == ["tree", "config.json"]
    config = json.loads(output.read_text())
    assert config == json.loads(server.files["config.json"])
    assert vlm.architecture(SMOL, config).tokens == (16, 48)
    unplug(monkeypatch)
    hub.fetch_config(SMOL.weights, tmp_path, output)
    (folder / "config.json").unlink()
    with pytest.raises(HistoBenchError, match="is missing and could not be downloaded"):
        hub.fetch_config(SMOL.weights, tmp_path, output)
    put(tmp_path / "own", {"config.json": b'{"scale_factor": NaN}'})
    with pytest.raises(HistoBenchError, match=r"own/config\.json: is not a JSON object \(NaN is not"):
        hub.fetch_config(own(tmp_path / "own").weights, tmp_path, output)


def test_a_damaged_record_is_named(server, folder):
    fetch(folder)
    record = folder / "hub.json"
    record.write_text(record.read_text()[:-20])
    assert refused(folder).startswith(f"{record}: is not a JSON object")
    record.write_text(json.dumps({"hub": REPOSITORY, "revision": REVISION, "files": {FIRST: "sha256:"}}))
    assert refused(folder).startswith(f"{record}: does not give a digest of every file")


def test_the_scripts_ask_only_the_mirror_and_send_no_credentials(server, folder, tmp_path):
    environment = {"PYTHONPATH": str(SCRIPTS.parent / "workflow"), "HF_ENDPOINT": server.url, "no_proxy": "*"}
    environment = os.environ | environment | {"HF_TOKEN": "hf_secret"}

    def run(script: str, settings: str, output: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPTS / script, "--model", settings, "--output", tmp_path / output]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    settings = SMOL.model_dump_json()
    for script, output in (("fetch_config.py", "tiny.config.json"), ("fetch_weights.py", "tiny.safetensors")):
        ended = run(script, settings, output)
        assert ended.returncode == 0, ended.stderr
        assert (tmp_path / output).exists()
        assert "hf_secret" not in ended.stdout + ended.stderr
    files = {path.name for path in folder.iterdir()} - {"hub.json"}
    assert set(server.requests) == {"tree", *files}
    assert server.credentials == []
    ended = run("fetch_weights.py", settings.replace(REVISION, "f" * 40), "other.safetensors")
    assert ended.returncode == 1
    assert f"has no public revision {'f' * 40}" in ended.stderr
    assert ended.stderr.count("\n") == 1


FILES = ["config.json", "tokenizer.json", INDEX, *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3))]
"""What loading uses of a sharded model."""


def own(folder: Path, digest: str = "0" * 64, family: str = "smolvlm", **changes) -> VlmSettings:
    return tiny(family, weights={"folder": str(folder), "sha256": digest}, **changes)


def digest_of(folder: Path, names: list[str]) -> str:
    """Return the digest of a folder's files as config/README.md has a user work it out."""
    command = f"sha256sum {' '.join(names)} | LC_ALL=C sort | sha256sum"
    ended = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    return ended.stdout.split()[0]


@pytest.mark.parametrize("family", ["qwen2-vl", "smolvlm"])
def test_a_folder_of_ones_own_gives_the_same_weights_and_no_server_is_asked(family, saved, tmp_path, monkeypatch):
    from_hub, from_folder, folder = tmp_path / "hub.safetensors", tmp_path / "folder.safetensors", tmp_path / "own"
    with serve(saved[family][1]) as server:
        point(monkeypatch, server.url)
        assert pretrained_vlm.convert(settings_of(family), tmp_path, from_hub)
        server.requests.clear()
        put(folder, saved[family][1] | {"adapter_config.json": b"would be loaded, too"})
        assert not pretrained_vlm.convert(own(folder, digest_of(folder, FILES), family), tmp_path, from_folder)
        assert server.requests == []
    one, other = load(from_hub.read_bytes()), load(from_folder.read_bytes())
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    with safe_open(from_folder, framework="pt") as file:
        assert file.metadata()["sha256"] == digest_of(folder, FILES)


def test_a_wrong_digest_of_a_folder_is_refused_with_the_right_one(saved, folder):
    put(folder, saved["smolvlm"][1])
    right = digest_of(folder, FILES)
    message = refused(folder, own(folder))
    assert message == (
        f"{folder}: the SHA-256 of its files ({', '.join(FILES)}) is {right}, expected {'0' * 64}; put the right files "
        "there, or correct `folder` or `sha256` in the model's weights"
    )
    fetch(folder, own(folder, right))
    (folder / "README.md").write_text("Another word.")
    fetch(folder, own(folder, right))  # which loading does not use
    changed = bytearray((folder / FIRST).read_bytes())
    changed[-1] ^= 1
    (folder / FIRST).write_bytes(changed)
    assert f"is {digest_of(folder, FILES)}, expected {right}" in refused(folder, own(folder, right))


@pytest.mark.parametrize(
    ("name", "missing"), [("config.json", "config.json"), (FIRST, FIRST), (INDEX, "model.safetensors")]
)
def test_a_file_that_a_folder_lacks_is_named(name, missing, saved, folder):
    put(folder, {key: content for key, content in saved["smolvlm"][1].items() if key != name})
    assert refused(folder, own(folder)).startswith(f"{folder / missing}: there is no such file, which loading needs;")
