# What the report is made of: which outputs a study has is said in histobench/study/outputs.py.

MAIN = [run for run in STUDY.runs if RESOLVED.main.items() <= vars(run).items()]
TRAINED = [run for run in MAIN if RESOLVED.recipes[run.model][run.mode]["trainable"] != "none"]
HEADLINE = [run for run in MAIN if run.magnification == RESOLVED.magnification]
HEADLINE_PREDICTIONS = [STUDY.path(paths.PREDICTIONS, **vars(run)) for run in HEADLINE]
# Models that kept weights there: their errors get heat maps.
MAPPED = {run.model: run for run in HEADLINE if STUDY.recipe(run.model, run.mode).keep_weights}
HEAT_MAPS = f"{RESULTS}/heat_maps.npz"
INTERVALS = dict.fromkeys((4, 5), f"{RESULTS}/intervals.csv") | {6: f"{RESULTS}/external_intervals.csv"}
PREDICTIONS = [STUDY.path(paths.PREDICTIONS, **vars(run)) for run in STUDY.runs]
MAIN_PREDICTIONS = [STUDY.path(paths.PREDICTIONS, **vars(run)) for run in MAIN]
EXTERNAL = [STUDY.path(paths.EXTERNAL, on=on, scale=scale, **vars(run)) for on, scale, run in STUDY.external_runs]
STRESS = [STUDY.path(paths.STRESS, **vars(run)) for run in STUDY.stress_runs]
CENSUSES = [
    STUDY.path(paths.FOLDS_CENSUS, dataset=dataset, split=split)
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in STUDY.runs)
]
DRAWS = [STUDY.comparisons.draws, STUDY.comparisons.seed]
TESTED = [RESOLVED.table6[name] for name in ("on", "dataset")] if RESOLVED.external else []
SAMPLED = list(outputs.sampled(RESOLVED).values())
CAPTIONS = os.path.relpath(ROOT / "workflow/report")
PAPERS = os.path.relpath(published_papers.FOLDER)
CLAIMS_PUBLISHED = "results/claims_published/{ledger}.csv"

# The scripts of the report have the names of their rules' inputs and outputs as options.
SCRIPT = f"{WITHOUT_PYTORCH}" ' "$HISTOBENCH_SCRIPTS/{params.script}.py" {params.arguments} > {log:q} 2>&1'


def script(name):
    """Parameters of a rule that runs this script."""
    return {"script": name, "code": code(name)}


def arguments(w, input, output):
    """Named inputs and outputs as options; outputs without names are told by their common start, --output-prefix."""
    files = dict(input.items()) | dict(output.items())
    if not output.keys():
        files["output_prefix"] = os.path.splitext(output[0])[0]
    words = []
    for name, paths in files.items():
        if paths:
            words += [f"--{name.replace('_', '-')}"]
            words += [paths] if isinstance(paths, str) else paths
    return shlex.join(words)


def table(*names):
    """The CSV, Markdown and LaTeX file of tables as outputs; their names are the paper's."""
    return [
        file
        for name in outputs.named(RESOLVED, names)
        for file in (
            report_table(f"{RESULTS}/tables/{name}.csv", "table", "Tables"),
            f"{RESULTS}/tables/{name}.md",
            f"{RESULTS}/tables/{name}.tex",
            f"{RESULTS}/tables/{name}-tabular.tex",
        )
    ]


def figure(*names):
    """The SVG, PDF and PNG file of those figures that the study has, as outputs; their names are the paper's."""
    files = []
    for name in filter(outputs.figures(RESOLVED).__contains__, outputs.named(RESOLVED, names)):
        svg, *others = [f"{RESULTS}/figures/{name}.{form}" for form in ("svg", "pdf", "png")]
        private = outputs.is_private(RESOLVED, name)
        files += [svg if private else report_table(svg, outputs.papers(name), "Figures"), *others]
    return files


def tables(suffix=".csv"):
    return [f"{RESULTS}/tables/{name}{suffix}" for name in outputs.tables(RESOLVED)]


def page_figures(suffix=".svg"):
    return [
        f"{RESULTS}/figures/{name}{suffix}"
        for name in outputs.figures(RESOLVED)
        if not outputs.is_private(RESOLVED, name)
    ]


def page_results():
    """The CSVs beside the tables, of the study and of the paper alone."""
    own = [f"{RESULTS}/{name}.csv" for name in outputs.results(RESOLVED)]
    return [*own, *([CLAIMS_PUBLISHED.format(ledger=published_papers.PAPER)] if RESOLVED.paper else [])]


def published(*numbers):
    """Published tables of the default study's paper, which are part of this project wherever results are written."""
    return [f"{PAPERS}/{published_papers.PAPER}/tables/table{number}.csv" for number in numbers]


def beside(*numbers):
    """Published tables that a study is compared with: none where it is not about the paper."""
    return published(*numbers) if RESOLVED.paper else []


def compared(name):
    return report_table(f"{RESULTS}/{name}.csv", name, "Intervals and comparisons")


def external(name, caption):
    return report_table(f"{RESULTS}/external_{name}.csv", caption, "External test")


def report_log(name):
    return f"results/logs/report/{STUDY.study}/{name}.log"
