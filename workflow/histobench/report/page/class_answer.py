"""What the page of a study with several classes opens with: the arm of the highest balanced accuracy."""

from typing import Any

from histobench.evaluation.class_scores import ALL
from histobench.report.page.cells import Source
from histobench.report.terms import printed
from histobench.study.resolved import Study


def class_answer(scores: Source | None, study: Study) -> dict[str, Any] | None:
    """Return the magnification and each arm with its balanced accuracy, the highest first; None without scores."""
    wanted = {**study.main, "magnification": str(study.magnification), "selection": "last", "class": ALL}
    wanted["metric"] = "balanced_accuracy"
    rows = [index for index, row in enumerate(scores.rows) if wanted.items() <= row.items()] if scores else []
    if not scores or not rows:
        return None
    rows.sort(key=lambda index: -float(scores.rows[index]["fold_mean"]))

    def shown(index: int) -> dict[str, Any]:
        row = scores.rows[index]
        name = f"{study.label(row['model'])} {printed('mode', row['mode'])}"
        return {
            "arm": name,
            "mean": scores.fill("{fold_mean} [{fold_mean_low}, {fold_mean_high}]", index, away=True),
            "pooled": scores.fill("{estimate} [{low}, {high}]", index, away=True),
        }

    return {
        "magnification": scores.value(rows[0], "magnification", away=True),
        "arms": [shown(index) for index in rows],
    }
