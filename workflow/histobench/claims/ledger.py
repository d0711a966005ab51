"""The ledger of claims: read from YAML, compared with the published tables and with a study."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histobench.claims.checks import IN_STUDY, ON_PAPER
from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Unavailable
from histobench.claims.verdicts import NOT_CHECKABLE, NOT_RUN, Verdict
from histobench.io.errors import HistoBenchError

TEXTS = ("id", "section", "sentence", "predicate")
PUBLISHED_COLUMNS = (*TEXTS, "published_verdict", "published_evidence")
COLUMNS = (*PUBLISHED_COLUMNS, "study_verdict", "effect", "low", "high", "study_evidence")


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, reduced to a function of its numbers."""

    id: str
    section: str
    sentence: str
    """A short paraphrase or quotation."""
    predicate: str
    """The kind of claim: a key of :data:`histobench.claims.checks.ON_PAPER`."""
    arguments: Mapping[str, Any]


def load(path: Path) -> list[Claim]:
    """Read a ledger: a mapping with a list `claims`; `lists` beside it may hold anything that claims refer to.

    Raises:
        HistoBenchError: the file is not a ledger, or a claim lacks a key, has one too many, repeats an id, names no known
            predicate or gives it wrong arguments.
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
        fault = _fault(entry, claims)
        if fault:
            name = entry.get("id", number) if isinstance(entry, dict) else number
            raise HistoBenchError(f"{path}, claim {name}: {fault}")
        claims[entry["id"]] = Claim(**{"arguments": {}} | entry)
    return list(claims.values())


def _fault(entry: Any, known: Mapping[str, Claim]) -> str | None:
    """Return what is wrong with one entry, and what to do, or None."""
    keys = (*TEXTS, "arguments")
    if not isinstance(entry, dict) or set(entry) - set(keys):
        return f"expected the keys {', '.join(keys)}, found {entry!r}; write it as a mapping with these keys"
    for key in TEXTS:
        if not isinstance(entry.get(key), str) or not entry[key]:
            return f"{key} is {entry.get(key)!r}, expected a text; write one, in quotes where it looks like a number"
    if entry["id"] in known:
        return "the id occurs a second time; give each claim its own"
    if entry["predicate"] not in ON_PAPER:
        return f"there is no predicate {entry['predicate']!r}; choose one of {', '.join(sorted(ON_PAPER))}"
    arguments = entry.get("arguments", {})
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
        HistoBenchError: an argument of a claim has a wrong value.
    """
    rows = []
    for claim in claims:
        found = _called(claim, ON_PAPER[claim.predicate], paper, NOT_CHECKABLE)
        texts = {key: getattr(claim, key) for key in TEXTS}
        rows.append(texts | {"published_verdict": found.verdict, "published_evidence": found.evidence})
    return rows


def on_study(claims: Sequence[Claim], published: Sequence[Mapping[str, str]], results: Results) -> list[dict[str, object]]:
    """Return the rows of the whole ledger, :data:`COLUMNS`; what there is no number for is None.

    Args:
        claims: the ledger.
        published: rows of :func:`on_paper` as read back.
        results: those of the study.

    Raises:
        HistoBenchError: `published` lacks a claim, or an argument of a claim has a wrong value.
    """
    verdicts = {row["id"]: row for row in published}
    rows = []
    for claim in claims:
        if claim.id not in verdicts:
            raise HistoBenchError(
                f"claim {claim.id}: has no verdict on the published tables; run `snakemake claims_published` again"
            )
        found = _called(claim, IN_STUDY.get(claim.predicate, _no_study), results, NOT_RUN)
        numbers = {name: getattr(found.estimate, name, None) for name in ("effect", "low", "high")}
        rows.append(
            {key: verdicts[claim.id][key] for key in PUBLISHED_COLUMNS}
            | {"study_verdict": found.verdict, "study_evidence": found.evidence}
            | {name: None if value != value else value for name, value in numbers.items()}
        )
    return rows


def _no_study(results: Results, **arguments: Any) -> Verdict:
    raise Unavailable("about the paper's own numbers: no study can test it")


def _called(claim: Claim, check: Callable[..., Verdict], source: Paper | Results, otherwise: str) -> Verdict:
    """Return a check's verdict, or `otherwise` where something is unavailable; its evidence begins with a capital."""
    try:
        found = check(source, **claim.arguments)
    except Unavailable as error:
        found = Verdict(otherwise, f"{error}.")
    except (ValueError, TypeError, AttributeError) as error:
        raise HistoBenchError(
            f"claim {claim.id}: arguments of predicate {claim.predicate}: {error}; correct them in the ledger"
        ) from error
    text = found.evidence
    if text.partition(" ")[0].isalpha():  # not the name of a file or key
        text = text[:1].upper() + text[1:]
    return Verdict(found.verdict, text, found.estimate)
