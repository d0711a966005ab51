"""Which tables, figures and other files the report of a study has. Names are those of files without their endings.

The paper's numbers of tables and figures name those of its own study and of trials of it (`study.paper`). Every other study
has the same under names and titles that say what they show, without what only the paper needs.
"""

import re
from collections.abc import Iterable

from histobench.study.resolved import Study

SELECTIONS = {"": "last", "-validation": "validation", "-best-epoch": "best_epoch"}
"""End of the name of Tables 4 and 5 -> the epoch that is scored."""
BESIDE, INTERVALS, FULL = "-beside-published", "-intervals", "-honest"
SCALES, STRICT = "-scales", "-strict"
CONTENTS = {
    "table1": ("images", "Images"),
    "table2": ("models", "Models"),
    "table3": ("recipes", "Training"),
    "table4": ("results", "Scores, augmentation {without_augmentation}"),
    "table5": ("results-augmented", "Scores, augmentation {with_augmentation}"),
    "table6": ("external-results", "External test of the models trained at one magnification"),
    "table7": ("pairs", "Pairs of arms"),
    "figure1": ("samples", "Sample images"),
    "figure2": ("external-samples", "Sample images of the external dataset"),
    "figure3": ("cnn", "Convolutional networks"),
    "figure4": ("vlm", "Vision-language models"),
    "figure5": ("accuracy", "Accuracy of every arm"),
    "figure6": ("losses", "Losses"),
    "figure7": ("epochs", "Loss and accuracy over epochs"),
    "bach": ("external-classes", "Malignant calls per class of the external dataset"),
}
"""The paper's name -> the name and title by content."""
CLASS_TABLES = ["recall", "results", "results-pooled"]
"""What a study with several classes has in place of the tables of scores, intervals and comparisons."""
_PAPERS = {plain: name for name, (plain, _) in CONTENTS.items()}


def tables(study: Study) -> list[str]:
    """Return every table of a study, and its companions; Tables 1, 4, 5 and 7 where the grid has what they show."""
    if study.classes:
        shown = [("table1", _is_main(study)), ("table2", True), ("table3", True)]
        names = ["folds", *CLASS_TABLES, *named(study, [name for name, has in shown if has])]
        return sorted([*names, *(["published-rows"] if study.benchmark else [])])
    names = ["table2", f"table2{BESIDE}", "table3", f"table3{BESIDE}", "scores", "folds"]
    if _is_main(study):
        names += ["table1", f"table1{BESIDE}"]
    names += [
        f"table{number}{selection}{suffix}"
        for number, augmentation in study.panels.items()
        for selection, which in SELECTIONS.items()
        if which != "validation" or study.chooses(**study.main | {"augmentation": augmentation})
        for suffix in ("", BESIDE, INTERVALS)
    ]
    names += [f"table4{STRICT}"] if study.stricter else []
    headline = {**study.main, "magnification": study.comparisons["magnification"]}.items()
    if len({(cell["model"], cell["mode"]) for cell in study.cells if headline <= cell.items()}) > 1:
        names += ["table7", f"table7{BESIDE}", f"table7{FULL}"]
    if prompted(study):
        names.append("prompts")
    if repeated(study):
        names.append("variance")
    if any(study.classifies_bags(*arm.key) for arm in study.arms):
        names.append("patient-level")
    if study.stress:
        names.append("stress")
    if several_augmentations(study):
        names.append("augmentation-effects")
    if study.main_cells:
        names.append("errors")
    if study.external:
        names += ["table6", f"table6{BESIDE}", f"table6{INTERVALS}", *scales(study), "external"]
    return sorted(named(study, names))


def _is_main(study: Study) -> bool:
    """Return whether the grid has the dataset and split of Table 1."""
    return any((cell["dataset"], cell["split"]) == (study.dataset, study.split) for cell in study.cells)


def scales(study: Study) -> list[str]:
    """Return the companion of Table 6 that compares the scales of images, where its arms are evaluated at a matched one."""
    return [f"table6{SCALES}"] if study.external and "matched" in study.external[0]["scales"] else []


def prompted(study: Study) -> bool:
    """Return whether an arm of Table 4 reads text."""
    own = [study.recipes[cell["model"]][cell["mode"]] for cell in study.main_cells]
    return any("prompt" in recipe or "prompts" in recipe for recipe in own)


def repeated(study: Study) -> bool:
    """Return whether an arm is trained with several seeds."""
    return max(study.seeds.values()) > 1


def several_augmentations(study: Study) -> bool:
    """Return whether a study other than the paper's trains an arm of Table 4 with two augmentations or more, too."""
    lists: dict[tuple[object, ...], set[str]] = {}
    for cell in study.cells:
        if (cell["dataset"], cell["split"]) == (study.dataset, study.split):
            lists.setdefault((cell["model"], cell["mode"], cell["magnification"]), set()).add(cell["augmentation"])
    return not study.paper and any(study.augmentation in names and len(names) > 2 for names in lists.values())


