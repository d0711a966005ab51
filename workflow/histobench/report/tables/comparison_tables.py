"""Table 7 in the paper's form and in an honest one, and the intervals of Tables 4 to 6.

Every function takes rows as the files hold them (texts by column name) and returns tables; none reads or writes.
"""

from collections.abc import Mapping, Sequence

from histobench.evaluation.bootstrap import POOLED
from histobench.evaluation.summary import ARM
from histobench.report.published_tables import ABSENT, beside
from histobench.report.render import Bold, Table
from histobench.report.tables.paper_tables import COMPARED, EMPTY, EMPTY_EXTERNAL, OPTIMISTIC, Context, Texts
from histobench.report.terms import HEADS, count, printed

METRICS = ("accuracy", "f1", "auc")
"""The scores of Table 7."""
PAIR = ("magnification", "first", "second")
P_VALUES = ("holm_p", "sign_flip_p", "bootstrap_p", "nadeau_bengio_p")
SECONDARY = ("mcnemar_p", "delong_p")
HONEST_COLUMNS = (
    *(*PAIR, "metric", "folds", "patients", "first_value", "second_value", "difference", "effect_size"),
    *("pooled_difference", "low", "high", *P_VALUES, "wilcoxon_p", "wilcoxon_floor", *SECONDARY),
)
PUBLISHED_MODE = "ft"
"""The arms of the published Table 7 are the fine-tuned ones, though it names models only."""


def comparison_tables(
    comparisons: Sequence[Texts],
    published: Sequence[Texts],
    dataset: str,
    split: str,
    magnification: int,
    augmentation: str,
    context: Context,
) -> tuple[Table, Table, Table]:
    """Return Table 7 in the paper's form, its companion beside the published one, and the honest form.

    Pairs of the published table come first, in its order and direction; the others follow as in `comparisons`.

    Args:
        comparisons: rows of `comparisons.csv`, of which those of the four next arguments and the last epoch are used.
        published: rows of the published table.
        dataset: name of the dataset.
        split: name of the split policy.
        magnification: of the images.
        augmentation: name of the augmentation.
        context: study, names and notes.
    """
    wanted = {"dataset": dataset, "split": split, "magnification": str(magnification), "augmentation": augmentation}
    chosen = [
        row
        for row in comparisons
        if row["selection"] == "last" and all(row[column] == value for column, value in wanted.items())
    ]
    theirs = [
        dict(row) | {side: _arm(row[side], PUBLISHED_MODE) for side in ("first", "second")}
        for row in published
        if row["magnification"] == str(magnification)
    ]
    directions = [(row["first"], row["second"]) for row in theirs]
    pairs: dict[tuple[str, str], dict[str, Texts]] = {pair: {} for pair in directions}
    for row in chosen:
        first, second = (_name(row[side], context) for side in ("first", "second"))
        if (second, first) in pairs:
            row, first, second = _reversed(row), second, first
        pairs.setdefault((first, second), {})[row["metric"]] = row
    pairs = {pair: metrics for pair, metrics in pairs.items() if metrics}
    setting = f"dataset {dataset}, split policy {split}, {magnification}×, augmentation {augmentation}, last epoch"
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
        values = {f"{metric}_p": _fixed(metrics[metric]["wilcoxon_p"]) for metric in METRICS}
        lowest = min(float(metrics[metric]["wilcoxon_floor"]) for metric in METRICS)
        rows.append(
            {"magnification": str(magnification), "first": first, "second": second}
            | values
            | {"floor": f"{lowest:.4f}"}
        )
    caption = "Pairwise comparison, p-values of the exact two-sided Wilcoxon signed-rank test on fold scores"
    table = Table(
        title="Table 7",
        caption=context.caption(f"{caption}: {setting}", bound),
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
        context.caption(f"{caption}, beside the published ones: {setting}", bound, COMPARED),
        {f"{metric}_p": metric for metric in METRICS},
    )
    return table, companion, _honest(pairs, magnification, setting, context)


