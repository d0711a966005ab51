"""Table 7, pairs of arms, in the paper's form and in full."""

from collections.abc import Mapping, Sequence

from histobench.evaluation.summary import GROUPS
from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Bold, Table
from histobench.report.terms import (
    ABSENT,
    NO_INTERVAL,
    WITHOUT,
    Texts,
    bracket,
    fixed,
    head,
    magnified,
    minus,
    printed,
    remarks,
    resampled,
)
from histobench.study.outputs import title
from histobench.study.resolved import Study, printed_mode

METRICS = ("accuracy", "f1", "auc")
"""The scores of Table 7."""
PAIR = ("magnification", "first", "second")
P_VALUES = ("holm_p", "sign_flip_p", "bootstrap_p", "nadeau_bengio_p")
HONEST_COLUMNS = (
    *(*PAIR, "metric", "folds", "unit", *GROUPS, "first_value", "second_value"),
    *(
        "difference",
        "difference_low",
        "difference_high",
        "effect_size",
        "pooled_difference",
        "low",
        "high",
        *P_VALUES,
        "wilcoxon_p",
        "wilcoxon_floor",
        "mcnemar_p",
        "delong_p",
    ),
)
SIGNED = ("difference", "difference_low", "difference_high", "effect_size", "pooled_difference", "low", "high")
"""Columns that change their sign with the order of a pair."""
PUBLISHED_MODE = "FT"
"""The arms of the published Table 7 are the fine-tuned ones, though it names models only."""

Pairs = Mapping[tuple[str, str], Mapping[str, Texts]]
"""The names in print of two arms -> metric -> row of `comparisons.csv`."""


def comparison_tables(
    comparisons: Sequence[Texts], published: Sequence[Texts], study: Study
) -> tuple[Table, Table, Table]:
    """Return Table 7 in the paper's form, its companion beside the published one, and the honest form.

    Pairs of the published table come first, in its order and direction. The others follow as in `comparisons.csv`, of
    which the rows of Table 7 are used: its setting, and the last epoch.
    """
    magnification = str(study.comparisons["magnification"])
    wanted = {**study.main, "magnification": magnification, "selection": "last"}
    chosen = [row for row in comparisons if wanted.items() <= row.items()]
    theirs = [
        {**row, **{side: f"{row[side]} {PUBLISHED_MODE}" for side in ("first", "second")}}
        for row in published
        if row["magnification"] == magnification
    ]
    pairs: dict[tuple[str, str], dict[str, Texts]] = {(row["first"], row["second"]): {} for row in theirs}
    for row in chosen:
        first, second = (_name(row[side], study) for side in ("first", "second"))
        if (second, first) in pairs:
            row, first, second = _reversed(row), second, first
        pairs.setdefault((first, second), {})[row["metric"]] = row
    pairs = {pair: metrics for pair, metrics in pairs.items() if metrics}
    setting = (
        f"dataset {study.dataset}, split policy {study.split}, {magnified(magnification)}, augmentation {study.augmentation}, "
        "last epoch"
    )
    bound = (
        "Floor, in brackets: the smallest p that the exact two-sided test can give, 2 / 2^n for n folds in which the two arms "
        "differ; a fold in which their scores are equal is left out"
    )
    if chosen:
        setting += f"; {chosen[0]['folds']} folds, {resampled(chosen, study)}."
        floor = min(float(row["wilcoxon_floor"]) for row in chosen)
        if floor > 0.05:
            bound += (
                f"; with {chosen[0]['folds']} folds that is {floor:g}, "
                "so that this test alone can never show a difference at the level 0.05"
            )
    else:
        setting += ". Empty: no declared pair could be compared here; gaps.csv says what could not be used and why."
    bound += "."
    values, floors = (tuple(f"{metric}_{name}" for metric in METRICS) for name in ("p", "floor"))
    rows = [
        dict(zip(PAIR, (magnification, *pair), strict=True))
        | {
            f"{metric}_{name}": fixed(metrics[metric][f"wilcoxon_{name}"])
            for name in ("p", "floor")
            for metric in METRICS
        }
        for pair, metrics in pairs.items()
    ]
    caption = "Pairwise comparison, p-values of the exact two-sided Wilcoxon signed-rank test on fold scores"
    table = Table(
        title(study, "table7"),
        study.caption(f"{caption}: {setting}", bound),
        (*PAIR, *values, *floors),
        rows,
        (*map(head, PAIR), *(f"{head(metric)} p (floor)" for metric in METRICS)),
        [
            (
                *(printed(key, row[key]) for key in PAIR),
                *(f"{row[value]} ({row[floor]})" for value, floor in zip(values, floors, strict=True)),
            )
            for row in rows
        ],
    )
    compared = study.caption(f"{caption}, beside the published ones: {setting}", bound, COMPARED)
    companion = beside(table.title, rows, theirs, PAIR, values, compared)
    return table, companion, _honest(pairs, magnification, setting, study)


