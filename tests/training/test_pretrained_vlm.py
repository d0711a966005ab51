"""Published weights of vision-language models, from a Hub on this machine that the true client talks to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import load, save

from histobench.fetch.http import Patience
from histobench.io.errors import HistoBenchError
from histobench.models import vlm
from histobench.study.spec import VlmSettings
from histobench.training import pretrained_vlm
from tests.models.hub_server import REPOSITORY, REVISION, Hub, serve
from tests.models.vlm_settings import FAMILIES, tiny

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_weights.py"
INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00003.safetensors"


def settings_of(family: str, **changes) -> VlmSettings:
    return tiny(family, weights={"hub": REPOSITORY, "revision": REVISION}, **changes)


def tokenizer(family: vlm.Family, config) -> dict[str, object]:
    ids = dict(zip(family.MARKER_TOKENS, family.marker_ids(config), strict=True))
    return {"version": "1.0", "added_tokens": [{"id": number, "content": token} for token, number in ids.items()]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Of each family a model with language-model head as transformers loads it, and its repository's files in bf16."""
    made = {}
    for family in FAMILIES:
        architecture = vlm.architecture(settings_of(family))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = architecture.generator(architecture.config).to(torch.bfloat16)
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder, max_shard_size="75KB")
        model = architecture.generator.from_pretrained(folder, dtype=torch.float32).eval()
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        files["tokenizer.json"] = json.dumps(tokenizer(architecture.family, architecture.config)).encode()
        files |= {"pytorch_model.bin": b"a pickle", "README.md": b"# Tiny", "preprocessor_config.json": b"{}"}
        assert sum(name.endswith(".safetensors") for name in files) == 3
        made[family] = model, files
    return made


@pytest.fixture
def server(saved, monkeypatch):
    """The files of the SmolVLM kind, served where the client looks."""
    with serve(saved["smolvlm"][1]) as server:
        point(monkeypatch, server.url)
        yield server


