"""Put the report page together. Reads CSVs, captions and figures; returns HTML that needs no other file."""

import base64
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.report.page import answer, protocol
from histobench.report.page.cells import (
    Column,
    Mark,
    Row,
    Source,
    Tally,
    View,
    beside,
    columns_of,
    fill,
    head,
    mark,
    number,
    view,
)
from histobench.study.resolved import Study

BESIDE, INTERVALS = "-beside-published", "-intervals"
SVG_BYTES = 300_000
"""Larger SVG figures, those with many points or photographs, are shown as their PNG."""
PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib", "jinja2", "snakemake")
FOLD = ("dataset", "split", "augmentation", "selection", "folds", "level")
ARM = ("dataset", "split", "augmentation", "magnification", "model", "mode")
COMPARED = (
    Column("First", "{first}"),
    Column("Second", "{second}"),
    Column("Pooled difference", "{pooled_difference} [{low}, {high}]"),
    Column("Mean over folds", "{difference}"),
    Column("Effect size (dz)", "{effect_size}"),
    Column("Bootstrap p", "{bootstrap_p}"),
    Column("Sign-flip p", "{sign_flip_p}"),
    Column("Holm p", "{holm_p}"),
    Column("Wilcoxon p (floor)", "{wilcoxon_p} ({wilcoxon_floor})"),
    Column("Nadeau–Bengio p", "{nadeau_bengio_p}"),
)
SECONDARY = {
    "accuracy": Column("McNemar p (secondary)", "{mcnemar_p}"),
    "auc": Column("DeLong p (secondary)", "{delong_p}"),
}
COSTS = (
    Column("Model", "{model}"),
    Column("Mode", "{mode}"),
    Column("Runs", "{runs}"),
    Column("Trainable parameters", "{trainable}"),
    Column("Job seconds, all runs", "{seconds}"),
    Column("Training seconds, all runs", "{training_seconds}"),
    Column("Images per second", "{images_per_second}"),
    Column("Peak host memory (MiB)", "{host_mib}"),
    Column("Peak device memory (MiB)", "{device_mib}"),
)


@dataclass(frozen=True)
class Figure:
    """A figure as the page holds it."""

    identity: str
    title: str
    caption: str
    address: str
    """A data URI."""
    files: Sequence[str]


@dataclass(frozen=True)
class PageInput:
    """What a page is made of."""

    study: Study
    tables: Sequence[Path]
    """CSVs of the tables and their companions; each has a Markdown file beside it, whose first line is the caption."""
    figures: Sequence[Path]
    """SVG files; each has a PNG and a PDF beside it."""
    results: Mapping[str, Path]
    """Other CSVs by name: intervals, comparisons, claims, gaps, external_gaps, costs and whatever else is to be linked."""
    captions: Path
    """Folder with a caption NAME.rst for each figure."""
    commit: str = ""

    @property
    def name(self) -> str:
        """Return the name of the study."""
        return self.study.name

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes of the study."""
        return self.study.notes

    @property
    def names(self) -> Mapping[str, str]:
        """Return the name in print of each model."""
        return self.study.labels

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Return the resolved configuration as :mod:`histobench.report.page.protocol` reads it."""
        content = asdict(self.study)
        del content["notes"], content["arms"]
        content["models"] = {
            name: {"label": self.names[name], "settings": settings} for name, settings in content["models"].items()
        }
        return {"study": content.pop("name"), **content}


