"""`make predict`: runs with kept weights on a folder of images with hostile names, and what is refused."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import save_trained
from histobench.models import build, vlm
from histobench.models.linear_head import LinearHead
from histobench.study import paths
from histobench.study.kept_runs import kept_run
from histobench.study.spec import RunSpec
from histobench.tools import predict
from histobench.tools.command_line import study
from tests.models.test_vlm import Whole
from tests.models.vlm_settings import tiny

STUDY = """
study: mine
device: cpu
datasets: {made-up: {synthetic: {magnifications: [40], width: 60, height: 40}}}
splits: {patient: {by: patient, folds: 2}}
models: {small: {architecture: torchvision/resnet18, weights: random, width: 0.125, image_size: 64}}
modes:
  ft: {keep_weights: true}
  longer: {epochs: 30, keep_weights: true}
  lost: {epochs: 31}
grid:
  - {dataset: made-up, models: [small], modes: [ft, longer, lost], splits: [patient], magnifications: [40], augmentations: [none]}
external: []
"""
NAMES = ("a b.png", "Gewebe ü.TIF", "<script>alert(1)<&'.bmp", "unter/c.jpg")


@pytest.fixture
def made(folder) -> dict[tuple[str, int], torch.nn.Module]:
    """A study with two folds in each of two modes that kept weights, and four images; return the modules."""
    Path("mine.yaml").write_text(STUDY)
    config = study([Path("mine.yaml")])
    modules = {}
    for run in config.runs:
        if run.mode != "lost":
            spec = config.specification(run).model_copy(update={"seed": run.fold + 2 * (run.mode == "ft")})
            module = modules[run.mode, run.fold] = build.build(spec, None, "fp32").eval()
            results = Path(config.path(paths.RUN, **vars(run)))
            save_trained(results / "weights.safetensors", module, spec.canonical())
            (results / "run.json").write_text(json.dumps({"specification": spec.model_dump(mode="json")}))
    rows = [("ft", 0.71), ("longer", 0.83), ("lost", 0.99)]
    summary = Path("results/studies/mine/summary.csv")
    summary.parent.mkdir(parents=True)
    lines = [f"made-up,small,{mode},patient,40,none,last,{score}" for mode, score in rows]
    head = "dataset,model,mode,split,magnification,augmentation,selection,accuracy_mean"
    summary.write_text("\n".join([head, *lines]) + "\n")
    draw = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        path = Path("images") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(draw.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)).save(path)
    return modules


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict[str, str]], str]:
    monkeypatch.setattr("sys.argv", ["predict", "--images", "images", "--device", "cpu", *arguments])
    predict.main()
    with Path("predictions/predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), Path("predictions/predictions.html").read_text(encoding="utf-8")


def expected(*modules: torch.nn.Module) -> dict[str, float]:
    """Return the mean logit of each image, one image at a time."""
    found = {}
    for name in NAMES:
        square = PIL.Image.open(Path("images") / name).convert("RGB").resize((64, 64), PIL.Image.Resampling.BICUBIC)
        batch = torch.from_numpy(np.array(square))[None]
        with torch.no_grad():
            found[name] = float(np.mean([float(module(batch)) for module in modules]))
    return found


def test_a_run_predicts_images_of_any_name_and_goes_on_without_damaged_ones(made, monkeypatch, capsys):
    Path("images/damaged.png").write_bytes(Path("images/a b.png").read_bytes()[:500])
    Path("images/.hidden.png").write_bytes(b"no image")
    Path("images/notes.txt").write_text("no image")
    (results,) = Path("results").glob("made-up-*/runs/small/ft/patient/40x/*/seed0/fold2")
    rows, page = run("--run", str(results), monkeypatch=monkeypatch)
    logits = expected(made["ft", 2])
    assert [row["image"] for row in rows] == sorted(NAMES)
    for row in rows:
        assert float(row["logit"]) == pytest.approx(logits[row["image"]], abs=1e-5)
        assert float(row["probability"]) == pytest.approx(1 / (1 + np.exp(-logits[row["image"]])), abs=1e-5)
        assert row["call"] == ("malignant" if logits[row["image"]] >= 0 else "benign")
    warning = "warning: damaged.png: the PNG is truncated or corrupt"
    said = capsys.readouterr()
    assert said.err.startswith(warning)
    assert "4 images: " in said.out
    assert "1 file could not be read." in said.out
    assert "damaged.png: the PNG is truncated" in page
    # No name is code, every address is a data URI, and each image has its map.
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 1 + 2 * len(NAMES)
    assert all(address.startswith("data:") for address in addresses)
    by_probability = sorted(NAMES, key=lambda name: -logits[name])
    places = [page.index(f"<br>{name.replace('<', '&lt;').replace('>', '&gt;')[:9]}") for name in by_probability]
    assert places == sorted(places)
    for text in ("not a medical device", "It started from RANDOM weights.", "NARROWED", "Dataset made-up, 40×",
                 "seed 0, fold 2", "Grad-CAM (Selvaraju et al. 2017)", "rank correlation"):  # fmt: skip
        assert text in page, text
    assert "SYNTHETIC" not in page  # nothing here says so yet
    (results.parents[7] / "archive.tar.gz").write_bytes(b"")
    _, page = run("--run", str(results), "--maps", "none", monkeypatch=monkeypatch)
    assert "trained on SYNTHETIC images." in page
    assert page.count('src="data:') == len(NAMES)


def test_the_check_of_maps_is_a_number_or_says_why_there_is_none(made, monkeypatch):
    (results,) = Path("results").glob("made-up-*/runs/small/ft/patient/40x/*/seed0/fold1")
    _, page = run("--run", str(results), monkeypatch=monkeypatch)
    (correlation,) = re.findall(r"rank correlation of both is (\S+)\. Near 0", page)
    assert -1 <= float(correlation) <= 1
    torch.nn.init.zeros_(made["ft", 1].head.weight)  # no place matters
    kept = kept_run(results)
    save_trained(kept.trained, made["ft", 1], kept.spec.canonical())
    _, page = run("--run", str(results), monkeypatch=monkeypatch)
    assert "<dt>Check of the maps</dt><dd>It cannot be made: in no map do places differ.</dd>" in page


def test_an_arm_is_the_mean_of_its_folds_and_by_default_the_one_with_the_highest_accuracy(made, monkeypatch):
    options = ("--configfile", "mine.yaml", "--maps", "none")
    rows, page = run(*options, "--arm", "small/ft", monkeypatch=monkeypatch)
    found = {row["image"]: float(row["logit"]) for row in rows}
    assert found == pytest.approx(expected(made["ft", 1], made["ft", 2]), abs=1e-5)
    assert "The logits of 2 runs, of all folds, are averaged" in page
    assert "Mean accuracy over the folds of study mine: 0.7100." in page
    assert "chosen by this score" not in page
    rows, page = run(*options, monkeypatch=monkeypatch)
    found = {row["image"]: float(row["logit"]) for row in rows}
    assert found == pytest.approx(expected(made["longer", 1], made["longer", 2]), abs=1e-5)
    assert "<h1>small, mode longer</h1>" in page
    assert "0.8300. The arm was chosen by this score, the highest of the 2 with kept weights" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say what predicts: RUN=results/.../fold1, or a study, CONFIG=FILE, and ARM=MODEL/MODE"),
        (("--run", "absent"), "absent: there is no such folder; give that of a run"),
        (("--run", "images"), "images: is not the folder of a run; give one that holds run.json"),
        (("--run", "KEPT"), "fold1: this run kept no weights; weights are kept where the mode has `keep_weights: true`"),
        (("--configfile", "mine.yaml", "--arm", "small/lost"), "small/lost has no kept weights, but small/ft, small/longer"),
        (("--configfile", "mine.yaml", "--magnification", "400"), "study mine, 400×: no arm has kept weights;"),
        (("--images", "nowhere", "--run", "KEPT"), "nowhere: there is no such folder of images"),
        (("--images", "config", "--run", "KEPT"), "config: holds no PNG, TIFF, JPEG, BMP or WebP image"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(made, monkeypatch, capsys, arguments, sentence):
    (results,) = Path("results").glob("made-up-*/runs/small/ft/patient/40x/*/seed0/fold1")
    (results / "weights.safetensors").unlink()
    given = [str(results) if word == "KEPT" else word for word in arguments]
    monkeypatch.setattr("sys.argv", ["predict", *([] if "--images" in given else ["--images", "images"]), *given])
    with pytest.raises(SystemExit):
        predict.run_tool(predict.main)
    said = capsys.readouterr().err
    assert (said.startswith("error: "), said.count("\n")) == (True, 1)
    assert sentence in said
    assert not Path("predictions").exists()


@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        (
            {"classes": ["F", "DC"]},
            "fold1: this run has the classes F, DC, expected one that tells benign from malignant",
        ),
        (
            {"recipe": {"stain": "macenko"}},
            "fold1: this run reads images whose stain is normalised to that of its training",
        ),
    ],
)
def test_a_run_that_needs_more_than_the_images_is_refused(made, recorded, sentence):
    config = study([Path("mine.yaml")])
    folder = Path(config.path(paths.RUN, **vars(next(run for run in config.runs if run.mode == "ft"))))
    content = json.loads((folder / "run.json").read_text())
    for key, value in recorded.items():
        one = content["specification"]
        one[key] = one[key] | value if isinstance(value, dict) else value
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(HistoBenchError, match=sentence):
        kept_run(folder)


PUBLISHED = """
models: {asked: {family: smolvlm, weights: {hub: a/b, revision: 81cd9a775a4d644f2faf4e7becff4559b46b14c7}, image_size: 64}}
modes:
  lp-text: {trainable: head, keep_weights: true, prompt: Is it malignant}
  ft-text: {trainable: lora, lora: {rank: 2}, keep_weights: true, prompt: Is it malignant}
  asked-only: {trainable: none, prompts: [Is it], answers: {malignant: [malignant], benign: [it]}}
