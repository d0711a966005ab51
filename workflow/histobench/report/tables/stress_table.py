"""How much accuracy falls on altered images, by arm and shift."""

from collections.abc import Mapping, Sequence

from histobench.evaluation.stress import ALL, MEAN
from histobench.evaluation.summary import ARM
from histobench.report.render import Table
from histobench.report.terms import Texts, fixed, head, resampled, signed
from histobench.study.resolved import Study
from histobench.study.stress_settings import NONE, SHIFTS

ENDS = ("", "_low", "_high")
TITLES = {
    NONE: "Unaltered",
    "stain": "Stain",
    "blur": "Blur",
    "jpeg": "JPEG",
    "brightness": "Brightness",
    "scale": "Scale",
    ALL: "All shifts",
}
RELATIVE = "relative"
TITLES |= {RELATIVE: "Relative drop"}


def stress_table(stress: Sequence[Texts], study: Study) -> Table:
    """Return a row for each arm: its accuracy on unaltered images, and its mean drop by shift, from the rows of stress.csv."""
    arms: dict[tuple[str, ...], dict[str, str]] = {}
    for row in stress:
        cells = arms.setdefault(tuple(row[name] for name in ARM), {})
        if row["metric"] == "accuracy" and row["shift"] == NONE:
            cells |= _values(NONE, row, "estimate", fixed)
        elif row["metric"] == "accuracy" and row["strength"] == MEAN:
            cells |= _values(row["shift"], row, "drop", lambda text: signed(float(text)))
        elif row["metric"] == "balanced_accuracy" and row["shift"] == ALL:
            cells |= _values(RELATIVE, row, "relative_drop", lambda text: signed(float(text)))
    shifts = [shift for shift in SHIFTS if any(shift in cells for cells in arms.values())]
    shown = (NONE, *shifts, ALL, RELATIVE)
    varying = [
        key for place, key in enumerate(ARM) if len({arm[place] for arm in arms}) > 1 or key in ("model", "mode")
    ]
    columns = (*ARM, *(f"{name}{end}" for name in shown for end in ENDS))
    rows = [
        dict.fromkeys(columns, "") | dict(zip(ARM, arm, strict=True)) | cells | {"model": study.label(arm[1])}
        for arm, cells in arms.items()
    ]
    caption = study.caption(
        "Stress test: accuracy of trained models on their evaluation images, mean over folds, and how much it falls when these are "
        f"altered: mean over five strengths. Brackets are 95 % intervals; {resampled(stress, study)} are resampled within class and "
        "fold. Drops are paired: models, images and resampled groups are the same. Intervals leave out the variance of training.",
        "Relative drop: share of the balanced accuracy above guessing (0.5) that is lost, mean over shifts and strengths; absent where "
        "the interval of the unaltered images includes guessing.",
    )
    return Table.of(
        "Stress test",
        caption,
        columns,
        rows,
        (*varying, *shown),
        (*map(head, varying), *(TITLES[name] for name in shown)),
    )


def _values(name: str, row: Texts, column: str, form) -> Mapping[str, str]:
    return {f"{name}{end}": form(text) if (text := row[f"{column}{end}"]) else "" for end in ENDS}
