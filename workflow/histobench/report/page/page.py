"""The report page: CSVs, captions and figures in, one HTML file out."""

import base64
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.report.page import answer, protocol, table_views
from histobench.report.page.cells import Column, RowCount, Source, Value, number, plain, view
from histobench.report.page.class_answer import class_answer
from histobench.report.page.templates import environment
from histobench.report.terms import remarks, resampled
from histobench.study.outputs import papers, title
from histobench.study.resolved import Study

SVG_BYTES = 300_000
"""Size above which an SVG figure, for example with photographs, is shown as its PNG."""
PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib", "jinja2", "snakemake")
TITLES = {
    "roc": "ROC curves",
    "precision-recall": "Precision-recall curves",
    "confusion": "Confusion matrices",
    "patients": "Errors by patient",
    "bach": "External test",
    "stress": "Accuracy on altered images",
    "few-shot": "Accuracy by the number of patients that train",
    "error-pictures": "Most confident errors",
}
"""Titles of the figures whose name does not already read as one."""
COSTS = (
    *plain(*table_views.SETTING, "model", "mode", "runs"),
    Column("Trainable parameters", "{trainable}"),
    Column("Job seconds, all runs", "{seconds}"),
    Column("Training seconds, all runs", "{training_seconds}"),
    Column("Seconds of embeddings or visual tokens", "{feature_seconds}"),
    *plain("images_per_second"),
    Column("Peak host memory (MiB)", "{host_mib}"),
    Column("Peak device memory (MiB)", "{device_mib}"),
)
CLAIMS = (
    *plain("section"),
    Column("Claim", "{sentence}", "text", ["({wording})"]),
    Column("The paper's own numbers", "{published_verdict}", "verdict", ["{published_evidence}"]),
    Column("This study", "{study_verdict}", "verdict", ["effect {effect} [{low}, {high}];", "{study_evidence}"]),
)


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
    from markupsafe import Markup

    folder, study = Path(output).parent, content.study
    sources = {name: Source.read(path, folder, study.labels) for name, path in content.results.items()}
    here = Path(__file__).parent
    templates = environment(here)
    templates.tests["value"] = lambda value: isinstance(value, Value)
    templates.tests["row_count"] = lambda value: isinstance(value, RowCount)
    tables = table_views.tables(content.tables, folder, study.labels)
    return templates.get_template("template.html").render(
        study=study,
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "script.js").read_text(encoding="utf-8")),
        answer=_answer(study, sources.get("intervals"), sources.get("comparisons")),
        class_answer=class_answer(sources.get("class_scores"), study),
        claims=_claims(sources.get("claims")),
        tables=[one for one in tables if not one.identity.startswith(("external", "folds", "stress", "errors"))],
        errors=[one for one in tables if one.identity == "errors"],
        folds=[one for one in tables if one.identity == "folds"],
        also_train=[
            table_views.also_train(Source.read(path, folder, {})) for path in content.tables if path.stem == "folds"
        ],
        intervals=table_views.intervals(sources["intervals"], study) if "intervals" in sources else None,
        comparisons=table_views.comparisons(sources["comparisons"]) if "comparisons" in sources else [],
        external=[one for one in tables if one.identity.startswith("external")],
        stress=[replace(one, identity="stress-drops") for one in tables if one.identity == "stress"],
        figures=[_figure(path, folder, content) for path in content.figures],
        protocol=protocol.describe(study),
        configuration=json.dumps(asdict(study), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        provenance=_provenance(content.commit, sources.get("costs")),
        gaps=table_views.gaps(sources),
        files=_files(content, folder),
    )


def _answer(study: Study, intervals: Source | None, comparisons: Source | None) -> dict[str, Any] | None:
    places = dict.fromkeys((row["dataset"], row["split"]) for row in intervals.rows) if intervals else {}
    if not intervals or not places:
        return None
    wanted = (study.dataset, study.split)
    dataset, split = wanted if wanted in places else next(iter(places))
    found = answer.winners(intervals, comparisons, dataset, split)
    if not found:
        return None
    headline = (str(study.comparisons["magnification"]), study.augmentation)
    first = [one for one in found if (one.magnification.value, one.augmentation) == headline]
    lead = (first or found)[0]
    shown = {"dataset": dataset, "split": split, "selection": "last", "augmentation": lead.augmentation}
    shown |= {"magnification": lead.magnification.value}
    rows = [row for row in intervals.rows if shown.items() <= row.items()]
    return {
        "dataset": dataset,
        "split": split,
        "lead": lead,
        "rivals": any(one.second for one in found),
        "firsts": answer.firsts(found),
        "table": answer.table(found, (comparisons or intervals).link, resampled(rows, study), study.unit(split)),
        "remarks": [
            *remarks(rows, study.labels),
            *answer.guesses([row for row in rows if row["metric"] == "auc"], intervals.names),
        ],
        "plain": [name for name, transforms in study.augmentations.items() if not transforms],
    }