def excludes_zero(row: Texts) -> bool:
    """Return whether the interval of a pair's difference, of the means over folds, excludes 0."""
    low, high = row["difference_low"], row["difference_high"]
    return bool(low and high) and (float(low) > 0 or float(high) < 0)


def _honest(pairs: Pairs, magnification: str, setting: str, study: Study) -> Table:
    rows, cells = [], []
    unit = study.unit(study.split)
    for (first, second), metrics in pairs.items():
        for metric in METRICS:
            source = metrics[metric]
            row = {key: _p(source[key]) if key.endswith("_p") else fixed(source[key]) for key in HONEST_COLUMNS[9:]}
            row |= {"magnification": magnification, "first": first, "second": second, "metric": metric}
            row |= {key: source[key] for key in ("folds", "unit", *GROUPS)}
            row["effect_size"] = f"{float(source['effect_size']):.2f}" if source["effect_size"] else ""
            rows.append(row)
            signed = {
                key: minus(f"+{row[key]}" if row[key] and not row[key].startswith("-") else row[key]) for key in SIGNED
            }
            mean = f"{signed['difference']} {bracket(signed['difference_low'], signed['difference_high'])}"
            cells.append(
                (
                    *(first, second, head(metric), f"{row['first_value']} / {row['second_value']}"),
                    Bold(mean) if excludes_zero(source) else mean,
                    signed["effect_size"] or ABSENT,
                    f"{signed['pooled_difference']} {bracket(signed['low'], signed['high'])}",
                    *(row[key] or ABSENT for key in P_VALUES),
                    f"{row['wilcoxon_p']} ({row['wilcoxon_floor']})",
                    row["mcnemar_p"] or row["delong_p"] or ABSENT,
                )
            )
    return Table(
        title="Table 7, in full" if study.paper else title(study, "table7"),
        caption=study.caption(
            f"Pairwise comparison, first minus second: {setting}",
            f"Means and difference are over folds, with the 95 % interval of a paired bootstrap of {unit}s, bold where it "
            "excludes 0; d_z is the mean difference over its deviation between folds.",
            "Pooled: difference on the out-of-fold predictions of all folds together, with its interval.",
            "p-values after that: Holm's correction, over the declared family of pairs, of a sign-flip permutation of "
            f"{unit}s; this permutation; the bootstrap of the difference of means; Nadeau and Bengio's corrected t on fold scores; the exact "
            "two-sided Wilcoxon signed-rank test with its floor.",
            "Secondary: exact McNemar (accuracy) or DeLong (AUC), which take the images of a group for independent and "
            "therefore reject too often.",
            *remarks([row for metrics in pairs.values() for row in metrics.values()], {}),
            *([WITHOUT] if any(NO_INTERVAL in cell for line in cells for cell in line) else []),
        ),
        columns=HONEST_COLUMNS,
        rows=rows,
        header=(
            *("First", "Second", "Metric", "Means", "Difference [95 %]", "d_z", "Pooled [95 %]"),
            *("Holm p", "Sign-flip p", "Bootstrap p", "Nadeau-Bengio p", "Wilcoxon p (floor)", "Secondary p"),
        ),
        cells=cells,
    )


def _name(arm: str, study: Study) -> str:
    """Return the name in print of an arm MODEL/MODE."""
    model, mode = arm.split("/")
    return f"{study.label(model)} {printed_mode(mode)}"


def _reversed(row: Texts) -> dict[str, str]:
    """Return the comparison of the second arm with the first."""
    turned = dict(row)
    ends = (("low", "high"), ("difference_low", "difference_high"))
    for one, other in (("first", "second"), ("first_value", "second_value"), *ends):
        turned |= {one: row[other], other: row[one]}
    for name in SIGNED:
        turned[name] = repr(-float(turned[name])) if turned[name] else ""
    return turned


def _p(number: str) -> str:
    """Return a p-value with four decimals, or as 3.2e-07 where these would be zeros."""
    return f"{float(number):.1e}" if number and float(number) < 0.00005 else fixed(number)
