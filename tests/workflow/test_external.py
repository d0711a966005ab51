"""Data of one's own through the true workflow: a CSV table trains, class folders and a made-up BACH are evaluated on."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from histobench.datasets import synthetic
from histobench.study import paths
from histobench.study.synthetic_settings import SyntheticSettings
from histobench.tools import command_line, pack, verify
from tests.datasets.standin import png
from tests.report import page_numbers
from tests.workflow.conftest import OF_CHECKOUT

RUN = ("--configfile", "config/own.yaml", "--cores", "2", "--resources", "gpu=2")
RUN += ("--set-threads", "train=1", "predict=1", *OF_CHECKOUT)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def noise(number, red):
    pixels = np.random.default_rng(number).integers(0, 150, (24, 32, 3), dtype=np.uint8)
    pixels[..., 0] += red
    return png(pixels)


@pytest.mark.slow
def test_own_data_trains_and_another_dataset_tests(project, monkeypatch):
    images, elsewhere = project.folder / "resources/mine/images", project.folder / "resources/elsewhere"
    table = ["path,label,patient"]
    for patient in range(8):
        label = ("healthy", "carcinoma")[patient % 2]
        for number in range(3):
            path = images / f"case{patient}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(noise(10 * patient + number, 100 * (patient % 2)))
            table.append(f"case{patient}/{number}.png,{label},P{patient}")
            other = elsewhere / ("normal", "invasive")[patient % 2] / f"P{patient}_{number}.png"
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(noise(1000 + 10 * patient + number, 100 * (patient % 2)))
    (images.parent / "images.csv").write_text("\n".join(table) + "\n")
    bach = SyntheticSettings(kind="bach", patients_per_class=1, images_per_patient=2, width=32, height=24)
    synthetic.generate(bach, project.folder / "resources/bach.tar.gz")

    tiny = yaml.safe_load(project.tiny.read_text())
    own = yaml.safe_load((project.folder / "config/studies/own-data.yaml").read_text())
    datasets = own["datasets"] | {"made-up-bach": {"format": "bach", "source": "resources/bach.tar.gz"}}
    # A pixel of `elsewhere` is half as wide as one that models were trained on, so that a tile is as large as its images
    # of 32 x 24 pixels are twice: three quarters of it are reflected.
    datasets["mine"]["microns_per_pixel"], datasets["elsewhere"]["microns_per_pixel"] = {0: 0.5}, 0.25
    block = {
        "dataset": "mine",
        "modes": ["ft", "lp"],
        "splits": ["patient"],
        "magnifications": [0],
        "augmentations": ["none"],
    }
    study = {
        "study": "own",
        "device": "cpu",
        "datasets": datasets,
        "splits": tiny["splits"],
        "models": {"small": tiny["models"]["small"]},
        "modes": {"ft": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "keep_weights": True}, "lp": tiny["modes"]["lp"] | {"keep_weights": True}},
        "grid": [block | {"models": ["small"]}],
        "external": [block | {"models": ["small"], "on": on, "headline": 0, "modes": modes, "scales": scales} for on, modes, scales in (("elsewhere", ["ft", "lp"], ["squashed", "matched"]), ("made-up-bach", ["ft"], ["squashed"]))],
        "comparisons": {"magnification": 0},
    }  # fmt: skip
    (project.folder / "config/own.yaml").write_text(yaml.safe_dump(study))
    results = project.folder / "results/studies/own"
    manifest = project.path(paths.MANIFEST, "own", dataset="mine")
    project.snakemake(*RUN)

    assert len(rows(manifest)) == 24
    metrics = rows(results / "external_metrics.csv")
    assert sorted((row["on"], row["scale"], row["mode"], row["fold"], row["images"]) for row in metrics) == [
        *(
            ("elsewhere", scale, mode, fold, "24")
            for scale in ("matched", "squashed")
            for mode in ("ft", "lp")
            for fold in "12"
        ),
        *(("made-up-bach", "squashed", "ft", fold, "8") for fold in "12"),
    ]
    groups = rows(results / "external_groups.csv")
    assert {row["class"] for row in groups if row["on"] == "made-up-bach"} == {"normal", "benign", "insitu", "invasive"}
    assert {(row["class"], row["label"]) for row in groups if row["on"] == "elsewhere"} == {
        ("normal", "0"),
        ("invasive", "1"),
    }
    headline = rows(results / "tables/external-results.csv")
    assert [(row["model"], row["mode"]) for row in headline] == [("small", "ft"), ("small", "lp")]
    geometry = ("pixel_width", "pixel_height", "relative_width", "relative_height", "tiles", "share_covered")
    assert [(row["mode"], row["scale"], *(row[name] for name in geometry)) for row in rows(results / "tables/external-results-scales.csv")] == [
        # 32 x 0.25 / 32 px = 0.25 um and 24 x 0.25 / 32 px = 0.19 um; tiles have the 0.5 um and 0.375 um of training.
        (mode, scale, *numbers)
        for mode in ("ft", "lp")
        for scale, numbers in (("squashed", ("0.25", "0.19", "0.50", "0.50", "1", "1.000")), ("matched", ("0.50", "0.38", "1.00", "1.00", "1", "1.000")))
    ]  # fmt: skip
    assert (
        "At unknown magnification 75% of a tile is beyond the edges"
        in (results / "tables/external-results-scales.md").read_text()
    )
    assert {row["on"] for row in rows(results / "tables/external.csv")} == {"elsewhere", "made-up-bach"}
    assert "Models start from RANDOM weights." in (results / "tables/external-results.md").read_text()
    for name in ("samples", "external-samples", "external-classes"):
        assert {path.suffix for path in (results / "figures").glob(f"{name}.*")} == {".svg", ".pdf", ".png"}, name
    # Images of one's own are no footnote to the paper, and of unknown magnification.
    assert not [path.name for path in results.rglob("*") if re.search(r"claim|published|table\d|figure\d", path.name)]
    found = page_numbers.read(results / "report.html")
    text = " ".join(" ".join(found.texts).split())
    assert "At unknown magnification, without augmentation, small " in text
    assert not re.search(r"Zhaksylyk|[Cc]laim|ublished|Table \d|Figure \d", text)
    assert {path.name for path in results.glob("**/*.csv")} <= {
        Path(address).name for tag, _, address in found.addresses if tag == "a"
    }
    assert page_numbers.check(results / "report.html") > 100  # every number on it is its CSV's
    assert found.sections == [name for name in page_numbers.SECTIONS if name != "claims"]

    # Packed, it is verified without any of the images; BACH's are not in it, nor is the figure that shows them.
    monkeypatch.chdir(project.folder)
    config = command_line.study([Path("config/own.yaml")])
    members = pack.contents(config)
    assert not [name for name in members if "samples" in name]
    assert (
        len([name for name in members if "/predictions/" in name and "/mine-" in name.partition("/predictions/")[2]])
        == 10
    )
    pack.write(members, config.study, Path("own.tar.gz"))
    images.rename(images.with_name("elsewhere"))
    said: list[str] = []
    assert verify.verify(Path("own.tar.gz"), said.append), said
    assert "External  10 runs predict each image of the other dataset once" in said
    images.with_name("elsewhere").rename(images)

    # A wrong row is one message, and deletes nothing that is made.
    (images.parent / "images.csv").write_text("\n".join([*table, "case9/9.png,helthy,P9"]) + "\n")
    failed = project.snakemake(str(manifest.relative_to(project.folder)), *RUN, check=False)
    assert failed.returncode != 0
    assert "resources/mine/images.csv, line 26: label is 'helthy', expected carcinoma or healthy" in failed.stdout
    assert "Traceback" not in failed.stdout
    (images.parent / "images.csv").unlink()
    absent = project.snakemake("-n", *RUN, check=False)
    assert "resources/mine/images.csv: there is no such table; put it there" in absent.stdout
