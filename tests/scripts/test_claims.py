"""The scripts of the ledger as the workflow calls them."""

from pathlib import Path

from histobench.claims.ledger import COLUMNS, PUBLISHED_COLUMNS
from histobench.io.files import write_csv
from histobench.study import resolved
from tests.report import studies
from tests.scripts.running import ROOT, Ended, rows, run

PAPER = ROOT / "resources" / "paper"
TABLES = [PAPER / "tables" / f"table{number}.csv" for number in range(1, 8)]


def published(folder: Path, ledger: Path = PAPER / "claims.yaml") -> Ended:
    return run(
        "claims_published", folder, "--claims", ledger, "--tables", *TABLES, "--architectures",
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
    pair = place | {"selection": "last", "first": "resnet34/ft", "second": "smolvlm/ft"}
    comparisons = [
        pair | {"metric": metric, "difference": 0.03, "difference_low": 0.01, "difference_high": 0.05}
        for metric in ("accuracy", "f1", "auc")
    ]
    write_csv(tmp_path / "comparisons.csv", list(comparisons[0]), comparisons)
    arm = place | {"selection": "last", "model": "smolvlm", "mode": "ft", "metric": "accuracy"}
    intervals = [arm | {"fold_mean": 0.88, "fold_mean_low": 0.84, "fold_mean_high": 0.91}]
    write_csv(tmp_path / "intervals.csv", list(intervals[0]), intervals)
    files = ("--comparisons", "comparisons.csv", "--intervals", "intervals.csv", "--metrics", "absent.csv")
    done = study(tmp_path, *files)
    assert (done.returncode, done.stderr) == (0, "")
    second = {row["id"]: row for row in rows(tmp_path / "out" / "claims.csv")}
    assert tuple(second["signed-rank"]) == COLUMNS
    assert list(second) == list(verdicts)
    assert all(row["published_verdict"] == verdicts[name] for name, row in second.items())
    # 0.9453 at 200X lies above the interval; the claim's other cells are missing but cannot save it.
    found = second["smolvlm-200x-all"]
    assert (found["study_verdict"], float(found["effect"]), float(found["high"])) == ("contradicted", 0.88, 0.91)
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
