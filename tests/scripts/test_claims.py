"""The scripts of the ledger as the workflow calls them."""

from pathlib import Path

import numpy as np
import pytest

from histobench.claims.ledger import COLUMNS, PUBLISHED_COLUMNS
from histobench.io.files import write_csv
from histobench.study import resolved
from histobench.study.run_files import HISTORY
from tests.report import studies
from tests.scripts.running import ROOT, Ended, rows, run

PAPER = ROOT / "resources" / "papers" / "zhaksylyk-2026"
TABLES = [PAPER / "tables" / f"table{number}.csv" for number in range(1, 8)]


def published(folder: Path, ledger: Path = PAPER / "claims.yaml") -> Ended:
    return run(
        "claims_of_paper", folder, "--claims", ledger, "--tables", *TABLES, "--architectures",
        PAPER / "architectures.yaml", "--output-prefix", "out/claims_published",
    )  # fmt: skip


def study(folder: Path, *more: object) -> Ended:
    arms = [arm for arm in studies.ARMS if arm.key in (("resnet34", "ft"), ("smolvlm", "ft"))]
    resolved.write(studies.study(arms=arms), folder / "study.json")
    return run(
        "claims", folder, "--claims", PAPER / "claims.yaml", "--published", "out/claims_published.csv",
        "--study", "study.json", "--output-prefix", "out/claims", *more,
    )  # fmt: skip


def test_the_ledger_on_the_published_tables_and_on_a_study(tmp_path: Path) -> None:
    done = published(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first = rows(tmp_path / "out" / "claims_published.csv")
    assert tuple(first[0]) == PUBLISHED_COLUMNS
    assert len(first) >= 40
    verdicts = {row["id"]: row["published_verdict"] for row in first}
    assert (verdicts["signed-rank"], verdicts["hidden-size"]) == ("impossible", "contradicted")
    table = (tmp_path / "out" / "claims_published.md").read_text()
    assert table.count("\n|") == len(first) + 2
    assert f"{len(first)} claims: " in table
    latex = (tmp_path / "out" / "claims_published.tex").read_text()
    assert r"\linewidth}" in latex

    place = {"dataset": "breakhis", "split": "patient", "magnification": "200", "augmentation": "none"}
    columns = place | {"selection": "last", "mode": "ft", "unit": "patient", "seeds": 1, "freedom": 15}
    means = {
        "resnet34": (0.91, 0.02),
        "smolvlm": (0.88, 0.03),
    }  # in half the draws less by the second number, else more
    intervals, draws = [], {}
    for model, (mean, spread) in means.items():
        for metric in ("accuracy", "f1", "auc"):
            row = {"model": model, "metric": metric, "fold_mean": mean, "fold_mean_low": mean, "fold_mean_high": mean}
            intervals.append(columns | row)
            key = f"breakhis/{model}/ft/patient/200/none/last/{metric}"
            draws[key] = np.repeat([mean - spread, mean + spread], 500).astype(np.float32)
    write_csv(tmp_path / "intervals.csv", list(intervals[0]), intervals)
    np.savez(tmp_path / "draws.npz", **draws)
    losses = {"resnet34": 0.2, "smolvlm": 0.1, "vgg19": 0.0}
    for model, loss in losses.items():
        for fold in range(1, 6):
            epochs = [dict.fromkeys(HISTORY, 9) | {"epoch": 1}, dict.fromkeys(HISTORY, loss + fold / 1000)]
            run_ = f"breakhis-00000000/runs/{model}/ft/patient/40x/none-00000000/seed0/fold{fold}/history.csv"
            write_csv(tmp_path / run_, HISTORY, epochs)
    histories = sorted(tmp_path.rglob("history.csv"))
    files = (
        "--draws",
        "draws.npz",
        "--intervals",
        "intervals.csv",
        "--metrics",
        "absent.csv",
        "--histories",
        *histories,
    )
    done = study(tmp_path, *files)
    assert (done.returncode, done.stderr) == (0, "")
    second = {row["id"]: row for row in rows(tmp_path / "out" / "claims.csv")}
    assert tuple(second["signed-rank"]) == COLUMNS
    assert list(second) == list(verdicts)
    assert all(row["published_verdict"] == verdicts[name] for name, row in second.items())
    # 0.9453 at 200X lies above the interval; the claim's other cells are missing but cannot save it.
    found = second["smolvlm-200x-all"]
    assert found["study_verdict"] == "contradicted"
    assert (float(found["effect"]), float(found["high"])) == (0.88, pytest.approx(0.91, abs=1e-6))
    # ResNet34's loss is higher than SmolVLM's by 0.1 in every fold; VGG19 is not an arm of this study.
    found = second["figure6-losses"]
    assert (found["study_verdict"], float(found["effect"])) == ("contradicted", pytest.approx(-0.1))
    assert second["figure7-resnet34"]["study_verdict"] == "not run"
    assert second["resnet34-vlm-p"]["study_verdict"] == "not run"  # Qwen2 is not in this study
    assert second["augmentation-lowers"]["study_verdict"] == "not run"
    for suffix in (".md", ".tex"):
        assert "Synthetic images." in (tmp_path / "out" / f"claims{suffix}").read_text()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text("claims: [{id: a, section: '1', quote: s, predicate: p}]\n")
    done = published(tmp_path, tmp_path / "claims.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/claims.yaml: claims.0: ")
    assert "there is no predicate 'p'" in done.stderr
    assert done.stderr.count("\n") == 1
    done = study(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "claims_published.csv: no such file" in done.stderr
