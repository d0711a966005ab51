"""Table 4's companion: the scores of its arms under a stricter split beside those under its own."""

from collections.abc import Sequence

from histobench.evaluation.summary import GROUPS
from histobench.metrics import SCORES
from histobench.report.render import Table
from histobench.report.tables.scores_tables import folds
from histobench.report.terms import EMPTY, Texts, fixed, head, remarks, resampled, signed
from histobench.study.outputs import title
from histobench.study.resolved import Study

SHOWN = ("accuracy", "auc")
"""Scores of the printed table; its CSV has all."""
KEYS = ("model", "mode", "magnification")


def strict_table(summary: Sequence[Texts], study: Study) -> Table:
    """Return a row for each arm and magnification of Table 4 and each stricter split under which it is trained too.

    Mean and standard deviation over folds, and groups of each class, are those of the rows of `summary.csv`; differences are
    between the printed means.
    """
    place = {"dataset": study.dataset, "augmentation": study.augmentation, "selection": "last"}
    known = {(row["split"], *(row[key] for key in KEYS)): row for row in summary if place.items() <= row.items()}
    main, rows, used = study.split, [], []
    for split in study.stricter:
        for (of, *key), strict in known.items():
            own = known.get((main, *key))
            if of != split or own is None:
                continue
            used += [own, strict]
            row = dict(zip(KEYS, key, strict=True)) | {"model": study.label(key[0]), "strict_split": split}
            for name, found in (("", own), ("strict_", strict)):
                row[f"{name}unit"] = study.unit(found["split"])
                row |= {f"{name}{column}": found[column] for column in GROUPS}
            for score in SCORES:
                for name, values in ((score, own), (f"{score}_strict", strict)):
                    row |= {f"{name}_{part}": fixed(values[f"{score}_{part}"]) for part in ("mean", "std")}
                change = float(row[f"{score}_strict_mean"]) - float(row[f"{score}_mean"])
                row[f"{score}_difference"] = signed(change)
            rows.append(row)
    scores = [f"{score}{part}" for score in SHOWN for part in ("", "_strict", "_difference")]
    heads = [
        f"{head(score)}, {word}" if word else "Difference"
        for score in SHOWN
        for word in (main, study.stricter[0] if len(study.stricter) == 1 else "stricter split", "")
    ]
    return Table.of(
        f"{title(study, 'table4')}, stricter split",
        study.caption(
            f"The same arms, trained again under a stricter split: dataset {study.dataset}, augmentation {study.augmentation}, last epoch, mean "
            f"± sample standard deviation over {folds(used)}. Difference: stricter minus {main}, without an interval.",
            f"Groups, which statistics resample: {resampled(used, study)}." if used else EMPTY,
            *remarks(used, study.labels),
        ),
        (
            *(*KEYS, "strict_split"),
            *(f"{name}{column}" for name in ("", "strict_") for column in ("unit", *GROUPS)),
            *(
                f"{score}_{part}"
                for score in SCORES
                for part in ("mean", "std", "strict_mean", "strict_std", "difference")
            ),
        ),
        rows,
        (*KEYS, "strict_split", "groups", "strict_groups", *scores),
        (*map(head, KEYS), "Stricter split", f"Groups, {main}", "Groups, stricter", *heads),
    )
