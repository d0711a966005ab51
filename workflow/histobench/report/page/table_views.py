"""The tables of the page: those of the study with their companions, intervals, comparisons and gaps."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from histobench.evaluation.summary import GROUPS
from histobench.io.errors import HistoBenchError
from histobench.report.page.cells import Cell, Column, Source, Value, View, beside, columns_of, pivot, plain, view
from histobench.report.tables.benchmark_table import OURS
from histobench.report.tables.comparison_tables import excludes_zero
from histobench.report.tables.folds_table import ALL, BOTH
from histobench.report.tables.results_tables import best_means
from histobench.report.terms import head, remarks, resampled
from histobench.study.outputs import BESIDE, INTERVALS, SCALES, papers
from histobench.study.resolved import Study

FOLD = (
    *("dataset", "split", "augmentation", "selection", "folds", "level", "unit", *GROUPS),
    *("strict_split", "strict_unit", *(f"strict_{name}" for name in GROUPS)),
)
"""Columns that are shown once above a table, where they are the same in all its rows."""
SETTING = ("dataset", "split", "augmentation", "magnification")
COMPARED = (
    *plain(*SETTING, "first", "second"),
    Column("Difference", "{difference} [{difference_low}, {difference_high}]"),
    Column("Pooled difference", "{pooled_difference} [{low}, {high}]"),
    *plain("effect_size", "bootstrap_p", "sign_flip_p", "holm_p"),
    Column("Wilcoxon p (floor)", "{wilcoxon_p} ({wilcoxon_floor})"),
    *plain("nadeau_bengio_p"),
)
ALSO_TRAINS = {
    "slide_in_training": "its slide",
    "accession_in_training": "its accession number",
    "pixels_in_training": "an image with equal pixels",
}
"""Column of the table of the folds -> what a share of the evaluation images has in training too."""
BENCHMARK = (
    *plain("encoder", "source", "selection"),
    Column("Value", "{value}", more=["[{value_low}, {value_high}]"]),
    *plain("images", "groups"),
)
"""Columns of the table of published scores, which have no interval."""
SECONDARY = {
    "accuracy": Column("McNemar p (secondary)", "{mcnemar_p}"),
    "auc": Column("DeLong p (secondary)", "{delong_p}"),
}


def tables(files: Sequence[Path], folder: Path, names: Mapping[str, str]) -> list[View]:
    """Return the tables in the order of their numbers, each with its companions, for a page in `folder`.

    Beside each CSV is its Markdown, which begins with title and caption. `names` are those of the models in print.
    """
    found = {path.stem: path for path in files}
    views = []
    for stem in sorted((stem for stem in found if not stem.endswith((BESIDE, INTERVALS, SCALES))), key=order):
        source = Source.read(found[stem], folder, names)
        if stem == "published-rows":
            views += benchmark(source)
            continue
        shown = view(source, *_heading(source.path), fold=FOLD)
        shown.identity = stem
        shown.best = _bold(stem, source)
        for suffix, make in ((BESIDE, beside), (INTERVALS, view), (SCALES, view)):
            if f"{stem}{suffix}" in found:
                companion = Source.read(found[f"{stem}{suffix}"], folder, names)
                below = make(companion, *_heading(companion.path))
                below.identity = companion.path.stem
                shown.companions = [*shown.companions, below]
        views.append(shown)
    return views


def benchmark(source: Source) -> list[View]:
    """Return a table of published scores for each metric, in which the study's own encoders are bold; the first has the caption."""
    title, caption = _heading(source.path)
    rows: dict[str, list[int]] = {}
    for index, row in enumerate(source.rows):
        rows.setdefault(row["metric"], []).append(index)
    views = []
    for metric, own in rows.items():
        shown = view(source, f"{title}: {head(metric)}", "" if views else caption, BENCHMARK, own)
        shown.best = {(index, "encoder") for index in own if source.rows[index]["source"] == OURS}
        views.append(shown)
    return views


def also_train(source: Source) -> list[tuple[str, str, list[Cell]]]:
    """Return dataset, split policy and a clause for each class, and for both, on what also trains, from the table of the folds."""
    found: dict[tuple[str, str], list[Cell]] = {}
    rows: dict[tuple[str, str, str], list[int]] = {}
    for index, row in enumerate(source.rows):
        rows.setdefault((row["dataset"], row["split"], row["label"]), []).append(index)
    for (dataset, split, label), own in rows.items():
        (whole,) = (index for index in own if source.rows[index]["fold"] == ALL)
        folds = [index for index in own if index != whole]
        clause = source.fill(
            f"of the {{images}} {'' if label == BOTH else '{label} '}images that evaluate", whole, away=True
        )
        for column, what in ALSO_TRAINS.items():
            clause += [", ", *_share(source, column, whole, folds), f" has {what}"]
        found.setdefault((dataset, split), []).append([*clause, " in training too"])
    return [(*names, clauses) for names, clauses in found.items()]


