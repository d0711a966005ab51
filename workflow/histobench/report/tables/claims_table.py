"""The ledger of claims as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence

from histobench.claims.ledger import COLUMNS, PUBLISHED_COLUMNS
from histobench.claims.verdicts import ON_PAPER, ON_STUDY
from histobench.report.render import Bold, Table
from histobench.report.terms import minus, signed
from histobench.study.resolved import Study

Rows = Sequence[Mapping[str, object]]
GOOD = ("holds", "supported", "not checkable", "not run", "not applicable", "undecided")


def published_table(rows: Rows) -> Table:
    """Return the claims as the published tables leave them, as rows of :func:`histobench.claims.ledger.on_paper`."""
    return Table(
        title="Claims of the paper on its own tables",
        caption=f"{_counted(rows, 'published_verdict')} Evidence is recomputed from the published tables alone. {_defined(ON_PAPER)}",
        columns=PUBLISHED_COLUMNS,
        rows=rows,
        header=("Claim", "Section", "Sentence", "Verdict", "Evidence"),
        cells=[_published(row) for row in rows],
    )


def study_table(rows: Rows, study: Study) -> Table:
    """Return the claims on the published tables and on a study, as rows of :func:`histobench.claims.ledger.on_study`."""
    return Table(
        title="Claims of the paper",
        caption=study.caption(
            f"On the published tables: {_counted(rows, 'published_verdict')}",
            f"On this study: {_counted(rows, 'study_verdict')}",
            _defined(ON_STUDY),
        ),
        columns=COLUMNS,
        rows=rows,
        header=("Claim", "Section", "Sentence", "Published tables", "Evidence", "This study", "Effect [95 %]", "Shown"),
        cells=[
            (*_published(row), _verdict(row["study_verdict"]), _interval(row), str(row["study_evidence"]))
            for row in rows
        ],
    )


def _published(row: Mapping[str, object]) -> tuple[str, ...]:
    text = f"“{row['sentence']}”" if row["wording"] == "quotation" else f"{row['sentence']} (paraphrased)"
    return str(row["id"]), str(row["section"]), text, _verdict(row["published_verdict"]), str(row["published_evidence"])


def _verdict(verdict: object) -> str:
    return str(verdict) if verdict in GOOD else Bold(verdict)


def _interval(row: Mapping[str, object]) -> str:
    """Return `effect [low, high]`, without what a claim does not have."""
    known = [minus(signed(value)) for name in ("effect", "low", "high") if isinstance(value := row[name], float)]
    return f"{known[0]} [{known[1]}, {known[2]}]" if len(known) == 3 else "".join(known[:1])


def _defined(definitions: Mapping[str, str]) -> str:
    """Return the meaning of verdicts as one sentence."""
    text = "; ".join(f"{verdict}: {meaning}" for verdict, meaning in definitions.items())
    return f"{text[:1].upper()}{text[1:]}."


def _counted(rows: Rows, column: str) -> str:
    """Return for example `71 claims: 39 holds, 22 contradicted.`"""
    counts = Counter(str(row[column]) for row in rows).most_common()
    return f"{len(rows)} claims: {', '.join(f'{count} {verdict}' for verdict, count in counts)}."
