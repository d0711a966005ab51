"""Table 7, pairs of arms, in the paper's form and in full."""

from collections.abc import Mapping, Sequence

from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Bold, Table
from histobench.report.terms import ABSENT, Texts, fixed, head, minus
from histobench.study.resolved import Study, printed_mode

METRICS = ("accuracy", "f1", "auc")
"""The scores of Table 7."""
PAIR = ("magnification", "first", "second")
P_VALUES = ("holm_p", "sign_flip_p", "bootstrap_p", "nadeau_bengio_p")
HONEST_COLUMNS = (
    *(*PAIR, "metric", "folds", "patients", "first_value", "second_value", "difference", "effect_size"),
    *("pooled_difference", "low", "high", *P_VALUES, "wilcoxon_p", "wilcoxon_floor", "mcnemar_p", "delong_p"),
)
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
        f"dataset {study.dataset}, split policy {study.split}, {magnification}×, augmentation {study.augmentation}, "
        "last epoch"
    )
    bound = "Floor: the smallest p that the exact two-sided test can give"
    if chosen:
        setting += f"; {chosen[0]['folds']} folds, {chosen[0]['patients']} patients."
        floor = min(float(row["wilcoxon_floor"]) for row in chosen)
        if floor > 0.05:
            bound += (
                f"; with {chosen[0]['folds']} folds that is {floor:g}, "
                "so that this test alone can never show a difference at the level 0.05"
            )
    else:
        setting += ". Empty: no declared pair could be compared here; gaps.csv says what could not be used and why."
    bound += "."
    values = tuple(f"{metric}_p" for metric in METRICS)
    rows = [
        dict(zip(PAIR, (magnification, *pair), strict=True))
        | {f"{metric}_p": fixed(metrics[metric]["wilcoxon_p"]) for metric in METRICS}
        | {"floor": fixed(min((metrics[metric]["wilcoxon_floor"] for metric in METRICS), key=float))}
        for pair, metrics in pairs.items()
    ]
    caption = "Pairwise comparison, p-values of the exact two-sided Wilcoxon signed-rank test on fold scores"
    columns = (*PAIR, *values, "floor")
    header = tuple(map(head, (*PAIR, *METRICS, "floor")))
    table = Table.of("Table 7", study.caption(f"{caption}: {setting}", bound), columns, rows, columns, header)
    compared = study.caption(f"{caption}, beside the published ones: {setting}", bound, COMPARED)
    companion = beside(table.title, rows, theirs, PAIR, values, compared)
    return table, companion, _honest(pairs, magnification, setting, study)


def excludes_zero(row: Texts) -> bool:
    """Return whether the interval of a pair's pooled difference excludes 0."""
    return bool(row["low"] and row["high"]) and (float(row["low"]) > 0 or float(row["high"]) < 0)


def _honest(pairs: Pairs, magnification: str, setting: str, study: Study) -> Table:
    rows, cells = [], []
    for (first, second), metrics in pairs.items():
        for metric in METRICS:
            source = metrics[metric]
            row = {key: _p(source[key]) if key.endswith("_p") else fixed(source[key]) for key in HONEST_COLUMNS[6:]}
            row |= {"magnification": magnification, "first": first, "second": second, "metric": metric}
            row |= {key: source[key] for key in ("folds", "patients")}
            row["effect_size"] = f"{float(source['effect_size']):.2f}" if source["effect_size"] else ""
            rows.append(row)
            signed = {
                key: minus(f"+{row[key]}" if row[key] and not row[key].startswith("-") else row[key])
                for key in ("difference", "effect_size", "pooled_difference", "low", "high")
            }
            pooled = f"{signed['pooled_difference']} [{signed['low']}, {signed['high']}]"
            cells.append(
                (
                    *(first, second, head(metric), f"{row['first_value']} / {row['second_value']}"),
                    *(signed["difference"], signed["effect_size"] or ABSENT),
                    Bold(pooled) if excludes_zero(source) else pooled,
                    *(row[key] or ABSENT for key in P_VALUES),
                    f"{row['wilcoxon_p']} ({row['wilcoxon_floor']})",
                    row["mcnemar_p"] or row["delong_p"] or ABSENT,
                )
            )
    return Table(
        title="Table 7, in full",
        caption=study.caption(
            f"Pairwise comparison, first minus second: {setting}",
            "Means and difference are over folds, d_z is the mean difference over its deviation between folds.",
            "Pooled: difference on all out-of-fold predictions, with the 95 % interval of a paired bootstrap of patients; "
            "bold where it excludes 0.",
            "p-values after that: Holm's correction, over the declared family of pairs, of a sign-flip permutation of "
            "patients; this permutation; the bootstrap; Nadeau and Bengio's corrected t on fold scores; the exact "
            "two-sided Wilcoxon signed-rank test with its floor.",
            "Secondary: exact McNemar (accuracy) or DeLong (AUC), which take the images of a patient for independent and "
            "therefore reject too often.",
        ),
        columns=HONEST_COLUMNS,
        rows=rows,
        header=(
            *("First", "Second", "Metric", "Means", "Difference", "d_z", "Pooled [95 %]"),
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
    for one, other in (("first", "second"), ("first_value", "second_value"), ("low", "high")):
        turned |= {one: row[other], other: row[one]}
    for name in ("difference", "effect_size", "pooled_difference", "low", "high"):
        turned[name] = repr(-float(turned[name])) if turned[name] else ""
    return turned


def _p(number: str) -> str:
    """Return a p-value with four decimals, or as 3.2e-07 where these would be zeros."""
    return f"{float(number):.1e}" if number and float(number) < 0.00005 else fixed(number)