def build(study: PageInput, output: Path) -> str:
    """Return the page that is to stand at `output`.

    Raises:
        HistoBenchError: a file is missing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(output).parent
    sources = {name: Source.read(path, folder) for name, path in study.results.items()}
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["mark"] = lambda value: isinstance(value, Mark)
    environment.tests["tally"] = lambda value: isinstance(value, Tally)
    environment.globals["head"] = head
    tables = _tables(study, folder)
    return environment.get_template("template.html").render(
        study=study,
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "script.js").read_text(encoding="utf-8")),
        answer=_answer(study, sources),
        claims=_claims(sources.get("claims"), study.names),
        tables=[one for one in tables if not one.identity.startswith("external")],
        intervals=_intervals(sources.get("intervals"), study.names),
        comparisons=_comparisons(sources.get("comparisons"), study.names),
        external=[one for one in tables if one.identity.startswith("external")],
        figures=[_figure(path, folder, study) for path in study.figures],
        protocol={
            "splits": protocol.splits(study.configuration),
            "augmentations": protocol.augmentations(study.configuration),
            "recipes": protocol.recipes(study.configuration),
            "decisions": protocol.decisions(study.configuration),
        },
        configuration=json.dumps(study.configuration, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        provenance=_provenance(study, sources.get("costs")),
        gaps=_gaps(sources, study.names),
        files=_files(study, folder),
    )


def _answer(study: PageInput, sources: Mapping[str, Source]) -> dict[str, Any] | None:
    if "intervals" not in sources:
        return None
    tables = study.configuration["tables"]
    places = dict.fromkeys((row["dataset"], row["split"]) for row in sources["intervals"].rows)
    if not places:
        return None
    wanted = (tables["dataset"], tables["split"])
    dataset, split = wanted if wanted in places else next(iter(places))
    found = [
        answer.winner(setting, sources["intervals"], sources.get("comparisons"), dataset, split, study.names)
        for setting in answer.settings(sources["intervals"], dataset, split)
    ]
    if not found:
        return None
    headline = (str(study.configuration["comparisons"]["magnification"]), tables["without_augmentation"])
    first = [one for one in found if (one.setting.magnification, one.setting.augmentation) == headline]
    return {
        "dataset": dataset,
        "split": split,
        "lead": (first or found)[0],
        "rivals": any(one.second for one in found),
        "firsts": answer.firsts(found),
        "table": answer.table(found, sources["comparisons" if "comparisons" in sources else "intervals"].link),
        "plain": [name for name, transforms in study.configuration["augmentations"].items() if not transforms],
    }


def _claims(claims: Source | None, names: Mapping[str, str]) -> dict[str, Any] | None:
    if claims is None or not claims.rows:
        return None
    shows = [
        Column("Section", "{section}"),
        Column("Claim", "{sentence}", "text"),
        Column("The paper's own numbers", "{published_verdict}", "verdict", ["{published_evidence}"]),
        Column("This study", "{study_verdict}", "verdict", ["effect {effect} [{low}, {high}];", "{study_evidence}"]),
    ]
    ledger = view(claims, "The claims, one by one", "", names, shows)
    verdicts = {
        column: list(dict.fromkeys(row[column] for row in claims.rows if row[column]))
        for column in ("published_verdict", "study_verdict")
    }
    return {
        "tallies": answer.tallies(claims),
        "telling": answer.telling(claims, names),
        "ledger": ledger,
        "verdicts": verdicts,
        "of": [(claims.rows[row.index]["published_verdict"], claims.rows[row.index]["study_verdict"])
               for row in ledger.rows if row.index is not None],
        "link": claims.link,
    }  # fmt: skip


def _tables(study: PageInput, folder: Path) -> list[View]:
    """Return the tables in the order of their numbers, each with its companion."""
    found = {path.stem: path for path in study.tables}
    views = []
    for stem in sorted((stem for stem in found if not stem.endswith((BESIDE, INTERVALS))), key=_order):
        source = Source.read(found[stem], folder)
        title, caption = _heading(found[stem])
        shown = view(source, title, caption, study.names, fold=FOLD)
        shown.identity = stem
        shown.best = _best(source, caption)
        for suffix, make in ((BESIDE, beside), (INTERVALS, view)):
            if f"{stem}{suffix}" in found:
                companion = Source.read(found[f"{stem}{suffix}"], folder)
                below = make(companion, *_heading(companion.path), study.names)
                below.identity = companion.path.stem
                shown.companions = [*shown.companions, below]
        views.append(shown)
    return views


def _order(stem: str) -> tuple[bool, list[tuple[int, str]]]:
    """Numbered tables first, by number; the others as they are called."""
    parts = [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", stem)]
    return not stem.startswith("table"), parts


def _heading(path: Path) -> tuple[str, str]:
    """Return the title and caption that the table's Markdown begins with."""
    markdown = path.with_suffix(".md")
    if not markdown.is_file():
        raise HistoBenchError(f"{markdown}: no such file; run the workflow again to make it")
    with markdown.open(encoding="utf-8") as file:
        found = re.fullmatch(r"\*\*(.+?)\.\*\* ?(.*)", file.readline().strip())
    return (found[1], found[2]) if found else (path.stem, "")


def _best(source: Source, caption: str) -> set[tuple[int, str]]:
    """Return what the caption says is bold: the best means at each magnification, or differences without 0."""
    best = set()
    if "bold where it excludes 0" in caption and "pooled_difference" in source.columns:
        for index, row in enumerate(source.rows):
            if row["low"] and row["high"] and (float(row["low"]) > 0 or float(row["high"]) < 0):
                best.add((index, "pooled_difference"))
    if "Bold:" not in caption:
        return best
    for column in (name for name in source.columns if name.endswith("_mean")):
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(source.rows):
            if row[column]:
                groups.setdefault(row.get("magnification", ""), []).append(index)
        for indices in groups.values():
            highest = max(float(source.rows[index][column]) for index in indices)
            if len(indices) > 1:
                best |= {(index, column) for index in indices if float(source.rows[index][column]) == highest}
    return best


