"""The table of prompts, from predictions on disk."""

from dataclasses import replace

import pytest

from histobench.evaluation.prompt_scores import of_prompts
from histobench.io.files import write_csv
from histobench.report.tables.prompts_table import prompts_table
from histobench.study.resolved import Arm
from tests.report.studies import ARMS, block, study
from tests.report.tables.test_tables_1_to_5 import arm

ZERO = Arm("smolvlm", "zero-shot", "SmolVLM", "smolvlm", "none")
LABELS = [0, 0, 1, 1]
LOGITS = {  # of two prompts in two folds: 3 of 4 and 4 of 4 images are right after the first, 2 and 2 after the second
    1: ([-1, 2, 3, 4], [1, 2, 3, 4]),
    2: ([-2, -1, 1, 2], [-1, -2, -3, -4]),
}


def test_each_prompt_has_its_scores_and_the_arm_their_spread(tmp_path):
    paths = []
    for fold, prompts in LOGITS.items():
        folder = f"breakhis-00000000/runs/smolvlm/zero-shot/patient/40x/none-00000000/seed0/fold{fold}"
        paths.append(tmp_path / folder / "predictions.csv")
        paths[-1].parent.mkdir(parents=True)
        names = ("label", "prompt_1_logit", "prompt_2_logit")
        rows = [dict(zip(names, row, strict=True)) for row in zip(LABELS, *prompts, strict=True)]
        write_csv(paths[-1], names, rows)
    first, second = found = of_prompts(paths, {("smolvlm", "zero-shot"): 2, ("smolvlm", "lp"): 0})
    assert [row["prompt"] for row in found] == [0, 1]
    assert (first["accuracy_mean"], second["accuracy_mean"]) == (0.875, 0.5)
    assert first["accuracy_std"] == pytest.approx(0.125 * 2**0.5)
    assert (first["auc_mean"], second["auc_mean"]) == (1, 0.5)

    probe = ARMS[5]
    made = study(arms=[ARMS[0], probe, ZERO], grid=[block(probe), block(ZERO)])
    texts = {"lp": {"prompt": "At {magnification}x:"}, "zero-shot": {"prompts": ["One?", "Two?"]}}
    made = replace(made, recipes={"smolvlm": texts, "alexnet": {"ft": {}}})
    summary = [
        arm("alexnet"),
        arm("smolvlm", 0.75, 0.1, mode="lp"),
        arm("smolvlm", 0.25, 0.2, mode="zero-shot"),
        arm("smolvlm", 0.5, mode="zero-shot", selection="best_epoch"),
    ]
    table = prompts_table(summary, found, made)
    assert [(row["mode"], row["prompt"], row["accuracy_mean"], row["spread"]) for row in table.rows] == [
        ("lp", "At {magnification}x:", "0.7500", ""),
        ("zero-shot", "One?", "0.8750", ""),
        ("zero-shot", "Two?", "0.5000", ""),
        ("zero-shot", "mean of 2 prompts", "0.2500", "0.3750"),
    ]
    assert "mean of its prompts' logits" in table.caption
