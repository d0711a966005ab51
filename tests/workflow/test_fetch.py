"""What a study downloads, through the true workflow: all of it at once, without network, and from folders of one's own."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from histobench.fetch.downloads import downloads, listing, products
from histobench.models import vlm
from histobench.study import paths
from tests.datasets import standin
from tests.models.hub_server import REPOSITORY, REVISION, files_of, serve
from tests.workflow.conftest import TINY, loaded

pytestmark = pytest.mark.slow

GIVEN = ("--configfile", "config/given.yaml")
NOBODY = "http://127.0.0.1:9"
TERMS = {"licence": "CC BY 4.0", "citation": "Some One, 'Images' (2016)"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The tiny study's vision-language model as a repository has it."""
    folder = tmp_path_factory.mktemp("repository")
    made = vlm.architecture(loaded(yaml.safe_load(TINY.read_text())).models["tiny-vlm"].settings)
    made.generator(made.config).save_pretrained(folder)
    ids = zip(made.family.MARKER_TOKENS, made.family.marker_ids(made.config), strict=True)
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"id": n, "content": t} for t, n in ids]}))
    return folder


def study(dataset: dict, **models) -> dict:
    """Return a study of one dataset, `given`, in which each model is a linear probe."""
    config = yaml.safe_load(TINY.read_text())
    tiny = {key: value for key, value in config["models"]["tiny-vlm"].items() if key not in ("weights", "config")}
    config["datasets"] = {"given": {"source": "resources/given/given.tar.gz", **dataset}}
    config["models"] = {name: (tiny if "family" in entry else {}) | entry for name, entry in models.items()}
    config["grid"] = [config["grid"][1] | {"dataset": "given", "models": list(models), "augmentations": ["none"]}]
    return config


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def configure(project, config: dict) -> None:
    (project.folder / "config/given.yaml").write_text(yaml.safe_dump(config))


def jobs(project, *arguments: str) -> dict[str, int]:
    return {name: count for name, count in project.jobs(*arguments, *GIVEN).items() if name != "fetch"}


def test_fetch_gets_what_a_study_downloads_and_what_says_where_re_runs_nothing(
    project, served, repository, monkeypatch
):
    folder, archives = served
    standin.write_standin(folder / "given.tar.gz", members=standin.paths()[:8])
    hub = {"family": "smolvlm", "weights": {"hub": REPOSITORY, "revision": REVISION}, **TERMS}
    shutil.copytree(repository, project.folder / "mine")
    files = ("config.json", "model.safetensors", "tokenizer.json")
    lines = sorted(f"{sha256(repository / name)}  {name}\n" for name in files)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    own = {"family": "smolvlm", "weights": {"folder": "mine", "sha256": digest}, "readout": "mean"}
    dataset = {"url": f"{archives}/gone.tar.gz", "mirrors": [f"{archives}/given.tar.gz"], **TERMS}
    configure(project, study(dataset, hub=hub, own=own))

    def made_at(pattern: str, model: str) -> str:
        return str(project.path(pattern, "given", model=model).relative_to(project.folder))

    targets = ("fetch", made_at(paths.WEIGHTS, "own"))
    with serve(files_of(repository)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        output = project.snakemake(*targets, *GIVEN, "--cores", "2").stdout
    made = [path for name in ("resources", "results") for path in (project.folder / name).rglob("*") if path.is_file()]
    made = {str(path.relative_to(project.folder)) for path in made}
    kept = {path for path in made if not path.startswith(("resources/papers/", "results/logs/"))}
    folder = f"resources/weights/someone--tiny-{REVISION[:12]}"
    assert kept == {
        "resources/given/given.tar.gz",
        "resources/given/given.tar.gz.sha256",
        made_at(paths.MODEL_CONFIG, "hub"),
        made_at(paths.WEIGHTS, "hub"),
        made_at(paths.WEIGHTS, "own"),
        "results/studies/tiny/study.json",
        *(f"{folder}/{name}" for name in ("hub.json", *files)),
    }
    # The terminal and the logs show where each file comes from, and the terms once.
    assert f"given.tar.gz: {archives}/gone.tar.gz failed (404 " in output
    assert re.search(r"^given\.tar\.gz: its SHA-256 is [0-9a-f]{64}$", output, re.MULTILINE)
    assert re.search(r"^model\.safetensors: verified$", output, re.MULTILINE)
    weights = Path(made_at(paths.WEIGHTS, "hub")).stem
    for log, name in (("fetch_dataset/given/given.tar.gz", "given.tar.gz"), (f"fetch_weights/{weights}", weights)):
        text = (project.folder / f"results/logs/{log}.log").read_text()
        for shown in (output, text):
            assert shown.count(f"{name}: its licence is CC BY 4.0\n") == 1
            assert (
                shown.count(f"{name}: if you publish results obtained with it, cite Some One, 'Images' (2016)\n") == 1
            )
        assert "\r" not in text
    # A queue's login node has the network.
    assert len(re.findall(r"^localrule fetch_(config|dataset|weights):", output, re.MULTILINE)) == 4

    moved = {
        "url": f"{NOBODY}/1.tar.gz",
        "mirrors": [f"{NOBODY}/2.tar.gz"],
        "licence": "another",
        "citation": "another",
    }
    configure(project, study(moved, hub=hub | {"licence": "another", "citation": "another"}, own=own))
    path = project.folder / "workflow/histobench/fetch/http.py"
    path.write_text(path.read_text() + "\n\nCHANGED = 1\n")
    assert jobs(project, *targets) == {}

    # A changed file in a folder of one's own is noticed; one that is gone is not needed any more.
    config = project.folder / "mine/config.json"
    config.write_text(config.read_text() + "\n")
    assert jobs(project, *targets)["fetch_weights"] == 1
    shutil.rmtree(project.folder / "mine")
    assert jobs(project, *targets) == {}


def test_without_network_one_message_lists_all_that_is_missing(project, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    monkeypatch.setenv("HISTOBENCH_TORCHVISION_URL", f"{NOBODY}/models")
    dataset = {"url": f"{NOBODY}/given.tar.gz", "mirrors": [f"{NOBODY}/mirror.tar.gz"], "sha256": "a" * 64, **TERMS}
    hub = {"family": "smolvlm", "weights": {"hub": REPOSITORY, "revision": REVISION}, "licence": "Apache-2.0"}
    resnet = {"architecture": "torchvision/resnet18", "image_size": 32}
    config = study(dataset, resnet=resnet, hub=hub, other=hub | {"readout": "mean"})
    configure(project, config)
    output = project.snakemake("fetch", *GIVEN, "--cores", "1", check=False).stdout
    message = f"""\
Still to be downloaded for this study (get it on a machine with network and put it here, or run again later):
  dataset given
    get it from {NOBODY}/given.tar.gz
    or from {NOBODY}/mirror.tar.gz
    put it at resources/given/given.tar.gz
    its SHA-256 is {"a" * 64}; its licence is CC BY 4.0
  weights of resnet
    get it from {NOBODY}/models/resnet18-f37072fd.pth
    put it at resources/weights/resnet18-f37072fd.pth
    its SHA-256 begins with f37072fd; its licence is not named in the configuration
  weights of hub and other
    get it from {NOBODY}/{REPOSITORY}/tree/{REVISION}
    put its .json and .safetensors files (an encoder's may be pytorch_model.bin) into resources/weights/someone--tiny-0123456789ab
    its files are compared with the Hub's digests when the Hub can be reached; its licence is Apache-2.0
"""
    assert output.count(message) == 1
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"architecture": "torchvision/resnet18", "weights": {"file": "tree", "sha256": "0" * 64}},
            "models.mine.weights: tree: is a folder, but the weights of a CNN are one file; give the .safetensors or .pth",
        ),
        (
            {"family": "smolvlm", "weights": {"folder": "nowhere", "sha256": "0" * 64}},
            "models.mine.weights: nowhere: there is no such folder; put the model's files there",
        ),
    ],
)
def test_weights_of_ones_own_that_are_not_there_stop_everything_before_it_begins(project, entry, sentence):
    (project.folder / "tree").mkdir()
    configure(project, study({"source": "tree"}, mine=entry))
    output = project.snakemake(*GIVEN, "-n", check=False).stdout
    assert sentence in output
    assert "Traceback" not in output