def _honest(
    pairs: Mapping[tuple[str, str], Mapping[str, Texts]], magnification: int, setting: str, context: Context
) -> Table:
    rows, cells = [], []
    for (first, second), metrics in pairs.items():
        for metric in METRICS:
            source = metrics[metric]
            row = {key: _p(source[key]) if key.endswith("_p") else _fixed(source[key]) for key in HONEST_COLUMNS[6:]}
            row |= {"magnification": str(magnification), "first": first, "second": second, "metric": metric}
            row |= {key: source[key] for key in ("folds", "patients")}
            row["effect_size"] = f"{float(source['effect_size']):.2f}" if source["effect_size"] else ""
            rows.append(row)
            excludes = float(source["low"]) > 0 or float(source["high"]) < 0
            pooled = f"{_signed(row['pooled_difference'])} [{_signed(row['low'])}, {_signed(row['high'])}]"
            cells.append(
                (
                    first,
                    second,
                    HEADS[metric],
                    f"{row['first_value']} / {row['second_value']}",
                    _signed(row["difference"]),
                    _signed(row["effect_size"]) or ABSENT,
                    Bold(pooled) if excludes else pooled,
                    *(row[key] or ABSENT for key in P_VALUES),
                    f"{row['wilcoxon_p']} ({row['wilcoxon_floor']})",
                    row["mcnemar_p"] or row["delong_p"] or ABSENT,
                )
            )
    return Table(
        title="Table 7, in full",
        caption=context.caption(
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


def intervals_table(
    intervals: Sequence[Texts],
    published: Sequence[Texts],
    number: int,
    wanted: Mapping[str, str],
    context: Context,
) -> Table:
    """Return the intervals of Table 4, 5 or 6: a cell for every arm, magnification and score, and some scores more.

    Args:
        intervals: rows of `intervals.csv`, for Table 6 of `external_intervals.csv`.
        published: rows of the published table; its arms come first.
        number: number of the table.
        wanted: values of `dataset`, `split`, `augmentation` and `selection`; for Table 6 of `on`, `dataset`, `split`,
            `magnification` and `augmentation`. The rows that have these are the table.
        context: study, names and notes.
    """
    arms: dict[tuple[str, ...], dict[str, Texts]] = {}
    for row in intervals:
        if all(row[column] == value for column, value in wanted.items()):
            arms.setdefault(tuple(row[column] for column in ARM), {})[row["metric"]] = row
    setting = ", ".join(f"{column} {value}" for column, value in wanted.items())
    keys, parts = ("model", "mode", "magnification"), ("estimate", "low", "high")
    columns = (*keys, *(f"{metric}_{part}" for metric in POOLED for part in parts))
    rows = []
    for arm, metrics in arms.items():
        key = dict(zip(ARM, arm, strict=True))
        row = {"model": context.name(key["model"]), "mode": key["mode"], "magnification": key["magnification"]}
        rows.append(row | {f"{name}_{part}": _fixed(metrics[name][part]) for name in POOLED for part in parts})
    order = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    rows.sort(key=lambda row: (order.index((row["model"], row["mode"])), int(row["magnification"])))
    numbers = [int(row["patients"]) for metrics in arms.values() for row in metrics.values()]
    patients = count(numbers, "patient") if numbers else "no patient"
    if number == 6:
        what = (
            f"Mean over the models of all folds of their scores on another dataset, with 95 % intervals: {setting}; "
            f"{patients} of that dataset (an image whose patient is unknown counts as one), resampled within class.",
        )
    else:
        what = (
            f"Scores on the pooled out-of-fold predictions with 95 % intervals: {setting.replace('_', ' ')}; {patients}, "
            "resampled within class.",
            *([OPTIMISTIC] if wanted["selection"] == "best_epoch" else []),
            "A pooled score is not the mean over folds: folds differ in size, and the AUC ranks images of all folds "
            "together.",
            "Two intervals that overlap do not show that arms are alike: see Table 7 for differences.",
        )
    if not rows:
        what = (*what, EMPTY_EXTERNAL if number == 6 else EMPTY)
    suffix = ", best epoch" if wanted.get("selection") == "best_epoch" else ""
    return Table(
        title=f"Table {number}{suffix}, intervals",
        caption=context.caption(*what),
        columns=columns,
        rows=rows,
        header=tuple(HEADS[column] for column in (*keys, *POOLED)),
        cells=[
            (
                *(printed(key, row[key]) for key in keys),
                *(f"{row[f'{name}_estimate']} [{row[f'{name}_low']}, {row[f'{name}_high']}]" for name in POOLED),
            )
            for row in rows
        ],
    )


def _arm(model: str, mode: str) -> str:
    return f"{model} {printed('mode', mode)}"


def _name(arm: str, context: Context) -> str:
    model, mode = arm.split("/")
    return _arm(context.name(model), mode)


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


def _fixed(number: str) -> str:
    return f"{float(number):.4f}" if number else ""


def _p(number: str) -> str:
    """Return a p-value with four decimals, or as 3.2e-07 where these would be zeros."""
    return f"{float(number):.1e}" if number and float(number) < 0.00005 else _fixed(number)


def _signed(number: str) -> str:
    return f"{float(number):+.{len(number.partition('.')[2])}f}".replace("-", "−") if number else ""
