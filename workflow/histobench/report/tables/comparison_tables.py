"""Table 7, pairs of arms, in the paper's form and in full.

Every function takes rows as the files hold them (texts by column name) and returns tables; none reads or writes.
"""

from collections.abc import Mapping, Sequence

from histobench.report.published_tables import ABSENT, COMPARED, beside
from histobench.report.render import Bold, Table
from histobench.report.terms import HEADS, Texts, fixed, printed
from histobench.study.resolved import Study, printed_mode

METRICS = ("accuracy", "f1", "auc")
"""The scores of Table 7."""
PAIR = ("magnification", "first", "second")
P_VALUES = ("holm_p", "sign_flip_p", "bootstrap_p", "nadeau_bengio_p")
SECONDARY = ("mcnemar_p", "delong_p")
HONEST_COLUMNS = (
    *(*PAIR, "metric", "folds", "patients", "first_value", "second_value", "difference", "effect_size"),
    *("pooled_difference", "low", "high", *P_VALUES, "wilcoxon_p", "wilcoxon_floor", *SECONDARY),
)
PUBLISHED_MODE = "FT"
"""The arms of the published Table 7 are the fine-tuned ones, though it names models only."""


def comparison_tables(
    comparisons: Sequence[Texts],
    published: Sequence[Texts],
    study: Study,
) -> tuple[Table, Table, Table]:
    """Return Table 7 in the paper's form, its companion beside the published one, and the honest form.

    Pairs of the published table come first, in its order and direction; the others follow as in `comparisons`.

    Args:
        comparisons: rows of `comparisons.csv`, of which those of Table 7 are used: its setting, and the last epoch.
        published: rows of the published table.
        study: the resolved study.
    """
    magnification = study.comparisons["magnification"]
    wanted = {**study.main, "magnification": str(magnification), "selection": "last"}
    chosen = [row for row in comparisons if all(row[column] == value for column, value in wanted.items())]
    theirs = [
        dict(row) | {side: f"{row[side]} {PUBLISHED_MODE}" for side in ("first", "second")}
        for row in published
        if row["magnification"] == str(magnification)
    ]
    directions = [(row["first"], row["second"]) for row in theirs]
    pairs: dict[tuple[str, str], dict[str, Texts]] = {pair: {} for pair in directions}
    for row in chosen:
        first, second = (_name(row[side], study) for side in ("first", "second"))
        if (second, first) in pairs:
            row, first, second = _reversed(row), second, first
        pairs.setdefault((first, second), {})[row["metric"]] = row
    pairs = {pair: metrics for pair, metrics in pairs.items() if metrics}
    setting = f"dataset {study.dataset}, split policy {study.split}, {magnification}×, augmentation {study.augmentation}, last epoch"
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
    columns = (*PAIR, *(f"{metric}_p" for metric in METRICS), "floor")
    rows = []
    for (first, second), metrics in pairs.items():
        values = {f"{metric}_p": fixed(metrics[metric]["wilcoxon_p"]) for metric in METRICS}
        lowest = min(float(metrics[metric]["wilcoxon_floor"]) for metric in METRICS)
        rows.append(
            {"magnification": str(magnification), "first": first, "second": second}
            | values
            | {"floor": f"{lowest:.4f}"}
        )
    caption = "Pairwise comparison, p-values of the exact two-sided Wilcoxon signed-rank test on fold scores"
    table = Table(
        title="Table 7",
        caption=study.caption(f"{caption}: {setting}", bound),
        columns=columns,
        rows=rows,
        header=(*(HEADS[key] for key in PAIR), *(HEADS[metric] for metric in METRICS), "Floor"),
        cells=[tuple(printed(key, row[key]) for key in columns) for row in rows],
    )
    companion = beside(
        table.title,
        rows,
        theirs,
        PAIR,
        columns[3:-1],
        study.caption(f"{caption}, beside the published ones: {setting}", bound, COMPARED),
        {f"{metric}_p": metric for metric in METRICS},
    )
    return table, companion, _honest(pairs, magnification, setting, study)


def excludes_zero(row: Texts) -> bool:
    """Return whether the interval of a pair's pooled difference excludes 0."""
    return bool(row["low"] and row["high"]) and (float(row["low"]) > 0 or float(row["high"]) < 0)


def _honest(
    pairs: Mapping[tuple[str, str], Mapping[str, Texts]], magnification: int, setting: str, study: Study
) -> Table:
    rows, cells = [], []
    for (first, second), metrics in pairs.items():
        for metric in METRICS:
            source = metrics[metric]
            row = {key: _p(source[key]) if key.endswith("_p") else fixed(source[key]) for key in HONEST_COLUMNS[6:]}
            row |= {"magnification": str(magnification), "first": first, "second": second, "metric": metric}
            row |= {key: source[key] for key in ("folds", "patients")}
            row["effect_size"] = f"{float(source['effect_size']):.2f}" if source["effect_size"] else ""
            rows.append(row)
            pooled = f"{_signed(row['pooled_difference'])} [{_signed(row['low'])}, {_signed(row['high'])}]"
            cells.append(
                (
                    first,
                    second,
                    HEADS[metric],
                    f"{row['first_value']} / {row['second_value']}",
                    _signed(row["difference"]),
                    _signed(row["effect_size"]) or ABSENT,
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
    turned = dict(row) | {
        "first": row["second"],
        "second": row["first"],
        "first_value": row["second_value"],
        "second_value": row["first_value"],
    }
    for new, old in (
        ("difference", "difference"),
        ("effect_size", "effect_size"),
        ("pooled_difference", "pooled_difference"),
        ("low", "high"),
        ("high", "low"),
        ("nadeau_bengio_t", "nadeau_bengio_t"),
    ):
        turned[new] = repr(-float(row[old])) if row[old] else ""
    return turned


def _p(number: str) -> str:
    """Return a p-value with four decimals, or as 3.2e-07 where these would be zeros."""
    return f"{float(number):.1e}" if number and float(number) < 0.00005 else fixed(number)


def _signed(number: str) -> str:
    return f"{float(number):+.{len(number.partition('.')[2])}f}".replace("-", "−") if number else ""
