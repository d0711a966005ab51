"""The ledger of claims: read from YAML, compared with the published tables and with a study."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from histobench.claims.checks import CHECKS, Check
from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Unavailable
from histobench.claims.verdicts import NOT_APPLICABLE, NOT_CHECKABLE, NOT_RUN, Verdict
from histobench.io.errors import HistoBenchError

TEXTS = ("id", "section", "sentence", "wording", "predicate")
PUBLISHED_COLUMNS = (*TEXTS, "published_verdict", "published_evidence")
COLUMNS = (*PUBLISHED_COLUMNS, "study_verdict", "effect", "low", "high", "study_evidence")

OWN_NUMBERS = "No study can test it: it is about the paper's own numbers, or what these do not show."


class Claim(BaseModel, frozen=True, extra="forbid"):
    """A sentence of the paper, reduced to a function of its numbers."""

    id: str
    section: str
    quote: str = ""
    """Text of the paper, verbatim."""
    paraphrase: str = ""
    """A short one, where there is no quotation."""
    predicate: str
    """The kind of claim: a key of :data:`histobench.claims.checks.CHECKS`."""
    arguments: dict[str, Any] = {}

    @property
    def texts(self) -> dict[str, object]:
        """Return the columns of :data:`TEXTS`; `wording` is `quotation` or `paraphrase`."""
        wording = "quotation" if self.quote else "paraphrase"
        values = (self.id, self.section, self.quote or self.paraphrase, wording, self.predicate)
        return dict(zip(TEXTS, values, strict=True))

    @model_validator(mode="after")
    def check_wording(self) -> "Claim":
        """Refuse a claim that has no text, or two."""
        if bool(self.quote) == bool(self.paraphrase):
            raise ValueError("a claim has either a quote, verbatim, or a paraphrase")
        return self

    @model_validator(mode="after")
    def check_predicate(self) -> "Claim":
        """Refuse an unknown kind of claim, and arguments that it does not take."""
        if self.predicate not in CHECKS:
            raise ValueError(f"there is no predicate {self.predicate!r}, choose one of {', '.join(CHECKS)}")
        try:
            inspect.signature(CHECKS[self.predicate][0]).bind(None, **self.arguments)
        except TypeError as error:
            raise ValueError(f"arguments of predicate {self.predicate}: {error}") from None
        return self


class Ledger(BaseModel):
    """What a ledger file holds; `lists` beside `claims` may hold anything that claims refer to."""

    claims: list[Claim] = Field(min_length=1)


def load(path: Path) -> list[Claim]:
    """Return the claims of a ledger file.

    Raises:
        HistoBenchError: the file is not a ledger, or a claim lacks a key, has one too many, repeats an id, names no known
            predicate or gives it wrong arguments.
    """
    import yaml

    try:
        claims = Ledger.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8"))).claims
    except yaml.YAMLError as error:
        raise HistoBenchError(f"{path}: is not YAML ({' '.join(str(error).split())}); correct it there") from None
    except ValidationError as error:
        fault = error.errors()[0]
        place, found = ".".join(map(str, fault["loc"])), str(fault["input"])[:100]
        raise HistoBenchError(f"{path}: {place}: {fault['msg']}, found {found}; correct it there") from None
    repeated = [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]
    if repeated:
        raise HistoBenchError(f"{path}: the id {repeated[0]} occurs twice; give each claim its own")
    return claims


def on_paper(claims: Sequence[Claim], paper: Paper) -> list[dict[str, object]]:
    """Return the rows of the ledger on the published tables alone, :data:`PUBLISHED_COLUMNS`.

    Raises:
        HistoBenchError: an argument of a claim has a wrong value.
    """
    rows = []
    for claim in claims:
        found = _called(claim, CHECKS[claim.predicate][0], paper, NOT_CHECKABLE)
        rows.append(claim.texts | {"published_verdict": found.verdict, "published_evidence": found.evidence})
    return rows


def on_study(
    claims: Sequence[Claim], published: Sequence[Mapping[str, str]], results: Results
) -> list[dict[str, object]]:
    """Return the rows of the whole ledger, :data:`COLUMNS`; what there is no number for is None.

    Args:
        claims: the ledger.
        published: rows of :func:`on_paper` as read back.
        results: those of the study.

    Raises:
        HistoBenchError: an argument of a claim has a wrong value.
    """
    verdicts = {row["id"]: row for row in published}
    rows = []
    for claim in claims:
        check = CHECKS[claim.predicate][1]
        found = _called(claim, check, results, NOT_RUN) if check else Verdict(NOT_APPLICABLE, OWN_NUMBERS)
        numbers = {name: getattr(found.estimate, name, None) for name in ("effect", "low", "high")}
        rows.append(
            {key: verdicts[claim.id][key] for key in PUBLISHED_COLUMNS}
            | {"study_verdict": found.verdict, "study_evidence": found.evidence}
            | {name: None if value != value else value for name, value in numbers.items()}
        )
    return rows


def _called(claim: Claim, check: Check, source: Paper | Results, otherwise: str) -> Verdict:
    """Return a check's verdict, or `otherwise` where something is unavailable; its evidence begins with a capital."""
    try:
        found = check(source, **claim.arguments)
    except Unavailable as error:
        found = Verdict(otherwise, f"{error}.")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = f"its tables have no {error}" if isinstance(error, KeyError) else error
        raise HistoBenchError(
            f"claim {claim.id}: arguments of predicate {claim.predicate}: {reason}; correct them in the ledger"
        ) from error
    text = found.evidence
    if text.partition(" ")[0].isalpha():  # not the name of a file or key
        text = text[:1].upper() + text[1:]
    return Verdict(found.verdict, text, found.estimate)
