"""The ledger of claims: read from YAML, held against the published tables and against a study."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histobench.claims.evidence import Estimate, NotPublished, NotRun, Paper, Study
from histobench.claims.predicates import NOT_CHECKABLE, NOT_RUN, ON_PAPER, ON_STUDY, Published, Reproduced
from histobench.io.errors import HistoBenchError

PUBLISHED_COLUMNS = ("id", "section", "sentence", "predicate", "published_verdict", "published_evidence")
COLUMNS = (*PUBLISHED_COLUMNS, "study_verdict", "effect", "low", "high", "study_evidence")
KEYS = ("id", "section", "sentence", "predicate", "arguments")

ABOUT_THE_PAPER = "about the paper's own numbers: no study can test it."


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, reduced to a predicate."""

    id: str
    section: str
    sentence: str
    """A short paraphrase or quotation."""
    predicate: str
    """Name of a function of :mod:`histobench.claims.predicates`."""
    arguments: Mapping[str, Any]


def load(path: Path) -> list[Claim]:
    """Read a ledger: a mapping with a list `claims`; `lists` beside it may hold anything that claims refer to.

    Raises:
        HistoBenchError: the file is no such ledger, or a claim lacks a key, has one too many, repeats an id, names no
            predicate or gives it arguments that it does not take.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HistoBenchError(f"{path}: no such file; restore it with `git checkout resources/paper`") from None
    except yaml.YAMLError as error:
        raise HistoBenchError(f"{path}: is not YAML ({' '.join(str(error).split())}); correct it there") from None
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list) or not content["claims"]:
        raise HistoBenchError(f"{path}: expected a key `claims` with a list of claims; write at least one")
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(content["claims"], start=1):
        where = f"{path}, claim {entry.get('id', number) if isinstance(entry, dict) else number}"
        fault = _fault(entry, claims)
        if fault:
            raise HistoBenchError(f"{where}: {fault}")
        claims[entry["id"]] = Claim(**{key: entry[key] for key in KEYS[:-1]}, arguments=entry.get("arguments") or {})
    return list(claims.values())


def _fault(entry: Any, known: Mapping[str, Claim]) -> str | None:
    """Return what is wrong with one entry, and what to do, or None."""
    if not isinstance(entry, dict):
        return f"expected the keys {', '.join(KEYS)}, found {entry!r}; write it as a mapping"
    for key in KEYS[:-1]:
        if not isinstance(entry.get(key), str) or not entry[key]:
            return f"{key} is {entry.get(key)!r}, expected a text; write one, in quotes where it looks like a number"
    extra = [key for key in entry if key not in KEYS]
    if extra:
        return f"unknown key {extra[0]!r}; the keys are {', '.join(KEYS)}"
    if entry["id"] in known:
        return "the id occurs a second time; give each claim its own"
    if entry["predicate"] not in ON_PAPER:
        return f"there is no predicate {entry['predicate']!r}; choose one of {', '.join(sorted(ON_PAPER))}"
    arguments = entry.get("arguments") or {}
    if not isinstance(arguments, dict):
        return f"arguments are {arguments!r}, expected names and values; write them as a mapping"
    try:
        inspect.signature(ON_PAPER[entry["predicate"]]).bind(None, **arguments)
    except TypeError as error:
        return f"arguments of predicate {entry['predicate']}: {error}; see its docstring"
    return None


def on_paper(claims: Sequence[Claim], paper: Paper) -> list[dict[str, object]]:
    """Return the rows of the ledger on the published tables alone, :data:`PUBLISHED_COLUMNS`.

    Raises:
        HistoBenchError: the arguments of a claim are of the wrong form.
    """
    rows = []
    for claim in claims:
        try:
            found = _called(claim, ON_PAPER[claim.predicate], paper)
        except NotPublished as error:
            found = Published(NOT_CHECKABLE, f"{error}.")
        rows.append(_row(claim) | {"published_verdict": found.verdict, "published_evidence": _sentence(found.evidence)})
    return rows


def on_study(claims: Sequence[Claim], published: Sequence[Mapping[str, str]], study: Study) -> list[dict[str, object]]:
    """Return the rows of the whole ledger, :data:`COLUMNS`.

    Args:
        claims: the ledger.
        published: rows of :func:`on_paper` as read back.
        study: its result files.

    Raises:
        HistoBenchError: `published` has other claims, or the arguments of a claim are of the wrong form.
    """
    verdicts = {row["id"]: row for row in published}
    rows = []
    for claim in claims:
        if claim.id not in verdicts:
            raise HistoBenchError(
                f"claim {claim.id}: has no verdict on the published tables; run `snakemake claims_published` again"
            )
        try:
            found = _called(claim, ON_STUDY[claim.predicate], study) if claim.predicate in ON_STUDY else None
        except NotRun as error:
            found = Reproduced(NOT_RUN, f"{error}.")
        found = found or Reproduced(NOT_RUN, ABOUT_THE_PAPER)
        rows.append(
            _row(claim)
            | {key: verdicts[claim.id][key] for key in PUBLISHED_COLUMNS[4:]}
            | {"study_verdict": found.verdict, "study_evidence": _sentence(found.evidence)}
            | _numbers(found.estimate)
        )
    return rows


def _called(claim: Claim, function: Callable[..., Any], subject: Paper | Study) -> Any:
    try:
        return function(subject, **claim.arguments)
    except (ValueError, TypeError, AttributeError) as error:
        raise HistoBenchError(
            f"claim {claim.id}: arguments of predicate {claim.predicate}: {error}; correct them in the ledger"
        ) from error


def _row(claim: Claim) -> dict[str, object]:
    return {key: getattr(claim, key) for key in KEYS[:-1]}


def _numbers(estimate: Estimate | None) -> dict[str, object]:
    """Return effect and interval; what there is none of is None."""
    values = (None, None, None) if estimate is None else (estimate.effect, estimate.low, estimate.high)
    return {
        name: None if value is None or value != value else value
        for name, value in zip(("effect", "low", "high"), values, strict=True)
    }


def _sentence(text: str) -> str:
    """Return `text` with a capital, unless its first word is the name of a file or key."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
