"""Table 6, the external test, as a study reproduces it; and the whole test beside it, with what each class is called.

Rows come as `external_summary.csv` and `external_groups.csv` hold them (texts by column name), tables go out.
"""

from collections.abc import Sequence

from histobench.evaluation.external import KEYS, MEAN, RATE
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, SCORES
from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Table
from histobench.report.terms import EMPTY, HEADS, Texts, count, fixed, printed, spread
from histobench.study.resolved import Study

ARM_KEYS = ("model", "mode")
SPREADS = tuple(f"{score}_{statistic}" for score in SCORES for statistic in ("mean", "std"))
TABLE6_COLUMNS = (*ARM_KEYS, *SPREADS)
EMPTY_EXTERNAL = EMPTY.replace("gaps.csv", "external_gaps.csv")
OWN = "Every fold's model predicts all images; no fine-tuning, nothing is chosen on them."


def table6(summary: Sequence[Texts], published: Sequence[Texts], study: Study) -> tuple[Table, Table]:
    """Return Table 6, the scores of arms on another dataset, and its companion beside the published one.

    Args:
        summary: rows of `external_summary.csv`.
        published: rows of the published Table 6.
        study: the resolved study.

    Raises:
        HistoBenchError: two models have the same name in print.
    """
    wanted = study.table6
    chosen = [row for row in summary if all(row[key] == value for key, value in wanted.items())]
    rows = [
        {"model": study.label(row["model"]), "mode": row["mode"]} | {column: fixed(row[column]) for column in SPREADS}
        for row in chosen
    ]
    if len({(row["model"], row["mode"]) for row in rows}) < len(rows):
        raise HistoBenchError(
            f"Table 6: two models of study {study.name} have the same name in print; "
            "give each its own `label` in the configuration"
        )
    arms = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    rows.sort(key=lambda row: arms.index((row["model"], row["mode"])))
    trained = "" if wanted["magnification"] == "0" else f" at {printed('magnification', wanted['magnification'])}"
    where = (
        f"External test on dataset {wanted['on']} of models trained on {wanted['dataset']}{trained}, split policy "
        f"{wanted['split']}, augmentation {wanted['augmentation']}: mean ± sample standard deviation over "
        f"{_folds(chosen)}."
        f"{'' if chosen else f' {EMPTY_EXTERNAL}'}"
    )
    table = Table(
        title="Table 6",
        caption=_caption(study, where, OWN, "All training magnifications, and the rates of each class: external.csv."),
        columns=TABLE6_COLUMNS,
        rows=rows,
        header=tuple(HEADS[column] for column in (*ARM_KEYS, *SCORES)),
        cells=[
            (*(printed(key, row[key]) for key in ARM_KEYS), *(spread(row, score) for score in SCORES)) for row in rows
        ],
    )
    means = {f"{score}_mean": score for score in SCORES}
    caption = _caption(study, where, f"{COMPARED} Means are shown; the CSV has the standard deviations too.")
    return table, beside(table.title, rows, published, ARM_KEYS, SPREADS, caption, means)


def full_table(summary: Sequence[Texts], groups: Sequence[Texts], study: Study) -> Table:
    """Return every arm's scores on every dataset it is evaluated on, and the malignant-call rate of each class there.

    Args:
        summary: rows of `external_summary.csv`.
        groups: rows of `external_groups.csv`.
        study: the resolved study.
    """
    means = [row for row in groups if row["fold"] == MEAN]
    label = {row["group"]: row["label"] for row in means}
    names = sorted(label, key=lambda name: label[name])  # stable: benign classes first
    rates = {(*(row[key] for key in KEYS), row["group"]): row for row in means}
    rows: list[dict[str, str]] = []
    for line in sorted(summary, key=lambda row: int(row["magnification"])):
        row = {key: line[key] for key in (*KEYS, "folds")} | {"model": study.label(line["model"])}
        for metric in METRICS:
            row |= {f"{metric}_{kind}": fixed(line[f"{metric}_{kind}"]) for kind in ("mean", "std")}
        for name in names:
            rate = rates.get((*(line[key] for key in KEYS), name), {})
            row[f"rate_{name}_mean"] = fixed(rate.get(RATE, ""))
            row[f"rate_{name}_std"] = fixed(rate.get(f"{RATE}_std", ""))
        rows.append(row)
    places: dict[str, dict[str, int]] = {key: {} for key in KEYS if key != "magnification"}
    for line in summary:
        for key, seen in places.items():
            seen.setdefault(study.label(line[key]) if key == "model" else line[key], len(seen))
    rows.sort(key=lambda row: [seen[row[key]] for key, seen in places.items()])  # stable: magnifications ascend
    columns = [f"rate_{name}" for name in names]
    shown = [key for key in KEYS if key in ("model", "mode", "magnification") or len({row[key] for row in rows}) > 1]
    constant = ", ".join(f"{HEADS[key].lower()} {rows[0][key]}" for key in KEYS if rows and key not in shown)
    return Table(
        title="External test",
        caption=_caption(
            study,
            f"External test of every arm{f' ({constant})' if constant else ''}: mean ± sample standard deviation over "
            f"{_folds(rows)}; magnification is that of the training images.",
            OWN,
            f"{', '.join(name.capitalize() for name in names)}: share of the images of this class that are called "
            f"malignant, which is right for {' and '.join(name for name in names if label[name] == '1')}."
            if rows
            else EMPTY_EXTERNAL,
        ),
        columns=(
            *(*KEYS, "folds"),
            *(f"{name}_{kind}" for name in (*METRICS, *columns) for kind in ("mean", "std")),
        ),
        rows=rows,
        header=(*(HEADS[key] for key in shown), *(HEADS[score] for score in SCORES), *map(str.capitalize, names)),
        cells=[
            (*(printed(key, row[key]) for key in shown), *(spread(row, name) for name in (*SCORES, *columns)))
            for row in rows
        ],
    )


def _folds(rows: Sequence[Texts]) -> str:
    return count((int(row["folds"]) for row in rows), "fold") if rows else "no fold"


def _caption(study: Study, *sentences: str) -> str:
    """Return a caption that says too which classes are new to models trained on BreakHis and evaluated on BACH."""
    formats = {
        (study.datasets[block["dataset"]]["format"], study.datasets[block["on"]]["format"]) for block in study.external
    }
    new = "BreakHis has neither normal tissue nor carcinoma in situ: two of BACH's four classes are new to the models."
    return " ".join([study.caption(*sentences), *([new] if ("breakhis", "bach") in formats else [])])