def test_what_is_there_or_was_made_into_something_is_not_listed(tmp_path, monkeypatch, repository):
    """Each kind of download, as it goes from missing to there: by hand, in part, and converted."""
    monkeypatch.chdir(tmp_path)
    hub = {"family": "smolvlm", "weights": {"hub": REPOSITORY, "revision": REVISION}}
    http = {"architecture": "torchvision/resnet18", "weights": {"file": f"{NOBODY}/a.pth", "sha256": "b" * 64}}
    package = {"architecture": "torchvision/resnet18", "weights": {"file": "a.pth", "package": "p", "sha256": "b" * 64}}
    own = {"family": "smolvlm", "weights": {"folder": "mine", "sha256": "b" * 64}}
    models = {
        "own": own,
        "hub": hub,
        "http": http,
        "package": package,
        "none": {"architecture": "torchvision/resnet18", "weights": "random"},
    }
    config = loaded(study({"url": f"{NOBODY}/given.tar.gz"}, **models))

    def missing() -> list[str]:
        return [download.name for download in downloads(config) if not download.present]

    assert [download.path.name for download in downloads(config)] == [
        "given.tar.gz", "someone--tiny-0123456789ab", "a.pth"
    ]  # fmt: skip
    assert products(config) == [
        "resources/given/given.tar.gz",
        config.path(paths.WEIGHTS, model="hub"),
        config.path(paths.WEIGHTS, model="http"),
        config.path(paths.MODEL_CONFIG, model="hub"),
    ]
    assert missing() == ["dataset given", "weights of hub", "weights of http"]
    Path("resources/given").mkdir(parents=True)
    Path("resources/given/given.tar.gz.sha256").write_text(f"{'c' * 64}  given.tar.gz\n")
    assert f"its SHA-256 is {'c' * 64}" in listing(downloads(config))
    Path("resources/given/given.tar.gz").touch()
    folder = shutil.copytree(repository, tmp_path / "resources/weights/someone--tiny-0123456789ab")
    Path("resources/weights/a.pth").touch()
    assert missing() == []
    (folder / "tokenizer.json").unlink()
    Path("resources/weights/a.pth").unlink()
    assert missing() == ["weights of hub", "weights of http"]
    for model in ("hub", "http"):
        Path(config.path(paths.WEIGHTS, model=model)).touch()
    assert missing() == []