def _share(source: Source, column: str, whole: int, folds: Sequence[int]) -> list[Value | str]:
    """Return the share in all folds, and the smallest and the largest of a fold; `none` where it is 0."""
    if not float(source.rows[whole][column]):
        return ["none"]
    shown = source.fill(f"a share of {{{column}}}", whole, away=True)
    by_share = sorted(folds, key=lambda index: float(source.rows[index][column]))
    if len(by_share) > 1:
        least, most = (source.value(index, column, away=True) for index in (by_share[0], by_share[-1]))
        shown += [" (", least, " to ", most, " in a fold)"]
    return shown


def order(stem: str) -> tuple[bool, str]:
    """Return the sort key of a table: those that the paper numbers first, by number, then the others by name."""
    return not papers(stem).startswith("table"), papers(stem)


def _heading(path: Path) -> tuple[str, str]:
    """Return title and caption of a table, from the first line of its Markdown file."""
    markdown = path.with_suffix(".md")
    if not markdown.is_file():
        raise HistoBenchError(f"{markdown}: no such file; run the workflow again to make it")
    with markdown.open(encoding="utf-8") as file:
        title, _, caption = file.readline().strip().removeprefix("**").partition(".** ")
    return title, caption


def _bold(stem: str, source: Source) -> set[tuple[int, str]]:
    """Return (row, column) of the bold values of a table, which are the same as in its Markdown and LaTeX files."""
    if re.fullmatch(r"table[45](-validation|-best-epoch)?", papers(stem)) and "accuracy_mean" in source.columns:
        return best_means(source.rows)
    if papers(stem).startswith("table7") and "difference_low" in source.columns:
        return {(index, "difference") for index, row in enumerate(source.rows) if excludes_zero(row)}
    return set()


def intervals(source: Source, study: Study) -> View | None:
    """Return a row per arm and a column per metric, at the last epoch; below it other intervals of the same arms."""
    rows = [index for index, row in enumerate(source.rows) if row["selection"] == "last"]
    if not rows:
        return None
    equal = [key for key in SETTING[:3] if len({source.rows[index][key] for index in rows}) == 1]
    keys = [key for key in (*SETTING, "model", "mode") if key not in equal]
    shown = [source.rows[index] for index in rows]
    caption = " ".join(
        [
            f"Means over folds of the scores of the last epoch with 95 % intervals: {resampled(shown, study)} are resampled "
            "within class and fold. The CSV also has the best epoch.",
            *remarks([row for row in shown if row["metric"] == "accuracy"], study.labels),
        ]
    )
    pooled = (
        "The same of the out-of-fold predictions of all folds together. Folds differ in size, and the AUC ranks images of all "
        "folds together, so that pooled scores differ from means over folds."
    )
    accession = (
        "The same means over folds, and those by accession number, which are resampled within class, because slides of one number "
        "may be of one patient. The two means differ only in the patient rate."
    )
    mean = "{fold_mean} [{fold_mean_low}, {fold_mean_high}]"
    views = {
        "Intervals": (caption, mean, rows),
        "Intervals by accession number": (
            accession,
            f"{mean}; by accession number {{accession_mean}} [{{accession_low}}, {{accession_high}}]",
            [index for index in rows if source.rows[index]["accession_low"]],
        ),
        "Intervals of pooled scores": (pooled, "{estimate} [{low}, {high}]", rows),
    }
    found, *below = (
        pivot(*(source, title, text, chosen, keys, "metric"), partial(source.fill, template))
        for title, (text, template, chosen) in views.items()
        if chosen
    )
    for part in below:
        part.identity += f"-{part.title.split()[-1]}"
    for part in (found, *below):
        part.shared = [(head(key), source.value(rows[0], key, away=True)) for key in equal]
    found.companions = below
    return found


def comparisons(source: Source) -> list[View]:
    """Return the table of all pairs of arms for each of the metrics in `SECONDARY`, last epoch."""
    views = []
    for metric, secondary in SECONDARY.items():
        rows = [index for index, row in enumerate(source.rows) if (row["metric"], row["selection"]) == (metric, "last")]
        if rows:
            caption = (
                f"{head(metric)}, first minus second, last epoch: difference of the means over folds, and of the pooled scores, "
                "with 95 % intervals of a paired bootstrap of groups. Holm's correction is applied to the sign-flip p over the declared "
                "pairs. The floor is the smallest p that the Wilcoxon test can give. The last column is secondary: it "
                "assumes that images are independent, but those of one group are not."
            )
            views.append(view(source, f"Pairs of arms: {head(metric)}", caption, [*COMPARED, secondary], rows, FOLD))
    return views


def gaps(sources: Mapping[str, Source]) -> list[View]:
    """Return the tables of what could not be used."""
    titles = {"gaps": "What could not be used", "external_gaps": "What could not be used of the external test"}
    return [
        view(source, title, "", [Column(column.head, column.template, "text") for column in columns_of(source)])
        for source, title in ((sources.get(name), title) for name, title in titles.items())
        if source and source.rows
    ]