def _claims(claims: Source | None) -> dict[str, Any] | None:
    if claims is None or not claims.rows:
        return None
    columns = ("published_verdict", "study_verdict")
    return {
        "tallies": answer.tallies(claims),
        "definitions": [(title, definitions) for title, _, definitions in answer.TALLIES],
        "notable": answer.notable(claims),
        "ledger": replace(view(claims, "All claims", "", CLAIMS), cards=True),
        "verdicts": {column: list(dict.fromkeys(row[column] for row in claims.rows)) for column in columns},
        "of": [[row[column] for column in columns] for row in claims.rows],
        "link": claims.link,
    }


def _figure(path: Path, folder: Path, content: PageInput) -> dict[str, Any]:
    """Return what the template needs of a figure; its address is a data URI of the image."""
    kind, file = "image/svg+xml", path
    caption = content.captions / f"{papers(path.stem)}.rst"
    for needed in (path, caption):
        if not needed.is_file():
            raise HistoBenchError(f"{needed}: no such file; run the workflow again to make it, or restore it with git")
    if path.stat().st_size >= SVG_BYTES:
        kind, file = "image/png", path.with_suffix(".png")
    width = re.search(r'<svg[^>]* width="([\d.]+)pt"', path.read_text(encoding="utf-8"))
    link = Path(os.path.relpath(path, folder)).as_posix().removesuffix(".svg")
    text = " ".join(caption.read_text(encoding="utf-8").split())
    if not content.study.paper:  # without the sentences that compare with the paper
        text = " ".join(sentence for sentence in re.split(r"(?<=\.) ", text) if "published" not in sentence)
    return {
        "identity": path.stem,
        "narrow": bool(width) and float(width[1]) < 300,  # drawn for one column of a journal
        "title": TITLES.get(path.stem, title(content.study, papers(path.stem))),
        "caption": text.replace("*", "").replace("``", ""),
        "address": f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}",
        "files": [f"{link}{suffix}" for suffix in (".pdf", ".svg", ".png")],
    }


def _provenance(commit: str, costs: Source | None) -> dict[str, Any]:
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    found: dict[str, Any] = {"commit": commit, "versions": versions, "costs": None, "machines": {}, "total": None}
    if costs and costs.rows:
        found["costs"] = view(
            costs,
            "Time and cost per arm",
            "Wall-clock seconds of jobs and of the training in them, both summed over folds; of the jobs that computed "
            "embeddings or visual tokens for all folds; mean speed of training; highest memory of any run.",
            COSTS,
            fold=table_views.FOLD,
        )
        total = sum(float(row["seconds"]) for row in costs.rows)
        found["total"] = RowCount(number(f"{total:.1f}") or "", costs.link, "seconds", None)
        titles = {"device": "Device", "precision": "Precision", "versions": "Software of the runs"}
        for column, title in titles.items():
            first: dict[str, int] = {}
            for index, row in enumerate(costs.rows):
                first.setdefault(row[column], index)
            found["machines"][title] = [costs.value(index, column, away=True) for index in first.values()]
    return found


def _files(content: PageInput, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Return groups of links: text, and address as seen from the page."""

    def link(path: Path) -> tuple[str, str]:
        address = Path(os.path.relpath(path, folder)).as_posix()
        return address.removeprefix("../../"), address

    groups = {
        "Results": [link(path) for path in content.results.values()],
        "Tables": [link(path) for path in sorted(content.tables, key=lambda path: table_views.order(path.stem))],
        "Figures": [link(path.with_suffix(".pdf")) for path in content.figures],
    }
    return {title: links for title, links in groups.items() if links}