def point(monkeypatch, url: str) -> None:
    """Do what HF_ENDPOINT does, which the client reads when it is imported; let it not wait before it tries again."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def unplug(monkeypatch) -> None:
    """Point the client at a port where nobody listens."""
    point(monkeypatch, "http://127.0.0.1:9")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tiny"


SMOL = settings_of("smolvlm")


def refused(folder: Path, settings: VlmSettings = SMOL) -> str:
    """Return the one sentence of a conversion that fails, and see that it leaves nothing half-made."""
    output = folder.with_suffix(".safetensors")
    with pytest.raises(HistoBenchError) as caught:
        pretrained_vlm.convert(settings, folder, output)
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
def test_the_classifier_embeds_as_the_published_model_does(family, saved, monkeypatch, folder):
    model, files = saved[family]
    settings = settings_of(family)
    output = folder.with_suffix(".safetensors")
    with serve(files) as server:
        point(monkeypatch, server.url)
        pretrained_vlm.convert(settings, folder, output)
    with safe_open(output, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert (metadata["hub"], metadata["revision"]) == (REPOSITORY, REVISION)
    assert json.loads(metadata["config"]) == settings.config
    expected = model.model.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(tensors[name].dtype == torch.bfloat16 for name in tensors)
    assert all(torch.equal(tensors[name].float(), expected[name]) for name in tensors)

    classifier = vlm.build(settings, 0, output)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    start, image, end = classifier.family.marker_ids(model.config)
    ids = torch.tensor([[start, *[image] * 16, end]] * 3)
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - classifier.mean / 255) / (classifier.std / 255)
    if family == "qwen2-vl":
        patches, grid = classifier.family.pixels(model.config.vision_config, pixels)
        inputs = {"pixel_values": patches, "image_grid_thw": grid, "mm_token_type_ids": (ids == image).int()}
    else:
        inputs = {"pixel_values": pixels.unsqueeze(1)}
    with torch.inference_mode():
        hidden = model.model(input_ids=ids, **inputs).last_hidden_state[:, -1]
        embedded = classifier.eval().embed(images)
    torch.testing.assert_close(embedded, hidden, rtol=1e-5, atol=1e-5)


def test_only_json_and_safetensors_come_and_a_second_call_asks_for_nothing(server: Hub, saved, folder):
    pretrained_vlm.fetch(SMOL, folder)
    weights = [name for name in saved["smolvlm"][1] if name.endswith(".safetensors")]
    assert sorted(server.bodies) == sorted(["tree", "config.json", "tokenizer.json", INDEX, *weights])
    assert sorted(path.name for path in folder.iterdir()) == sorted([*server.bodies[1:], "hub.json"])
    for name in server.bodies[1:]:
        assert (folder / name).read_bytes() == server.files[name]
    server.requests.clear()
    pretrained_vlm.convert(SMOL, folder, folder.with_suffix(".safetensors"))
    assert server.requests == []


def test_a_missing_file_alone_is_downloaded_again(server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    (folder / FIRST).unlink()
    (folder / "tokenizer.json").unlink()
    server.requests.clear()
    pretrained_vlm.fetch(SMOL, folder)
    assert server.bodies == ["tokenizer.json", FIRST]


def test_files_put_there_by_hand_are_checked_and_used(server, saved, folder):
    put(folder, saved["smolvlm"][1])
    pretrained_vlm.fetch(SMOL, folder)
    assert server.bodies == ["tree"]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped_at_the_next_call(server, folder):
    server.broken_at = 1000
    with pytest.raises(HistoBenchError, match=f"closed after 1000 of {len(server.files[FIRST])} bytes"):
        pretrained_vlm.fetch(SMOL, folder)
    server.broken_at = None
    server.requests.clear()
    pretrained_vlm.fetch(SMOL, folder)
    assert server.bodies[0] == f"{FIRST} from 1000"
    assert (folder / FIRST).read_bytes() == server.files[FIRST]


def test_a_transfer_that_falls_silent_goes_on_where_it_stopped_also_behind_a_redirection(server, folder, monkeypatch):
    monkeypatch.setattr("histobench.fetch.http.PATIENCE", Patience(silence=0.3, pause=0))
    server.elsewhere, server.silent_at = True, 1000
    monkeypatch.setattr("time.sleep", lambda seconds: setattr(server, "silent_at", None))
    pretrained_vlm.fetch(SMOL, folder)
    assert [body for body in server.bodies if body.startswith(FIRST)] == [FIRST, FIRST] + [f"{FIRST} from 1000"] * 2
    assert (folder / FIRST).read_bytes() == server.files[FIRST]


@pytest.mark.parametrize("name", ["tree", "config.json", INDEX, FIRST])
def test_a_hub_that_stumbles_is_asked_again(name, server, folder):
    server.stumbles[name] = 2
    pretrained_vlm.fetch(SMOL, folder)
    assert server.bodies.count(name) == 3


def test_a_hub_that_never_answers_is_not_waited_for_for_ever(server, folder, monkeypatch):
    """The true client sets no time-out at all."""
    monkeypatch.setattr("histobench.fetch.http.PATIENCE", Patience(silence=0.1, pause=0))
    monkeypatch.setattr(server, "entry", lambda *file: server.released.wait(10))
    assert "cannot be reached (timed out)" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", FIRST])
def test_a_changed_file_is_found_and_kept(name, server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    changed = bytearray((folder / name).read_bytes())
    changed[-1] ^= 1
    (folder / name).write_bytes(changed)
    message = refused(folder)
    assert message.startswith(f"{folder / name}: its ")
    assert "expected" in message
    assert "delete the file" in message
    assert (folder / name).read_bytes() == changed


def test_a_truncated_shard_is_found(server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    (folder / FIRST).write_bytes(server.files[FIRST][:-100])
    assert refused(folder).startswith(f"{folder / FIRST}: its SHA-256 is ")


@pytest.mark.parametrize("name", ["config.json", FIRST])
def test_what_the_server_sends_must_be_what_it_lists(name, server, folder):
    server.listed[name] = server.files[name][:-1] + b"!"
    message = refused(folder)
    assert "git object id" in message or "SHA-256" in message
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", ["config.json", FIRST])
def test_a_web_page_in_place_of_a_file_is_refused(name, server, folder):
    server.pages.add(name)
    assert refused(folder).startswith(f"{folder / name} is missing and ")
    assert not (folder / name).exists()


def test_a_web_page_in_place_of_the_listing_is_refused(server, folder):
    server.pages.add("tree")
    assert f"{folder / 'config.json'} is missing and {server.url} cannot be reached (Expecting value" in refused(folder)


@pytest.mark.parametrize("commit", [("hub", "someone/else"), ("revision", "f" * 40)])
def test_an_unknown_repository_or_revision_is_one_sentence(commit, server, folder):
    weights = {"hub": REPOSITORY, "revision": REVISION} | dict([commit])
    assert refused(folder, tiny("smolvlm", weights=weights)) == (
        f"{weights['hub']}: {server.url} shows no revision {weights['revision']} of such a repository (404); "
        "correct `hub` or `revision` in the model's weights"
    )


def test_files_of_another_revision_are_not_mixed(server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = tiny("smolvlm", weights={"hub": REPOSITORY, "revision": "f" * 40})
    assert f"holds files of {REPOSITORY} at {REVISION}, not of {REPOSITORY} at {'f' * 40}" in refused(folder, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_shard_that_the_index_names_and_the_repository_lacks_is_named(server, folder):
    del server.files[FIRST]
    assert refused(folder) == (
        f"{REPOSITORY} at {REVISION} has no {FIRST}, which loading needs; choose another revision"
    )


@pytest.mark.parametrize("name", ["../stolen.safetensors", "/tmp/stolen.json", "C:stolen.json", "..\\stolen.json"])
def test_a_listing_or_an_index_that_leads_out_of_the_folder_is_refused(name, server, saved, folder, monkeypatch):
    server.listed[name] = b"!"
    assert f"lists the file {name!r}, which leads out of its folder" in refused(folder)
    assert not folder.exists()
    del server.listed[name]
    target = name.replace(".json", ".safetensors")
    server.files[INDEX] = edited(server.files, INDEX, lambda index: index["weight_map"].update({"stolen": target}))
    assert "expected .safetensors files beside it" in refused(folder)


def test_an_index_that_names_a_pickle_is_refused(server, folder):
    server.files[INDEX] = edited(server.files, INDEX, lambda i: i["weight_map"].update({"x": "pytorch_model.bin"}))
    assert "'pytorch_model.bin'" in refused(folder)


def test_a_config_of_another_model_type_is_refused_before_the_weights_come(server, saved, folder):
    server.files["config.json"] = saved["qwen2-vl"][1]["config.json"]
    assert refused(folder) == (
        f"{folder / 'config.json'}: its model_type is qwen2_vl, expected idefics3 for the family smolvlm; correct "
        "`family`, or `model_type` in the model's config"
    )
    assert not any(name.endswith(".safetensors") for name in server.bodies)


@pytest.mark.parametrize(
    ("config", "change", "said"),
    [
        ({"text_config": {"num_attention_heads": 2}}, {}, "text_config.num_attention_heads is 4, but 2 by"),
        ({"scale_factor": 4}, {}, "scale_factor is 2, but 4 by"),
        ({"text_config": {"max_position_embeddings": 99}}, {}, "text_config.max_position_embeddings is 128, but 99 by"),
        # A key that YAML leaves to its default, and one that the published config has otherwise.
        ({}, {"rms_norm_eps": 0.5}, "text_config.rms_norm_eps is 0.5, but 1e-06 by"),
        ({}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}, "text_config.rope_parameters is"),
        # A key that nobody knows.
        ({"text_config": {"typing_error": 1}}, {}, "text_config.typing_error is None, but 1 by"),
    ],
)
def test_a_config_that_differs_is_refused_by_key_and_values(config, change, said, server, folder):
    server.files["config.json"] = edited(server.files, "config.json", lambda c: c["text_config"].update(change))
    message = refused(folder, settings_of("smolvlm", config=config))
    assert message.startswith(f"{folder / 'config.json'}: {said}")


def test_a_config_that_transformers_rejects_is_one_sentence(server, folder):
    server.files["config.json"] = edited(
        server.files, "config.json", lambda c: c["text_config"].update(hidden_size="x")
    )
    assert refused(folder).startswith(f"{folder / 'config.json'}: transformers does not take it (")


def test_a_published_config_in_the_older_flat_form_is_the_same_config(saved, folder, monkeypatch):
    def flatten(config):
        config |= config.pop("text_config") | {"model_type": "qwen2_vl", "torch_dtype": config.pop("dtype")}
        rope = config.pop("rope_parameters")
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": {k: rope[k] for k in ("type", "mrope_section")}}
        config |= {"max_window_layers": 28, "vision_token_id": 5}
        config["vision_config"] |= {"in_chans": 3, "spatial_patch_size": 8}

    files = dict(saved["qwen2-vl"][1])
    files["config.json"] = edited(files, "config.json", flatten)
    with serve(files) as server:
        point(monkeypatch, server.url)
        pretrained_vlm.fetch(settings_of("qwen2-vl"), folder)


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
    assert refused(folder).startswith(f"{folder}: {said}")


def test_a_language_model_head_may_be_missing(server, saved, folder):
    for name in server.files:
        if name.endswith(".safetensors"):
            server.files[name] = edited(server.files, name, lambda tensors: tensors.pop("lm_head.weight", None))
    output = folder.with_suffix(".safetensors")
    pretrained_vlm.convert(SMOL, folder, output)
    vlm.build(SMOL, 0, output)


def test_without_network_checked_files_are_enough(server, folder, monkeypatch):
    pretrained_vlm.fetch(SMOL, folder)
    unplug(monkeypatch)
    pretrained_vlm.convert(SMOL, folder, folder.with_suffix(".safetensors"))


def test_without_network_files_put_there_by_hand_are_used_with_a_warning(saved, folder, monkeypatch, caplog):
    unplug(monkeypatch)
    put(folder, saved["smolvlm"][1])
    pretrained_vlm.convert(SMOL, folder, folder.with_suffix(".safetensors"))
    assert f"{folder / FIRST}: could not be compared with {REPOSITORY} at {REVISION}" in caplog.text
    assert not (folder / "hub.json").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", INDEX, FIRST])
def test_without_network_a_missing_file_is_named_and_where_to_get_and_to_put_it(name, saved, folder, monkeypatch):
    unplug(monkeypatch)
    put(folder, {key: content for key, content in saved["smolvlm"][1].items() if key != name})
    missing = "model.safetensors" if name == INDEX else name
    message = refused(folder)
    assert message.startswith(f"{folder / missing} is missing and http://127.0.0.1:9 cannot be reached (")
    assert "Connection refused" in message
    assert f"files of http://127.0.0.1:9/{REPOSITORY}/tree/{REVISION} " in message
    assert f"put them into {folder}," in message


def test_without_network_a_shard_lost_after_the_first_download_is_named(server, folder, monkeypatch):
    pretrained_vlm.fetch(SMOL, folder)
    (folder / FIRST).unlink()
    unplug(monkeypatch)
    assert refused(folder).startswith(f"{folder / FIRST} is missing and could not be downloaded (Connection refused)")


@pytest.mark.parametrize("content", [None, b"<!DOCTYPE html><html>log in</html>"])
def test_without_network_a_damaged_shard_is_named(content, saved, folder, monkeypatch):
    unplug(monkeypatch)
    files = saved["smolvlm"][1]
    put(folder, files | {FIRST: content or files[FIRST][:-100]})
    assert refused(folder).startswith(f"{folder / FIRST}: is not a whole safetensors file (")


def test_a_stray_single_file_is_not_loaded_in_place_of_the_shards(server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    shutil.copy(folder / FIRST, folder / "model.safetensors")
    assert "model.safetensors: someone/tiny at" in refused(folder)


def test_a_damaged_record_is_named(server, folder):
    pretrained_vlm.fetch(SMOL, folder)
    record = folder / "hub.json"
    record.write_text(record.read_text()[:-20])
    assert refused(folder).startswith(f"{record}: is not a JSON object")
    record.write_text(json.dumps({"hub": REPOSITORY, "revision": REVISION, "files": {FIRST: "sha256:"}}))
    assert refused(folder).startswith(f"{record}: does not give a digest of every file")


def test_random_weights_are_not_fetched(folder):
    assert "leave out --weights" in refused(folder, tiny("smolvlm"))


def test_the_script_asks_the_mirror_and_nobody_else(server, folder):
    output = folder.with_suffix(".safetensors")
    command = [sys.executable, SCRIPT, "--model", SMOL.model_dump_json(), "--output", output]
    environment = {"PYTHONPATH": str(SCRIPT.parents[1] / "workflow"), "HF_ENDPOINT": server.url, "no_proxy": "*"}
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert (ended.returncode, ended.stdout) == (0, f"{output}: weights of {REPOSITORY}\n"), ended.stderr
    downloads = folder.with_name(f"{REPOSITORY.replace('/', '--')}-{REVISION[:12]}")
    files = {path.name for path in downloads.iterdir()} - {"hub.json"}
    assert {request.split()[1] for request in server.requests} == {"tree", *files}
    assert "HTTP Request" not in ended.stderr
    command[3] = command[3].replace(REVISION, "f" * 40)
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert ended.returncode == 1
    assert f"shows no revision {'f' * 40}" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert {path.name for path in downloads.iterdir()} - {"hub.json"} == files


FILES = ["config.json", "tokenizer.json", INDEX, *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3))]
"""What loading uses of a sharded model."""


def own(folder: Path, digest: str = "0" * 64, family: str = "smolvlm", **changes) -> VlmSettings:
    return tiny(family, weights={"folder": str(folder), "sha256": digest}, **changes)


def digest_of(folder: Path, names: list[str]) -> str:
    """Return the digest of a folder's files as config/README.md has a user work it out."""
    command = f"sha256sum {' '.join(names)} | LC_ALL=C sort | sha256sum"
    ended = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    return ended.stdout.split()[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_ones_own_gives_the_same_weights_and_nobody_is_asked(family, saved, folder, monkeypatch):
    from_hub, from_folder = folder.with_name("hub.safetensors"), folder.with_name("folder.safetensors")
    with serve(saved[family][1]) as server:
        point(monkeypatch, server.url)
        assert pretrained_vlm.convert(settings_of(family), folder.with_name("downloads"), from_hub)
        server.requests.clear()
        put(folder, saved[family][1] | {"adapter_config.json": b"would be loaded, too"})
        assert not pretrained_vlm.convert(own(folder, digest_of(folder, FILES), family), folder, from_folder)
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
    pretrained_vlm.fetch(own(folder, right), folder)
    (folder / "README.md").write_text("Another word.")
    pretrained_vlm.fetch(own(folder, right), folder)  # which loading does not use
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


def test_a_folder_that_is_none_is_named(folder):
    assert refused(folder, own(folder)).startswith(f"{folder}: there is no such folder;")


def test_a_folder_of_another_model_is_refused(saved, folder):
    put(folder, saved["qwen2-vl"][1])
    settings = own(folder, digest_of(folder, FILES))
    assert f"{folder / 'config.json'}: its model_type is qwen2_vl, expected idefics3" in refused(folder, settings)


def test_an_index_in_a_folder_that_leads_out_is_refused(saved, folder):
    files = dict(saved["smolvlm"][1])
    files[INDEX] = edited(files, INDEX, lambda index: index["weight_map"].update(stolen="../stolen.safetensors"))
    put(folder, files)
    assert "expected .safetensors files beside it" in refused(folder, own(folder))


def test_a_tokenizer_in_a_folder_with_another_id_of_a_marker_is_refused(saved, folder):
    put(folder, saved["smolvlm"][1] | {"added_tokens.json": json.dumps({"<image>": 9}).encode()})
    settings = own(folder, digest_of(folder, [*FILES, "added_tokens.json"]))
    assert refused(folder, settings).startswith(f"{folder}: the tokenizer gives <image> the id 3 and 9, the model's")
