# What a study's tables, figures and page are made of, by its configuration.

DATASET = STUDY.tables.dataset or STUDY.runs[0].dataset
SPLIT = STUDY.tables.split
NUMBERED = {
    4: STUDY.tables.without_augmentation,
    5: STUDY.tables.with_augmentation,
}
SPLITS = canonical_json(
    {
        name: STUDY.splits[name].model_dump(mode="json")
        for name in dict.fromkeys(run.split for run in STUDY.runs)
    }
)
# What says where a dataset's images come from, not which they are.
PLACES = ["source", "table", "url", "mirrors", "sha256", "licence", "citation"]
SELECTIONS = {"": "last", "-best-epoch": "best_epoch"}


def tables():
    """Every table of the study; Tables 1, 4 and 5 where the study has the runs they are made of."""
    names = ["table2", "table3", "scores"]
    main = [run for run in STUDY.runs if (run.dataset, run.split) == (DATASET, SPLIT)]
    if main:
        names.append("table1")
    for number, augmentation in NUMBERED.items():
        if any(run.augmentation == augmentation for run in main):
            names += [
                f"table{number}{suffix}{what}"
                for suffix in SELECTIONS
                for what in ("", "-intervals")
            ]
    compared = {
        (run.model, run.mode)
        for run in main
        if run.magnification == STUDY.comparisons.magnification
        and run.augmentation == NUMBERED[4]
    }
    if len(compared) > 1:
        names += ["table7", "table7-honest"]
    if STUDY.tested:
        names += ["table6", "table6-intervals", "external"]
    return [f"{RESULTS}/tables/{name}.csv" for name in names]


def table_files(name, companion=True):
    """A table in its three forms, and its companion beside the published one."""
    prefix = f"{RESULTS}/tables/{name}"
    suffixes = ["", "-beside-published"] if companion else [""]
    return [
        (
            report_table(f"{prefix}{suffix}{extension}", "table", "Tables")
            if extension == ".csv"
            else f"{prefix}{suffix}{extension}"
        )
        for suffix in suffixes
        for extension in (".csv", ".md", ".tex")
    ]


def published(number):
    """A published table, which is part of this project wherever results are written."""
    return os.path.relpath(
        ROOT / "resources" / "paper" / "tables" / f"table{number}.csv"
    )


def heading(names=True):
    """What every caption says: a tracked parameter of every table."""
    parts = ["--study", STUDY.study]
    for note in STUDY.notes:
        parts += ["--note", note]
    if names:
        parts += ["--names", canonical_json(STUDY.labels)]
    return shlex.join(parts)


def prefix(output):
    return str(output[0]).removesuffix(".csv")


def table6_rows():
    """What Table 6 shows: the headline of the first external block."""
    if not STUDY.tested:
        return {}
    block = STUDY.tested[0]
    return {
        "on": block.on,
        "dataset": block.dataset,
        "split": block.splits[0],
        "magnification": str(block.headline),
        "augmentation": block.augmentations[0],
    }


def interval_rows(w):
    """What the intervals of Table 4, 5 or 6 show."""
    if w.number == "6":
        return table6_rows()
    return {
        "dataset": DATASET,
        "split": SPLIT,
        "augmentation": NUMBERED[int(w.number)],
        "selection": SELECTIONS[w.suffix],
    }


def external_heading():
    formats = {
        (STUDY.datasets[block.dataset].format, STUDY.datasets[block.on].format)
        for block in STUDY.tested
    }
    new = "BreakHis has neither normal tissue nor carcinoma in situ: two of BACH's four classes are new to the models."
    note = ["--note", new] if ("breakhis", "bach") in formats else []
    return shlex.join([*shlex.split(heading()), *note])


def page_figures():
    """The figures that the page shows, as SVG; a PNG and a PDF stand beside each."""
    return [
        path
        for path in figures()
        if path.endswith(".svg") and not private(Path(path).stem)
    ]


def private(figure):
    """Whether a figure shows photographs that must not be passed on: BACH's, under CC BY-NC-ND 4.0."""
    dataset = STUDY.datasets.get(sampled().get(figure))
    return bool(dataset and dataset.format == "bach" and not dataset.synthetic)


def page_caption(figure):
    """What the page and `snakemake --report` say of a figure."""
    return os.path.relpath(ROOT / "workflow" / "report" / f"{Path(figure).stem}.rst")


def page_results():
    """The CSVs beside the tables, by the configuration."""
    names = ["intervals", "comparisons", "claims", "gaps", "costs"]
    names += ["summary", "metrics", "parameters", "calibration"]
    if STUDY.tested:
        names += ["external_gaps", "external_summary"]
        names += ["external_metrics", "external_groups"]
    return [
        *(f"{RESULTS}/{name}.csv" for name in names),
        "results/claims_published.csv",
    ]


def page_tables():
    """Every table with its companion, where the paper has one."""
    companions = {
        path: path.replace(".csv", "-beside-published.csv")
        for path in tables()
        if re.fullmatch(r"table\d(-best-epoch)?", Path(path).stem)
    }
    return sorted([*tables(), *companions.values()])