def _intervals(source: Source | None, names: Mapping[str, str]) -> View | None:
    """Return a row per arm and a column per metric, at the last epoch."""
    if source is None:
        return None
    arms: dict[tuple[str, ...], dict[str, int]] = {}
    for index, row in enumerate(source.rows):
        if row["selection"] == "last":
            arms.setdefault(tuple(row[key] for key in ARM), {})[row["metric"]] = index
    if not arms:
        return None
    metrics = list(dict.fromkeys(metric for indices in arms.values() for metric in indices))
    keys = [key for place, key in enumerate(ARM) if place > 2 or len({arm[place] for arm in arms}) > 1]
    lines = []
    for indices in arms.values():
        first = next(iter(indices.values()))
        cells = [[mark(source, first, key, names)] for key in keys]
        cells += [
            fill("{estimate} [{low}, {high}]", source, indices[metric], names) if metric in indices else ["–"]
            for metric in metrics
        ]
        lines.append(Row(cells, None))
    kinds = ["number" if key == "magnification" else "name" for key in keys] + ["number"] * len(metrics)
    shared = [(head(key), mark(source, next(iter(arms[next(iter(arms))].values())), key, names, away=True))
              for key in ARM if key not in keys]  # fmt: skip
    caption = (
        "Pooled out-of-fold predictions of the last epoch: estimate and 95 % interval, patients resampled within class. "
        "Pooled values differ a little from means over folds; the CSV has the best epoch too."
    )
    return View(
        "intervals", "Intervals", caption, source.link, [*map(head, keys), *map(head, metrics)], kinds, lines, shared
    )


def _comparisons(source: Source | None, names: Mapping[str, str]) -> list[View]:
    if source is None:
        return []
    views = []
    keys = [Column(head(key), f"{{{key}}}") for key in ("dataset", "split", "augmentation", "magnification")]
    for metric, secondary in SECONDARY.items():
        rows = [index for index, row in enumerate(source.rows) if (row["metric"], row["selection"]) == (metric, "last")]
        if rows:
            caption = (
                f"{head(metric)}, first minus second, last epoch. Effect sizes and intervals come first: the pooled "
                "difference has the 95 % interval of the patient-clustered paired bootstrap. Holm's correction is over "
                "the declared pairs, on the sign-flip p. Below its floor no Wilcoxon p can be. The last column takes "
                "images for independent, which those of one patient are not: it is secondary."
            )
            columns = [*keys, *COMPARED, secondary]
            views.append(view(source, f"Pairs of arms: {head(metric)}", caption, names, columns, rows, FOLD))
    return views


def _figure(path: Path, folder: Path, study: PageInput) -> Figure:
    kind, file = "image/svg+xml", path
    caption = study.captions / f"{path.stem}.rst"
    for needed in (path, caption):
        if not needed.is_file():
            raise HistoBenchError(f"{needed}: no such file; run the workflow again to make it, or restore it with git")
    if path.stat().st_size >= SVG_BYTES:
        kind, file = "image/png", path.with_suffix(".png")
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    link = Path(os.path.relpath(path, folder)).as_posix().removesuffix(".svg")
    text = " ".join(caption.read_text(encoding="utf-8").split())
    return Figure(
        path.stem,
        re.sub(r"^figure(\d+)$", r"Figure \1", path.stem).replace("-", " ").capitalize(),
        text.replace("*", "").replace("``", ""),
        f"data:{kind};base64,{content}",
        [f"{link}{suffix}" for suffix in (".pdf", ".svg", ".png")],
    )


def _provenance(study: PageInput, costs: Source | None) -> dict[str, Any]:
    versions = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:
            continue
    found: dict[str, Any] = {"commit": study.commit, "versions": versions, "costs": None, "machines": [], "total": None}
    if costs is not None and costs.rows:
        total = sum(float(row["seconds"]) for row in costs.rows)
        keys = [Column(head(key), f"{{{key}}}") for key in ("dataset", "split", "augmentation", "magnification")]
        found["costs"] = view(
            costs,
            "Time and cost per arm",
            "Wall-clock seconds of the runs' jobs, summed over folds, the training in them, mean training speed and the "
            "highest memory of any run.",
            study.names,
            [*keys, *COSTS],
            fold=FOLD,
        )
        found["total"] = Tally(number(f"{total:.1f}") or "", costs.link, "seconds", None)
        for column in ("device", "precision", "versions"):
            seen: dict[str, Mark] = {}
            for index in range(len(costs.rows)):
                cell = mark(costs, index, column, study.names, away=True)
                seen.setdefault(cell.value, cell)
            found["machines"].append((head(column), list(seen.values())))
    return found


def _gaps(sources: Mapping[str, Source], names: Mapping[str, str]) -> list[View]:
    views = []
    titles = {"gaps": "What could not be used", "external_gaps": "What could not be used of the external test"}
    for name, title in titles.items():
        if name in sources and sources[name].rows:
            source = sources[name]
            columns = [Column(column.head, column.template, "text") for column in columns_of(source)]
            views.append(view(source, title, "", names, columns))
    return views


def _files(study: PageInput, folder: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return groups of links: what is shown, and the address as seen from the page."""

    def link(path: Path) -> tuple[str, str]:
        address = Path(os.path.relpath(path, folder)).as_posix()
        return address.removeprefix("../../"), address

    groups = [
        ("Results", [link(path) for path in study.results.values()]),
        ("Tables", [link(path) for path in sorted(study.tables, key=lambda path: _order(path.stem))]),
        ("Figures", [link(path.with_suffix(".pdf")) for path in study.figures]),
    ]
    return [(title, links) for title, links in groups if links]