grid:
  - {dataset: made-up, models: [asked], modes: [lp-text, ft-text, asked-only], splits: [patient], magnifications: [40], augmentations: [none]}
"""


def run_of_a_published_model(mode: str) -> tuple[RunSpec, Path, Path, Path]:
    """Write the run of a mode of PUBLISHED, of random parameters; return specification, folder, weights and tokenizer."""
    Path("mine.yaml").write_text(STUDY.partition("models:")[0] + PUBLISHED + "external: []\n")
    config = study([Path("mine.yaml")])
    run = next(run for run in config.runs if run.mode == mode)
    spec, results = config.specification(run), Path(config.path(paths.RUN, **vars(run)))
    weights, tokenizer = (Path(config.path(pattern, model="asked")) for pattern in (paths.WEIGHTS, paths.TOKENIZER))
    weights.parent.mkdir(parents=True)
    known = {"[UNK]": 0, "Is": 10, "it": 20, "malignant": 30}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tokenizer))
    whole = Whole(tiny("smolvlm")).stir()
    save_file(whole.model.state_dict(), weights, {vlm.CONFIG: json.dumps(tiny("smolvlm").config)})
    results.mkdir(parents=True)
    (results / "run.json").write_text(json.dumps({"specification": spec.model_dump(mode="json")}))
    return spec, results, weights, tokenizer


@pytest.mark.parametrize("mode", ["lp-text", "ft-text"])
def test_the_tokenizer_of_a_prompt_is_found_beside_the_weights(made, monkeypatch, mode):
    spec, results, weights, tokenizer = run_of_a_published_model(mode)
    if mode == "ft-text":
        whole = trained = build.build(spec, weights, "fp32", tokenizer=tokenizer)
    else:
        whole = build.backbone(spec, weights, "fp32", tokenizer=tokenizer)
        trained = LinearHead(whole.head.in_features, 3)
        whole = build.FrozenBackbone(whole, trained, autocast=False)
    save_trained(results / "weights.safetensors", trained, spec.canonical())
    rows, page = run("--run", str(results), monkeypatch=monkeypatch)
    assert {row["image"]: float(row["logit"]) for row in rows} == pytest.approx(expected(whole.eval()), abs=1e-4)
    assert "Occlusion (Zeiler and Fergus 2014)" in page
    tokenizer.unlink()
    sentence = rf"{tokenizer}: the tokenizer of the run's prompt is not there; fetch the downloads of its study again"
    with pytest.raises(HistoBenchError, match=sentence):
        run("--run", str(results), monkeypatch=monkeypatch)


def test_a_run_that_was_not_trained_is_refused(made):
    _, results, *_ = run_of_a_published_model("asked-only")
    with pytest.raises(HistoBenchError, match="fold1: in this run nothing was trained, so that it kept no weights"):
        kept_run(results)
