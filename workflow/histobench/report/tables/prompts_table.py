"""What text after the image changes, and what models answer without training."""

from collections.abc import Sequence

from histobench.evaluation.prompt_scores import SCORES
from histobench.evaluation.summary import Row
from histobench.report.render import Table
from histobench.report.tables.scores_tables import folds, spreads
from histobench.report.terms import ABSENT, Texts, fixed, head
from histobench.study.resolved import Arm, Study

KEYS = ("model", "mode", "magnification")
ASKED = (
    "Zero-shot: nothing is trained; the logit of an arm is the mean of its prompts' logits, and the spread is the accuracy of its best "
    "prompt minus that of its worst. No prompt is chosen by it."
)
COLUMNS = (*KEYS, "prompt", *spreads(SCORES), "spread")


def prompts_table(summary: Sequence[Texts], prompts: Sequence[Row], study: Study) -> Table:
    """Return a row for each arm and magnification of Table 4 but those of CNNs, and for each prompt of one that is not trained.

    `summary` are the rows of `summary.csv`, `prompts` those of :func:`histobench.evaluation.prompt_scores.of_prompts`. The spread
    is the highest mean accuracy of a prompt minus the lowest.
    """
    place = {**study.main, "selection": "last"}.items()
    used = [row for row in summary if place <= row.items()]
    rows = [
        line
        for arm in study.arms
        for row in used
        if arm.family != "cnn" and (row["model"], row["mode"]) == arm.key
        for line in _of_arm(arm, row, prompts, study)
    ]
    asked = any(arm.trainable == "none" for arm in study.arms)
    caption = study.caption(
        "What does text after the image change, and what does a model answer without training?",
        f"Dataset {study.dataset}, augmentation {study.augmentation}, last epoch: mean ± sample standard deviation over "
        f"{folds(used)}.",
        "Braces are filled for each magnification.",
        *([ASKED] if asked else []),
    )
    return Table.of(
        "Prompts",
        caption,
        COLUMNS,
        rows,
        (*KEYS, "prompt", *SCORES, "spread"),
        (*map(head, KEYS), "Text", *map(head, SCORES), "Spread"),
    )


def _of_arm(arm: Arm, row: Texts, prompts: Sequence[Row], study: Study) -> list[dict[str, str]]:
    recipe = study.recipes[arm.model][arm.mode]
    texts = recipe.get("prompts", [])
    identity = {"model": arm.label, "mode": arm.mode, "magnification": row["magnification"]}
    name = f"mean of {len(texts)} prompts" if texts else recipe.get("prompt", ABSENT)
    whole = identity | {"prompt": name, "spread": ""} | {column: fixed(row[column]) for column in spreads(SCORES)}
    place = {name: row[name] for name in study.main} | {"model": arm.model, "mode": arm.mode}
    own = [
        found
        for found in prompts
        if place.items() <= found.items() and str(found["magnification"]) == row["magnification"]
    ]
    if means := [float(str(found["accuracy_mean"])) for found in own]:
        whole["spread"] = fixed(str(max(means) - min(means)))
    each = [
        identity
        | {"prompt": texts[int(str(found["prompt"]))], "spread": ""}
        | {column: fixed("" if found[column] is None else str(found[column])) for column in spreads(SCORES)}
        for found in own
    ]
    return [*each, whole]