def several_sizes(study: Study) -> bool:
    """Return whether a study other than the paper's trains three or more different parts or models at its headline magnification.

    Numbers of parameters are not known before the models are built.
    """
    arms = [(cell["model"], cell["mode"]) for cell in study.main_cells if cell["magnification"] == study.magnification]
    recipes = [(model, study.recipes[model][mode]) for model, mode in arms if study.has_epochs(model, mode)]
    return not study.paper and len({(model, one["trainable"], str(one["lora"])) for model, one in recipes}) > 2


def named(study: Study, names: Iterable[str]) -> list[str]:
    """Return the names that a study's tables or figures have, without those that only the paper's study has.

    The published form of Table 7 is the paper's alone; elsewhere its full form has its place.
    """
    if study.paper:
        return list(names)
    known = [name.removesuffix(FULL) for name in names if name != "table7" and not name.endswith(BESIDE)]
    return [re.sub(rf"^(?:{'|'.join(CONTENTS)})(?=$|-)", lambda found: CONTENTS[found[0]][0], name) for name in known]


def title(study: Study, name: str) -> str:
    """Return the title of a table or figure, given by the paper's name: `Table 4`, or what it shows."""
    paper = re.sub(r"(\d)", r" \1", name).replace("-", " ").capitalize()
    return paper if study.paper or name not in CONTENTS else CONTENTS[name][1].format_map(study.tables)


def papers(name: str) -> str:
    """Return the paper's name of a table or figure, whatever it is called in a study; companions keep their endings."""
    known = "|".join(sorted(_PAPERS, key=len, reverse=True))
    ends = "|".join(["$", BESIDE, INTERVALS, SCALES, STRICT, *filter(None, SELECTIONS)])
    return re.sub(rf"^(?:{known})(?={ends})", lambda found: _PAPERS[found[0]], name)


def figures(study: Study) -> list[str]:
    """Return every figure for which a study has what it is drawn from."""
    main = bool(study.main_cells)
    epochs = any(study.has_epochs(cell["model"], cell["mode"]) for cell in study.main_cells)
    if study.classes:
        return [*named(study, ["figure1"]), *(["confusion"] if main else [])]
    splits: dict[tuple[object, ...], set[str]] = {}
    for cell in study.cells:
        if (cell["dataset"], cell["augmentation"]) == (study.dataset, study.augmentation):
            splits.setdefault((cell["model"], cell["mode"], cell["magnification"]), set()).add(cell["split"])
    wanted = {
        "figure1": True,
        "figure2": study.external,
        "figure3": any(not arm.is_vlm and arm.trainable != "none" for arm in study.arms),
        "figure4": any(arm.is_vlm and arm.trainable != "none" for arm in study.arms),
        "figure5": study.panels,
        "figure6": epochs,
        "figure7": epochs,
        "ladder": any(len(several) > 1 for several in splits.values())
        or study.chooses(dataset=study.dataset, augmentation=study.augmentation),
        "roc": main,
        "precision-recall": main,
        "confusion": main,
        "patients": main,
        "error-pictures": main,
        "reliability": main,
        "few-shot": study.few_shot_curves(),
        "variance-shares": repeated(study),
        "bach": study.external,
        "stress": study.stress,
        "cost": main,
        "trained-parameters": several_sizes(study),
        "augmentation-effects": several_augmentations(study),
    }
    return named(study, [name for name, has in wanted.items() if has])


def sampled(study: Study) -> dict[str, str]:
    """Return the dataset of each figure that shows sample images."""
    shown = [study.dataset, *(block["on"] for block in study.external[:1])]
    return dict(zip(named(study, ["figure1", "figure2"]), shown, strict=False))


def pictured(study: Study) -> dict[str, str]:
    """Return the dataset of each figure that shows images: samples, and errors."""
    return sampled(study) | {"error-pictures": study.dataset}


def is_private(study: Study, figure: str) -> bool:
    """Return whether a figure shows photographs that must not be passed on: those of BACH are under CC BY-NC-ND 4.0."""
    if figure not in pictured(study):
        return False
    dataset = study.datasets[pictured(study)[figure]]
    return dataset["format"] == "bach" and not dataset["synthetic"]


def results(study: Study) -> list[str]:
    """Return the CSVs that the page shows or links, other than tables."""
    if study.classes:
        return ["class_scores", "costs", "parameters"]
    names = ["intervals", "comparisons", "gaps", "costs", "summary", "metrics", "parameters", "calibration"]
    if repeated(study):
        names.append("variance")
    if study.stress:
        names.append("stress")
    if study.external:
        names += [f"external_{name}" for name in ("gaps", "summary", "metrics", "groups", "intervals")]
    return [*names, *(["claims"] if study.paper else [])]


def numbered(table: str) -> tuple[int, str]:
    """Return the number of a table and which epoch it is of, for example (4, "best_epoch") of `table4-best-epoch`."""
    selection = next((which for end, which in SELECTIONS.items() if end and end in table), "last")
    return int(papers(table)[len("table")]), selection
