"""Sentences about the scores of a method."""

import re
from collections.abc import Sequence

import numpy as np

from histobench.audit import training_siblings
from histobench.audit.findings import percent
from histobench.audit.score_tables import Scores, Units
from histobench.audit.scored_methods import Method
from histobench.evaluation.bootstrap import FEWEST


def headline(method: Method, found: Scores, units: Units) -> list[str]:
    """Return what is predicted, and the accuracy with its intervals."""
    images, slides = len(set(method.image.tolist())), len(set(method.slide.tolist()))
    groups = f"{slides} {units.slide}s ({_of_classes(method, method.slide)})"
    if units.accession:
        accessions = len(set(method.accession.tolist()))
        groups += f" and {accessions} {units.accession}s ({_of_classes(method, method.accession)})"
    again = f" of {images:,} images" if images < len(method.rows) else ""
    mean = f", the mean over {len(method.folds)} folds" if len(method.folds) > 1 else ""
    others = [
        f"{text} {found.of[metric].estimate:.4f}"
        for metric, text in (("balanced_accuracy", "balanced accuracy"), ("auc", "AUC"))
        if metric in found.of
    ]
    accuracy = found.of["accuracy"]
    text = f"Accuracy is {accuracy.estimate:.4f}{mean} ({', '.join(others)}) in {len(method.rows):,} predictions{again} of {groups}."
    return [text, *_intervals(found, units)]


def _intervals(found: Scores, units: Units) -> list[str]:
    accuracy = found.of["accuracy"]
    readings = [(units.slide, accuracy.slide), (units.accession, accuracy.accession)]
    known = [(unit, *ends) for unit, (low, high) in readings if (ends := _wide(low, high))]
    if not known:
        return [f"There are too few {units.slide}s, or no error, so that accuracy has no interval."]
    parts = [f"{a:.4f} to {b:.4f} if {unit}s are resampled" for unit, a, b in known]
    text = f"The 95 % interval of accuracy is {' and '.join(parts)}"
    if ends := _wide(*accuracy.image):
        low, high = ends
        ratio = (known[-1][2] - known[-1][1]) / (high - low)
        narrower = f", {ratio:.1f} times narrower, because it takes images of one {units.slide} for independent"
        narrower = (
            narrower
            if ratio >= 1.2
            else f", because images of one {units.slide} are hardly more alike than others here"
        )
        text += f"; resampling images would give {low:.4f} to {high:.4f}{narrower}"
    told = [f"{text}."]
    freedoms = [found.freedom] if found.accession_freedom is None else [found.freedom, found.accession_freedom]
    if min(freedoms) < FEWEST:
        told.append(
            f"The intervals rest on {min(freedoms):g} degrees of freedom, fewer than {FEWEST}: they do not reach their level, because "
            "a class has too few groups in a fold."
        )
    return told


def _wide(low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return the ends of an interval that has a width."""
    return (low, high) if low is not None and high is not None and high - low > 1e-9 else None


def _of_classes(method: Method, group: np.ndarray) -> str:
    counts = [len(set(group[method.label == value].tolist())) for value in (0, 1)]
    return f"{counts[0]} with benign, {counts[1]} with malignant images"


def siblings(
    method: Method, relation: np.ndarray, found: Sequence[training_siblings.Difference], units: Units
) -> list[str]:
    """Return how many evaluation images have a patient that trains, and whether accuracy differs."""
    certain, strict = int((relation >= training_siblings.SAME_SLIDE).sum()), int((relation > 0).sum())
    unit = units.accession or units.slide
    count = len(relation)
    told = [
        f"The {units.slide} of {percent(certain / count)} of the {count:,} predictions trains in the same fold, which is certain."
    ]
    if units.accession:
        shares = [
            f"{percent(float(np.mean(relation[method.label == value] > 0)))} of {name} ones"
            for value, name in enumerate(("benign", "malignant"))
        ]
        told[0] = told[0][:-1] + (
            f"; the {unit} of {percent(strict / count)} trains ({', '.join(shares)}), a strict reading that may or may not mean the patient."
        )
    for one in found:
        if one.label == "all":
            continue
        ends = (
            f"95 % interval {one.low:+.4f} to {one.high:+.4f}"
            if one.low is not None and one.high is not None
            else "no interval"
        )
        few = f", fewer than {FEWEST}, so that it does not reach its level" if one.freedom < FEWEST else ""
        told.append(
            f"Of {one.label} images, {one.with_sibling:.4f} are called correctly where {training_siblings.sibling(units)} trains, and "
            f"{one.without:.4f} where nothing of the {unit} does: a difference of {one.with_sibling - one.without:+.4f}, {ends} ({one.freedom:g} degrees of freedom{few})."
        )
    return [*told, training_siblings.NO_CAUSE] if found else told


def remarks(method: Method, found: Scores, units: Units) -> list[str]:
    """Return what else a reader must know."""
    told = []
    if found.one_class:
        several = "models" in found.one_class
        alike = f" of a fold are called alike in {found.one_class.replace('models', 'folds')}"
        told.append(f"All images{alike if several else f' are called {found.one_class}'}.")
    if "auc" in found.of and found.of["auc"].estimate < 0.5:
        told.append("AUC is below 0.5: the scores rank benign images higher and may be those of the other class.")
    if ties := sum(one.tie for one in method.rows):
        right = np.array([one.label == 1 if one.tie else one.called == bool(one.label) for one in method.rows])
        other = float(np.mean([right[method.fold == number].mean() for number in np.unique(method.fold)]))
        told.append(
            f"{ties} predictions have equal votes and count as benign; counted as malignant, accuracy would be {other:.4f}."
        )
    if wrong := int((~method.correct).sum()):
        names, index = np.unique(method.slide, return_inverse=True)
        errors = np.sort(np.bincount(index, ~method.correct))[::-1]
        half = int(np.searchsorted(np.cumsum(errors), wrong / 2)) + 1
        told.append(f"Half of the {wrong:,} errors are on {half} of {len(names)} {units.slide}s.")
    else:
        told.append("No image is called wrongly, so that intervals of accuracy say nothing.")
    if "ece" in found.of:
        ece = found.of["ece"]
        ends = f" (95 % interval {ece.slide[0]:.4f} to {ece.slide[1]:.4f})" if None not in ece.slide else ""
        told.append(f"The expected calibration error of the {method.kind} is {ece.estimate:.4f}{ends}.")
    if found.few_groups:
        names = [name if "fold" in name else f"fold {name}" for name in method.folds]
        few = re.sub(r"fold (\d+)", lambda number: names[int(number[1]) - 1], found.few_groups)
        told.append(
            f"Fewer than five {units.slide}s of a class make the scores of a fold uncertain: {few}."
            if len(names) > 1
            else f"Fewer than five {units.slide}s of a class make the scores uncertain: {re.sub(r' in fold .*?(?=;|$)', '', found.few_groups)}."
        )
    if units.accession == "" and (unknown := int(sum(not one.image.accession for one in method.rows))):
        told.append(
            f"The patient of {unknown:,} predictions is not known: each of these images is resampled on its own."
        )
    return told