def page_configuration():
    """What decides the study's results, and only this: no path of this machine, nothing of its hardware."""
    augmentations = dict.fromkeys(run.augmentation for run in STUDY.runs)
    splits = json.loads(SPLITS)
    return canonical_json(
        {
            "study": STUDY.study,
            "seed": STUDY.seed,
            "datasets": {
                name: STUDY.datasets[name].model_dump(mode="json", exclude=set(PLACES))
                for name in STUDY.used_datasets
            },
            "splits": {
                name: {key: split[key] for key in ("by", "folds", "seed")}
                for name, split in splits.items()
            },
            "augmentations": {
                name: STUDY.augmentations[name] for name in augmentations
            },
            "models": {
                name: {
                    "label": label,
                    "settings": STUDY.models[name].settings.model_dump(mode="json"),
                }
                for name, label in STUDY.labels.items()
            },
            "recipes": recipes_of_arms(),
            "grid": [block.model_dump(mode="json") for block in STUDY.grid],
            "tables": STUDY.tables.model_dump(mode="json") | {"dataset": DATASET},
            "external": [block.model_dump(mode="json") for block in STUDY.tested],
            "comparisons": STUDY.comparisons.model_dump(mode="json"),
        }
    )


def commit():
    """The commit of this project's code, with a mark where files differ from it; nothing where git knows none."""
    number, clean = checkout.commit(ROOT)
    return number + ("" if clean else "-modified") if number else ""


MAIN = [
    run
    for run in STUDY.runs
    if (run.dataset, run.split, run.augmentation) == (DATASET, SPLIT, NUMBERED[4])
]
EXTERNAL_ARMS = {
    key: value for key, value in table6_rows().items() if key != "magnification"
}


def figures():
    """Every figure for which the study has what it is drawn from, in its three forms."""
    families = {STUDY.models[name].family == "cnn" for name in STUDY.labels}
    arms = {}
    for run in STUDY.runs:
        if (run.dataset, run.augmentation) == (DATASET, NUMBERED[4]):
            key = (run.model, run.mode, run.magnification)
            arms.setdefault(key, set()).add(run.split)
    wanted = {
        "figure1": True,
        "figure2": STUDY.tested,
        "figure3": True in families,
        "figure4": False in families,
        "figure5": panels(),
        "figure6": MAIN,
        "figure7": MAIN,
        "ladder": any(len(splits) > 1 for splits in arms.values()),
        "patients": MAIN,
        "reliability": MAIN,
        "bach": STUDY.tested,
        "cost": MAIN,
    }
    return [path for name in wanted if wanted[name] for path in figure_forms(name)]


def figure_forms(name):
    return [f"{RESULTS}/figures/{name}.{form}" for form in ("svg", "pdf", "png")]


def figure_files(name, there=True):
    """The forms of a figure as outputs of a rule; none where the study has no such figure."""
    forms = figure_forms(name) if there else []
    if private(name):
        return forms
    return [report_table(path, name, "Figures") for path in forms[:1]] + forms[1:]


def figure_prefix(output):
    return str(output[0]).removesuffix(".svg")


def panels():
    """The augmentations of Figure 5, each with its published table."""
    main = {
        run.augmentation
        for run in STUDY.runs
        if (run.dataset, run.split) == (DATASET, SPLIT)
    }
    return {
        augmentation: published(number)
        for number, augmentation in NUMBERED.items()
        if augmentation in main
    }


def figure_heading():
    """What every figure of arms says: the arms in their order, and the notes at its foot."""
    arms = [
        {
            "model": model,
            "mode": mode,
            "label": STUDY.labels[model],
            "family": STUDY.models[model].family,
            "trainable": STUDY.recipe(model, mode).trainable,
        }
        for model, mode in dict.fromkeys((run.model, run.mode) for run in STUDY.runs)
    ]
    return shlex.join(["--arms", canonical_json(arms), *figure_notes()])


def figure_notes():
    return [part for note in STUDY.notes for part in ("--note", note)]


def main_rows():
    return shlex.join(
        ["--dataset", DATASET, "--split", SPLIT, "--augmentation", NUMBERED[4]]
    )


def sampled():
    """Dataset and number of the figures with sample images."""
    return {"figure1": DATASET} | (
        {"figure2": STUDY.tested[0].on} if STUDY.tested else {}
    )


def sample_figures():
    """What Figures 1 and 2 show, as command-line options."""
    parts = []
    for name, dataset in sampled().items():
        wanted = {
            "dataset": dataset,
            "format": STUDY.datasets[dataset].format,
            "synthetic": STUDY.datasets[dataset].synthetic is not None,
            "manifest": paths.MANIFEST.format(dataset=dataset),
            "source": STUDY.source(dataset),
            "prefix": f"{RESULTS}/figures/{name}",
            "rows": "class" if name == "figure1" else "group",
        }
        parts += ["--figure", canonical_json(wanted)]
    return shlex.join([*parts, *figure_notes()])


def method_figures():
    parts = []
    for name, option in (("figure3", "--cnn"), ("figure4", "--vlm")):
        if figure_forms(name)[0] in figures():
            parts += [option, f"{RESULTS}/figures/{name}"]
    return shlex.join(parts)
