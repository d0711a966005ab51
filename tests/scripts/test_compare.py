"""compare.py, and score.py before it, as the workflow calls them: bad input leaves a gap, and the rest is reported."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from histobench.study import resolved
from histobench.study.resolved import Arm
from tests.report import page_numbers
from tests.report.studies import block, study
from tests.scripts.running import ROOT, Ended, rows, run

MODELS = ("alexnet", "vgg19", "resnet34")
TABLES = ("intervals", "comparisons", "calibration", "gaps")


def predicted(folder: Path) -> list[str]:
    """Write three arms of two folds, each of two malignant and two benign patients with five images."""
    names = []
    for model in MODELS:
        for fold in (1, 2):
            rng = np.random.default_rng([ord(model[0]), fold])
            name = f"results/small-01234567/runs/{model}/ft/patient/40x/none-89abcdef/seed0/fold{fold}/predictions.csv"
            lines = ["image_id,accession,group,fold,label,logit,best_epoch_logit"]
            for number in range(20):
                label = int(number < 10)
                logit = rng.normal(label - 0.5)
                lines.append(
                    f"i{fold}{number:02d},a{fold},p{fold}{number // 5},{fold},{label},{logit:.4f},{logit + 0.1:.4f}"
                )
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("\n".join(lines) + "\n")
            names.append(name)
    return names


def write_study(folder: Path, models: tuple[str, ...] = MODELS, pairs: tuple[tuple[str, str], ...] = ()) -> None:
    arms = [Arm(model, "ft", model, "cnn", "all") for model in models]
    grid = [block(arm, dataset="small", magnifications=[40], augmentations=["none"]) for arm in arms]
    external = grid[0] | {"on": "other", "headline": 40, "scales": ["squashed"]}
    made = study(
        arms=arms,
        grid=grid,
        external=[external],
        datasets={name: {"format": "csv", "synthetic": None} for name in ("small", "other")},
        splits={"patient": {"by": "patient", "folds": 2, "seed": 0, "unit": "patient"}},
        tables=study().tables | {"dataset": "small"},
        comparisons={"pairs": pairs, "magnification": 40, "draws": 300, "seed": 0},
    )
    resolved.write(made, folder / "study.json")


def compared(folder: Path, paths: list[str], pairs: tuple[tuple[str, str], ...] = ()) -> Ended:
    write_study(folder, pairs=pairs)
    scored = run("score", folder, "--predictions", *paths, metrics="metrics.csv", summary="summary.csv")
    assert scored.returncode == 0, scored.stderr
    outputs = {name: f"{name}.csv" for name in TABLES} | {"draws": "draws.npz"}
    return run("compare", folder, "--predictions", *paths, study="study.json", **outputs)


def test_four_tables_the_same_each_time(tmp_path: Path) -> None:
    paths = predicted(tmp_path)
    done = compared(tmp_path, paths)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "gaps.csv").read_text() == "where,what\n"
    assert len(rows(tmp_path / "intervals.csv")) == 3 * 2 * 9
    assert len(rows(tmp_path / "comparisons.csv")) == 3 * 2 * 6
    assert len(rows(tmp_path / "calibration.csv")) == 3 * 2 * 10
    files = [tmp_path / name for name in (*(f"{table}.csv" for table in TABLES), "draws.npz")]
    first = [file.read_bytes() for file in files]
    with zipfile.ZipFile(files[-1]) as archive:
        assert {member.date_time[:3] for member in archive.infolist()} == {(1980, 1, 1)}
    drawn = np.load(files[-1])
    assert len(drawn.files) == 3 * 2 * 6
    assert drawn["small/alexnet/ft/patient/40/none/last/auc"].shape == (300,)
    compared(tmp_path, paths)
    assert [file.read_bytes() for file in files] == first


def test_a_declared_pair(tmp_path: Path) -> None:
    paths = predicted(tmp_path)
    assert compared(tmp_path, paths, (("vgg19/ft", "alexnet/ft"),)).returncode == 0
    assert {(row["first"], row["second"]) for row in rows(tmp_path / "comparisons.csv")} == {("vgg19/ft", "alexnet/ft")}


@pytest.mark.parametrize("kind", ["missing fold", "NaN logit"])
def test_bad_input_is_named_and_the_rest_reported(tmp_path: Path, kind: str) -> None:
    paths = predicted(tmp_path)
    bad = tmp_path / paths[3]  # vgg19, fold 2
    if kind == "missing fold":
        bad.unlink()
        message = "no such file"
    else:
        bad.write_text(bad.read_text() + "extra,a2,p29,2,0,nan,0\n")
        message = "line 22: logit is 'nan', expected a finite number"
    done = compared(tmp_path, paths)
    assert done.returncode == 0
    gaps = rows(tmp_path / "gaps.csv")
    assert done.stderr.splitlines() == [f"warning: {gap['what']}" for gap in gaps]
    for gap, text in zip(gaps, (message, "fold 2 is missing or unusable"), strict=True):
        assert gap["where"].startswith("small/vgg19/ft/patient/40/none")
        assert text in gap["what"]
    pairs = {(row["first"], row["second"]) for row in rows(tmp_path / "comparisons.csv")}
    assert pairs == {("alexnet/ft", "resnet34/ft")}
    assert {row["model"] for row in rows(tmp_path / "intervals.csv")} == {"alexnet", "resnet34"}
    assert {row["model"] for row in rows(tmp_path / "summary.csv")} == set(MODELS)  # its other fold is still scored


def elsewhere(folder: Path) -> list[str]:
    """Write what two arms of two folds predict on another dataset."""
    names = []
    for model in ("alexnet", "vgg19"):
        for fold in (1, 2):
            name = f"results/other-01234567/predictions/squashed-01234567/small-01234567/{model}/ft/patient/40x/none-89abcdef/seed0/fold{fold}.csv"
            lines = ["image_id,group,class,label,logit"]
            lines += [f"i{n},i{n},{'ab'[n % 2]},{n % 2},{(n % 2) - 0.6 + 0.2 * (n % 5 - fold)}" for n in range(20)]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("\n".join(lines) + "\n")
            names.append(name)
    return names


def externally(folder: Path, paths: list[str]) -> Ended:
    """Score: external_metrics.csv, ..., external_gaps.csv."""
    outputs = {name: f"external_{name}.csv" for name in ("metrics", "summary", "groups", "intervals", "gaps")}
    outputs["draws"] = "external_draws.npz"
    write_study(folder)
    return run("score_external", folder, "--predictions", *paths, study="study.json", **outputs)


def test_scores_and_intervals_of_the_external_test_leave_out_the_same(tmp_path: Path) -> None:
    names = elsewhere(tmp_path)
    bad = tmp_path / names[3]
    lines = bad.read_text().splitlines()
    lines[1] = "i0,i0,a,0,nan"
    bad.write_text("\n".join(lines) + "\n")
    done = externally(tmp_path, names)
    (gap,) = rows(tmp_path / "external_gaps.csv")
    assert gap["where"] == "other/squashed/small/vgg19/ft/patient/40/none/seed0/fold2"
    assert gap["what"].startswith(gap["where"])
    assert done == (0, f"warning: {gap['what']}\n")
    intervals = rows(tmp_path / "external_intervals.csv")
    assert [(row["on"], row["model"], row["folds"]) for row in intervals if row["metric"] == "auc"] == [
        ("other", "alexnet", "2"),
        ("other", "vgg19", "1"),
    ]
    # Table 6 and its intervals are of the same runs: an arm's mean over folds is what its interval is around.
    means = [float(row["auc_mean"]) for row in rows(tmp_path / "external_summary.csv")]
    assert means == pytest.approx([float(row["estimate"]) for row in intervals if row["metric"] == "auc"])


@pytest.mark.parametrize("arms", [1, 2])
def test_a_small_study_with_a_gap_goes_all_the_way_to_its_page(tmp_path: Path, arms: int) -> None:
    paths, others = predicted(tmp_path)[: 2 * arms], elsewhere(tmp_path)[:1]
    damaged = []
    for name in (paths[-1], others[0]):
        lines = (tmp_path / name).read_text().splitlines()
        lines[1] = ",".join(["nan" if "." in value else value for value in lines[1].split(",")])
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        damaged.append(f"{name}, line 2: logit is 'nan', expected a finite number")
    assert compared(tmp_path, paths).returncode == 0
    assert externally(tmp_path, others).returncode == 0
    published = ROOT / "resources" / "papers" / "zhaksylyk-2026" / "tables"
    write_study(tmp_path, MODELS[:arms])
    (tmp_path / "ladder.svg").write_text("<svg/>")
    (tmp_path / "ladder.rst").write_text("The ladder.")
    for name, number, *files in (
        ("table_results", 4, "--summary", "summary.csv", "--output-prefix", "tables/table4"),
        ("table_intervals", 4, "--intervals", "intervals.csv", "--output-prefix", "tables/table4-intervals"),
        ("table_comparisons", 7, "--comparisons", "comparisons.csv", "--output-prefix", "tables/table7"),
        ("table_external", 6, "--summary", "external_summary.csv", "--groups", "external_groups.csv", "--intervals",
         "external_intervals.csv", "--draws", "external_draws.npz", "--manifests", "none.csv", "--output-prefix", "tables/table6"),
        ("table_intervals", 6, "--intervals", "external_intervals.csv", "--output-prefix", "tables/table6-intervals"),
        ("page", 0, "--tables", *("tables/table4.csv", "tables/table4-beside-published.csv",
         "tables/table4-intervals.csv", "tables/table6.csv", "tables/table6-beside-published.csv",
         "tables/table6-intervals.csv", "tables/external.csv", "tables/table7.csv", "tables/table7-beside-published.csv",
         "tables/table7-honest.csv"),
         "--results", *(f"{table}.csv" for table in (*TABLES, "summary", "metrics")),
         *(f"external_{table}.csv" for table in ("metrics", "summary", "groups", "gaps")), "--figures",
         "ladder.svg", "--captions", "ladder.rst", "--page", "report.html"),
    ):  # fmt: skip
        if number:
            files += ["--published", str(published / f"table{number}.csv")]
        done = run(name, tmp_path, "--study", "study.json", *files)
        assert (done.returncode, done.stderr) == (0, ""), name
    page_numbers.check(tmp_path / "report.html")
    text = " ".join(" ".join(page_numbers.read(tmp_path / "report.html").texts).split())
    gaps = text.split("The following could not be used; the rest of the study is reported without it.")[1]
    for sentence in ("fold2, line 2: logit is 'nan', expected a finite number", "fold 2 is missing or unusable"):
        assert sentence in gaps
    for name in ("table7", "table7-honest", *(["table4-intervals"] if arms == 1 else [])):
        assert "gaps.csv says what could not be used" in (tmp_path / "tables" / f"{name}.md").read_text()
    for name in ("table6", "table6-intervals", "external"):
        assert "could be made; external_gaps.csv says" in (tmp_path / "tables" / f"{name}.md").read_text()
    assert len(rows(tmp_path / "tables" / "table4.csv")) == arms
