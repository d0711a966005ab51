"""Which tables, figures and other files the report of a study has. Names are those of files without their endings."""

from histobench.study.resolved import Study

SELECTIONS = {"": "last", "-best-epoch": "best_epoch"}
"""End of the name of Tables 4 and 5 -> the epoch that is scored."""
BESIDE, INTERVALS = "-beside-published", "-intervals"


def tables(study: Study) -> list[str]:
    """Return every table of a study, and its companions; Tables 1, 4, 5 and 7 where the grid has what they show."""
    names = ["table2", f"table2{BESIDE}", "table3", f"table3{BESIDE}", "scores"]
    if any((cell["dataset"], cell["split"]) == (study.dataset, study.split) for cell in study.cells):
        names += ["table1", f"table1{BESIDE}"]
    names += [
        f"table{number}{selection}{suffix}"
        for number in study.panels
        for selection in SELECTIONS
        for suffix in ("", BESIDE, INTERVALS)
    ]
    headline = {**study.main, "magnification": study.comparisons["magnification"]}.items()
    if len({(cell["model"], cell["mode"]) for cell in study.cells if headline <= cell.items()}) > 1:
        names += ["table7", f"table7{BESIDE}", "table7-honest"]
    if study.external:
        names += ["table6", f"table6{BESIDE}", f"table6{INTERVALS}", "external"]
    return sorted(names)


def figures(study: Study) -> list[str]:
    """Return every figure for which a study has what it is drawn from."""
    main = any(study.main.items() <= cell.items() for cell in study.cells)
    splits: dict[tuple[object, ...], set[str]] = {}
    for cell in study.cells:
        if (cell["dataset"], cell["augmentation"]) == (study.dataset, study.augmentation):
            splits.setdefault((cell["model"], cell["mode"], cell["magnification"]), set()).add(cell["split"])
    wanted = {
        "figure1": True,
        "figure2": study.external,
        "figure3": any(arm.family == "cnn" for arm in study.arms),
        "figure4": any(arm.family != "cnn" for arm in study.arms),
        "figure5": study.panels,
        "figure6": main,
        "figure7": main,
        "ladder": any(len(several) > 1 for several in splits.values()),
        "roc": main,
        "precision-recall": main,
        "confusion": main,
        "patients": main,
        "reliability": main,
        "bach": study.external,
        "cost": main,
    }
    return [name for name, has in wanted.items() if has]


def sampled(study: Study) -> dict[str, str]:
    """Return the dataset of each figure that shows sample images."""
    return {"figure1": study.dataset} | ({"figure2": study.external[0]["on"]} if study.external else {})


def is_private(study: Study, figure: str) -> bool:
    """Return whether a figure shows photographs that must not be passed on: those of BACH are under CC BY-NC-ND 4.0."""
    if figure not in sampled(study):
        return False
    dataset = study.datasets[sampled(study)[figure]]
    return dataset["format"] == "bach" and not dataset["synthetic"]


def results(study: Study) -> list[str]:
    """Return the CSVs that the page shows or links, other than tables."""
    names = ["intervals", "comparisons", "claims", "gaps", "costs", "summary", "metrics", "parameters", "calibration"]
    if study.external:
        names += ["external_gaps", "external_summary", "external_metrics", "external_groups"]
    return names


def numbered(table: str) -> tuple[int, str]:
    """Return the number of a table and which epoch it is of, for example (4, "best_epoch") of `table4-best-epoch`."""
    return int(table[len("table")]), "best_epoch" if "-best-epoch" in table else "last"
