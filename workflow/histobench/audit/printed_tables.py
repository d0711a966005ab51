"""An audit of a printed table of scores or p-values: what it says of itself, without any data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from histobench.audit.exchanged_columns import exchanged_columns
from histobench.audit.findings import Cell, Section, Table
from histobench.audit.printed_p_values import TESTS, check_p_value
from histobench.audit.printed_scores import PrintedTable, p_value, read
from histobench.audit.row_checks import (
    CONVENTIONS,
    NOTE,
    Case,
    Finding,
    case_of,
    check_row,
    conventions,
    fold_deviation,
    implied,
)
from histobench.audit.table_options import TableOptions, load
from histobench.claims.verdicts import IMPLAUSIBLE, IMPOSSIBLE
from histobench.io.errors import HistoBenchError

RARE = 0.001
"""A deviation as small as printed is called implausible below this probability, divided by the number of rows."""


def sections(path: Path, options: Path | Mapping[str, Any] | TableOptions | None = None, **more: Any) -> list[Section]:
    """Return what a printed table says of itself: a section for its scores, and one for its p-values.

    Args:
        path: CSV of models, settings and scores; see :func:`histobench.audit.printed_scores.read`.
        options: a YAML file or mapping with the keys of :class:`histobench.audit.table_options.TableOptions`.
        more: the same keys, which replace those of `options` unless they are None.

    Raises:
        HistoBenchError: the table or the options cannot be read, or there is nothing in them to audit.
    """
    chosen = load(options, **more)
    table = read(path, chosen.columns)
    scored = [row for row in table.rows if row.scores]
    tested = any(row.p_values for row in table.rows) or bool(chosen.tests)
    if not scored and not tested:
        raise HistoBenchError(f"{path}: has no score and no p-value in its rows; fill in the cells")
    found = []
    if scored:
        found.append(_scores(table, chosen))
    if tested:
        found.append(_p_values(table, chosen))
    return found


def _scores(table: PrintedTable, options: TableOptions) -> Section:
    rows = [row for row in table.rows if row.scores]
    balances = _balances(options)
    cases = [case_of(row, options, balances) for row in rows]
    findings = [finding for case in cases for finding in check_row(case)]
    findings += [*exchanged_columns(cases), *_averaging(cases), *_deviations(cases, options)]
    sentences = _verdicts(findings, len(rows))
    sentences += [*_excess(cases), *_deviation_range(cases, options)]
    warnings = [*table.warnings, *_assumptions(cases, options)]
    return Section(
        title=f"Printed table {Path(table.path).name}",
        sentences=sentences,
        tables=[*_listed(findings, "printed-findings"), _details(cases)],
        data={
            "rows": len(rows),
            "findings": [asdict(finding) for finding in findings],
            "rows_impossible": len({finding.where for finding in findings if finding.verdict == IMPOSSIBLE}),
            "options": options.model_dump(mode="json", exclude_unset=True),
        },
        warnings=warnings,
    )


def _p_values(table: PrintedTable, options: TableOptions) -> Section:
    pairs = options.pairs or options.folds or len(options.fold_counts) or None
    items = [
        (f"{row.name}, {column}", printed, options.test, pairs)
        for row in table.rows
        for column, printed in row.p_values.items()
    ]
    for test in options.tests:
        try:
            printed = p_value(str(test.p))
        except ValueError:
            raise HistoBenchError(
                f"tests in the options: p of {test.name!r} is {test.p!r}, expected is a p-value such as '0.003' or '<0.001'; "
                "correct it there"
            ) from None
        items.append((test.name, printed, test.test or options.test, test.pairs or pairs))
    known = [(name, printed, test, count) for name, printed, test, count in items if test and count and count >= 2]
    findings = [finding for item in known if (finding := check_p_value(*item))]
    sentences = _verdicts(findings, len(items), "p-values", len(known))
    for test, count in dict.fromkeys((test, count) for *_, test, count in known):
        named = TESTS[test]
        smallest = float(named.exact(count)[0]) if named.exact else 2.0 ** (1 - count)
        sentences.append(
            f"On {count} {'values a side' if test == 'rank_sum' else 'pairs'} {named.words} gives at least {smallest:.4g} "
            f"two-sided and {smallest / 2:.4g} one-sided if it is exact, and at least {named.floor(count):.4f} in any version."
        )
    warnings = [] if any(row.scores for row in table.rows) else list(table.warnings)
    if len(known) < len(items):
        warnings.append(
            f"{len(items) - len(known)} of {len(items)} p-values are not checked: give `test` ({', '.join(TESTS)}) and `pairs`."
        )
    return Section(
        title=f"p-values of {Path(table.path).name}",
        sentences=sentences,
        tables=_listed(findings, "p-value-findings"),
        data={
            "p_values": len(items),
            "checked": len(known),
            "impossible": sum(finding.verdict == IMPOSSIBLE for finding in findings),
            "findings": [asdict(finding) for finding in findings],
        },
        warnings=warnings,
    )


def _verdicts(findings: Sequence[Finding], number: int, what: str = "rows", checked: int | None = None) -> list[str]:
    """Return the findings in sentences, what is certain first."""
    sentences = []
    impossible, implausible, notes = (
        [finding for finding in findings if finding.verdict == verdict] for verdict in (IMPOSSIBLE, IMPLAUSIBLE, NOTE)
    )
    if impossible:
        rows = len({finding.where for finding in impossible})
        sentences.append(f"{rows} of {number} {what} are impossible as printed: no data can give them.")
        sentences += _examples(impossible)
    if implausible:
        rows = {finding.where for finding in implausible} - {"table"}
        if rows:
            sentences.append(
                f"{len(rows)} of {number} {what} are implausible: data could give them, but very rarely, or not by the usual method."
            )
        sentences += _examples(implausible)
    sentences += _examples(notes)
    if checked == 0:
        return ["Nothing could be checked, since the options do not say which test was used on how many values."]
    if not impossible and not implausible:
        sentences.insert(
            0, f"No contradiction was found in {number} {what}, as far as the options let them be checked."
        )
    return sentences


def _examples(findings: Sequence[Finding]) -> list[str]:
    """Return a sentence for each kind of finding, with the first row that has it."""
    sentences = []
    for check, count in Counter(finding.check for finding in findings).items():
        first = next(finding for finding in findings if finding.check == check)
        text = first.text[:1].upper() + first.text[1:] if first.where == "table" else f"{first.where}: {first.text}"
        sentences.append(f"{text}{f'; {count - 1} more are like this' if count > 1 else ''}.")
    return sentences


def _averaging(cases: Sequence[Case]) -> list[Finding]:
    """Return which other ways of averaging would give every row that is impossible as scores of one class."""
    bad = [case for case in cases if any(finding.verdict == IMPOSSIBLE for finding in check_row(case))]
    if not bad or any(case.folds != 1 for case in bad):
        return []
    shared = set.intersection(*(set(conventions(case)) for case in bad))
    return [
        Finding("table", "averaging", NOTE, f"read as {CONVENTIONS[name]}, the impossible rows are possible")
        for name in CONVENTIONS
        if name in shared
    ]


def _excess(cases: Sequence[Case]) -> list[str]:
    """Return on which side of the implied accuracy the printed ones are, where there are several."""
    known = [(case, found) for case in cases if (found := implied(case))]
    if len(known) < 3:
        return []
    excess = [case.mean("accuracy").value - found.accuracy for case, found in known]
    above = sum(value > 0 for value in excess)
    side, number = ("exceeds", above) if 2 * above >= len(excess) else ("is below", len(excess) - above)
    alike = sum(abs(value) > found.alike for value, (_, found) in zip(excess, known, strict=True))
    text = (
        f"Accuracy {side} what precision, recall and class balance imply in {number} of {len(known)} rows (distances from "
        f"{min(excess):+.4f} to {max(excess):+.4f})"
    )
    if any(case.folds != 1 for case, _ in known):
        text += f", in {alike} by more than folds of equal balance allow"
    if any(case.balance for case, _ in known):
        unequal = sum(abs(value) > found.unequal for value, (_, found) in zip(excess, known, strict=True))
        text += f", in {unequal} by more than any of 10,000 random patient-level folds allow"
    return [f"{text.replace('-0.', '−0.')}."]


def _deviations(cases: Sequence[Case], options: TableOptions) -> list[Finding]:
    """Return deviations over folds that are too small for independent images, or below those of other studies."""
    from scipy.special import chdtr

    found = []
    known = [(case, pair) for case in cases if (pair := fold_deviation(case))]
    for case, (printed, independent) in known:
        freedom = (case.folds or 2) - 1
        probability = float(chdtr(freedom, freedom * (printed / independent) ** 2))
        if probability < RARE / len(known):
            text = (
                f"the deviation of accuracy over folds is at most {printed:.4f} where independent images give {independent:.4f}, "
                f"and smaller ones with probability {probability:.1e}"
            )
            found.append(Finding(case.row.name, "deviation", IMPLAUSIBLE, text))
    deviations = _accuracy_deviations(cases)
    if options.reference_deviations and deviations:
        lowest = min(map(Fraction, map(str, options.reference_deviations.values())))
        below = sum(deviation < lowest for deviation in deviations)
        studies = " and ".join(f"{value:g} ({name})" for name, value in options.reference_deviations.items())
        text = (
            f"{below} of {len(deviations)} deviations of accuracy ({float(min(deviations)):.3f} to {float(max(deviations)):.3f}) "
            f"are below those of other studies, {studies}"
        )
        if below:
            found.append(Finding("table", "deviations", IMPLAUSIBLE if below == len(deviations) else NOTE, text))
    return found


def _deviation_range(cases: Sequence[Case], options: TableOptions) -> list[str]:
    """Return how the deviations compare with those of independent images, and of images of one slide that are all alike."""
    ratios, alike = [], []
    for case in cases:
        if not fold_deviation(case) or not case.counts or not case.folds:
            continue
        score = case.row.scores["accuracy"]
        assert score.deviation
        accuracy = float(score.value)
        ratios.append(float(score.deviation.value) / (accuracy * (1 - accuracy) * case.folds / sum(case.counts)) ** 0.5)
        groups = options.groups or (81 if options.dataset == "breakhis" else None)
        if groups:
            alike.append((accuracy * (1 - accuracy) * case.folds / groups) ** 0.5)
    if not ratios:
        return []
    text = (
        f"The deviations of accuracy are {min(ratios):.2f} to {max(ratios):.2f} times (mean {sum(ratios) / len(ratios):.2f}) "
        "the binomial deviation of independent images"
    )
    if alike:
        text += (
            "; images of one slide are alike, so that folds of slides deviate more, up to "
            f"{min(alike):.3f} to {max(alike):.3f} if each slide is called right or wrong as a whole"
        )
    return [f"{text}."]


def _accuracy_deviations(cases: Sequence[Case]) -> list[Fraction]:
    scores = [case.row.scores["accuracy"] for case in cases if case.has("accuracy")]
    return [score.deviation.value for score in scores if score.deviation]


def _balances(options: TableOptions) -> dict[str, tuple[float, float]]:
    """Return how unequal folds of patients of BreakHis are, by magnification; empty for anything else."""
    folds = options.folds
    if options.dataset != "breakhis" or options.tested == "whole" or options.balance == "stratified" or not folds:
        return {}
    from histobench.claims.checks.consistency import fold_balance
    from histobench.claims.published import official_census

    if folds < 2 or folds > 20:
        return {}
    return dict(zip(("40", "100", "200", "400"), fold_balance(official_census(), folds), strict=True))


def _assumptions(cases: Sequence[Case], options: TableOptions) -> list[str]:
    found = []
    if options.folds is None and not options.fold_counts:
        if any(case.folds is None for case in cases):
            found.append(
                "Deviations are printed, but not over how many folds: give `folds`. Until then only bounds that hold for any "
                "number are checked."
            )
        elif all(case.folds == 1 for case in cases):
            found.append("The scores are read as those of one test set. If they are means over folds, give `folds`.")
    elif options.folds == 1 and any(score.deviation for case in cases for score in case.row.scores.values()):
        found.append("Deviations are ignored, since `folds` is 1.")
    if any(case.counts is None for case in cases):
        missing = sum(case.counts is None for case in cases)
        found.append(
            f"Class counts are not known for {missing} of {len(cases)} rows: give `positives` and `negatives`, `counts` or `dataset`."
        )
    if any(case.folds and case.folds > 1 and not case.known for case in cases):
        found.append(
            "The class balance of the folds is not known: with `fold_counts`, `balance: stratified` or `tested: whole` more "
            "can be excluded."
        )
    if options.average == "binary":
        found.append("Precision, recall and F1 are read as those of the positive class (`average` says otherwise).")
    return found


def _listed(findings: Sequence[Finding], name: str) -> list[Table]:
    if not findings:
        return []
    caption = (
        "What contradicts itself. Impossible: no data can give it. Implausible: data could, but very rarely or by another method "
        "than is named. Note: no contradiction by itself."
    )
    rows = [(finding.where, finding.check, finding.verdict, finding.text) for finding in findings]
    return [Table(name, caption, ("row", "check", "verdict", "evidence"), rows)]


def _details(cases: Sequence[Case]) -> Table:
    rows: list[list[Cell]] = []
    for case in cases:
        found, deviation = implied(case), fold_deviation(case)
        positives, negatives = case.counts or (None, None)
        accuracy = case.mean("accuracy").value if case.has("accuracy") else None
        rows.append(
            [case.row.name, positives, negatives, case.folds, accuracy]
            + ([found.accuracy, found.alike, found.unequal] if found else [None] * 3)
            + (list(deviation) if deviation else [None] * 2)
        )
    caption = (
        "Class counts, printed accuracy and the accuracy that precision and recall imply; how far it may be from that where all "
        "folds have the same class balance, and where they do not (random folds of patients, if known); the largest sample "
        "deviation of accuracy over folds that agrees with the printed one, and that of independent images."
    )
    numbers = ["accuracy", "implied", "equal folds", "unequal folds", "deviation", "independent images"]
    formats: dict[str, str] = dict.fromkeys(numbers, ".4f")
    return Table("printed-rows", caption, ["row", "positives", "negatives", "folds", *numbers], rows, formats)
