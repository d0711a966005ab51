"""The report page: CSVs, captions and figures in, one HTML file out."""

import base64
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.report.page import answer, protocol, table_views
from histobench.report.page.cells import Column, RowCount, Source, Value, number, value_of, view
from histobench.report.terms import head
from histobench.study.resolved import Study

SVG_BYTES = 300_000
"""Size above which an SVG figure, for example with photographs, is shown as its PNG."""
PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib", "jinja2", "snakemake")
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
    """A figure on the page."""

    identity: str
    title: str
    caption: str
    address: str
    """Data URI of the image."""
    files: Sequence[str]


@dataclass(frozen=True)
class PageInput:
    """What a page is built from."""

    study: Study
    tables: Sequence[Path]
    """CSVs of the tables and their companions; the first line of the Markdown file beside each is its caption."""
    figures: Sequence[Path]
    """SVG files; each has a PNG and a PDF beside it."""
    results: Mapping[str, Path]
    """Other CSVs by name: intervals, comparisons, claims, gaps, external_gaps, costs, and others that are only linked."""
    captions: Path
    """Folder with a caption NAME.rst for each figure."""
    commit: str = ""
    """Commit of the code; empty where it is not known."""


def build(content: PageInput, output: Path) -> str:
    """Return the HTML of the page; its links are relative to the folder of `output`.

    Raises:
        HistoBenchError: a file is missing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(output).parent
    sources = {name: Source.read(path, folder) for name, path in content.results.items()}
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["value"] = lambda value: isinstance(value, Value)
    environment.tests["row_count"] = lambda value: isinstance(value, RowCount)
    environment.globals["head"] = head
    tables = table_views.tables(content.tables, folder, content.study.labels)
    return environment.get_template("template.html").render(
        study=content.study,
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "script.js").read_text(encoding="utf-8")),
        answer=_answer(content, sources),
        claims=_claims(sources.get("claims"), content.study.labels),
        tables=[one for one in tables if not one.identity.startswith("external")],
        intervals=table_views.intervals(sources.get("intervals"), content.study.labels),
        comparisons=table_views.comparisons(sources.get("comparisons"), content.study.labels),
        external=[one for one in tables if one.identity.startswith("external")],
        figures=[_figure(path, folder, content) for path in content.figures],
        protocol={
            "splits": protocol.splits(content.study),
            "augmentations": protocol.augmentations(content.study),
            "recipes": protocol.recipes(content.study),
            "decisions": protocol.decisions(content.study),
        },
        configuration=json.dumps(asdict(content.study), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        provenance=_provenance(content, sources.get("costs")),
        gaps=table_views.gaps(sources, content.study.labels),
        files=_files(content, folder),
    )


def _answer(content: PageInput, sources: Mapping[str, Source]) -> dict[str, Any] | None:
    if "intervals" not in sources:
        return None
    places = dict.fromkeys((row["dataset"], row["split"]) for row in sources["intervals"].rows)
    if not places:
        return None
    wanted = (content.study.dataset, content.study.split)
    dataset, split = wanted if wanted in places else next(iter(places))
    intervals, comparisons = sources["intervals"], sources.get("comparisons")
    found = [
        answer.winner(setting, intervals, comparisons, dataset, split, content.study.labels)
        for setting in answer.settings(intervals, dataset, split)
    ]
    if not found:
        return None
    headline = (str(content.study.comparisons["magnification"]), content.study.augmentation)
    first = [one for one in found if (one.setting.magnification, one.setting.augmentation) == headline]
    return {
        "dataset": dataset,
        "split": split,
        "lead": (first or found)[0],
        "rivals": any(one.second for one in found),
        "firsts": answer.firsts(found),
        "table": answer.table(found, (comparisons or intervals).link),
        "plain": [name for name, transforms in content.study.augmentations.items() if not transforms],
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
    columns = ("published_verdict", "study_verdict")
    return {
        "tallies": answer.tallies(claims),
        "notable": answer.notable(claims, names),
        "ledger": replace(view(claims, "All claims", "", names, shows), cards=True),
        "verdicts": {column: list(dict.fromkeys(row[column] for row in claims.rows)) for column in columns},
        "of": [[row[column] for column in columns] for row in claims.rows],
        "link": claims.link,
    }


def _figure(path: Path, folder: Path, content: PageInput) -> Figure:
    kind, file = "image/svg+xml", path
    caption = content.captions / f"{path.stem}.rst"
    for needed in (path, caption):
        if not needed.is_file():
            raise HistoBenchError(f"{needed}: no such file; run the workflow again to make it, or restore it with git")
    if path.stat().st_size >= SVG_BYTES:
        kind, file = "image/png", path.with_suffix(".png")
    encoded = base64.b64encode(file.read_bytes()).decode("ascii")
    link = Path(os.path.relpath(path, folder)).as_posix().removesuffix(".svg")
    text = " ".join(caption.read_text(encoding="utf-8").split())
    return Figure(
        path.stem,
        re.sub(r"^figure(\d+)$", r"Figure \1", path.stem).replace("-", " ").capitalize(),
        text.replace("*", "").replace("``", ""),
        f"data:{kind};base64,{encoded}",
        [f"{link}{suffix}" for suffix in (".pdf", ".svg", ".png")],
    )


def _provenance(content: PageInput, costs: Source | None) -> dict[str, Any]:
    versions = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:
            continue
    found: dict[str, Any] = {
        "commit": content.commit,
        "versions": versions,
        "costs": None,
        "machines": [],
        "total": None,
    }
    if costs is not None and costs.rows:
        total = sum(float(row["seconds"]) for row in costs.rows)
        keys = [Column(head(key), f"{{{key}}}") for key in ("dataset", "split", "augmentation", "magnification")]
        found["costs"] = view(
            costs,
            "Time and cost per arm",
            "Wall-clock seconds of jobs and of the training in them, both summed over folds; mean speed of training; "
            "highest memory of any run.",
            content.study.labels,
            [*keys, *COSTS],
            fold=table_views.FOLD,
        )
        found["total"] = RowCount(number(f"{total:.1f}") or "", costs.link, "seconds", None)
        for column in ("device", "precision", "versions"):
            seen: dict[str, Value] = {}
            for index in range(len(costs.rows)):
                cell = value_of(costs, index, column, content.study.labels, away=True)
                seen.setdefault(cell.value, cell)
            found["machines"].append((head(column), list(seen.values())))
    return found


def _files(content: PageInput, folder: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return groups of links: text, and address as seen from the page."""

    def link(path: Path) -> tuple[str, str]:
        address = Path(os.path.relpath(path, folder)).as_posix()
        return address.removeprefix("../../"), address

    groups = [
        ("Results", [link(path) for path in content.results.values()]),
        ("Tables", [link(path) for path in sorted(content.tables, key=lambda path: table_views.order(path.stem))]),
        ("Figures", [link(path.with_suffix(".pdf")) for path in content.figures]),
    ]
    return [(title, links) for title, links in groups if links]
