"""What an audit says of predictions for single images: scores with honest intervals, errors, calibration, siblings, pairs."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histobench.audit import claimed_scores, paired_scores, score_sentences, training_siblings
from histobench.audit.findings import Section, Table
from histobench.audit.prediction_figures import figures
from histobench.audit.prediction_tables import (
    FILES,
    Prediction,
    PredictionFile,
    Reading,
    by_method_and_fold,
    read,
)
from histobench.audit.score_tables import (
    MAX_GROUPS,
    Units,
    calibration_table,
    fold_table,
    group_table,
    magnification_table,
    part_table,
    score_table,
    scores,
)
from histobench.audit.scored_methods import Method
from histobench.audit.splits import Split
from histobench.io.errors import HistoBenchError

MAX_DRAWS = 100_000


def sections(
    paths: Sequence[Path],
    reading: Reading | None = None,
    files: str = "",
    splits: Sequence[Split] = (),
    printed: Mapping[str, Sequence[str]] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    draw_figures: bool = True,
) -> list[Section]:
    """Return a section for each method, and one for the comparison of several.

    Args:
        paths: tables of predictions.
        reading: how they are read.
        files: one of :data:`FILES`.
        splits: which images train and which are evaluated; for each fold of predictions the one that evaluates its images is used.
        printed: score -> the number that a publication prints for each fold, or one for their mean, of a single method.
        draws: number of bootstrap draws and sign flips.
        seed: of the draws.
        draw_figures: whether sections have figures.

    Raises:
        HistoBenchError: a file cannot be read or used, or files and options contradict each other.
    """
    if files not in FILES:
        raise HistoBenchError(f"files {files!r:.40} is unknown, expected folds or methods; give one of these")
    if not paths:
        raise HistoBenchError("no file of predictions is given; name one")
    reading = reading or Reading()
    if not 100 <= draws <= MAX_DRAWS:
        raise HistoBenchError(
            f"the number of draws is {draws}, expected 100 to {MAX_DRAWS:,}; give one of these, such as 10,000"
        )
    limit = 0.5 if reading.threshold is None else reading.threshold
    if not (0 <= limit <= 1 or (reading.scale == "logit" and math.isfinite(limit))):
        raise HistoBenchError(
            f"the threshold is {limit:g}, expected 0 to 1, or any number with --scale logit; correct it"
        )
    read_files = [read(Path(path), reading) for path in paths]
    datasets = {file.naming.dataset for file in read_files}
    if len(datasets) > 1:
        raise HistoBenchError(
            f"{paths[0]}: the files are of several datasets, {' and '.join(sorted(datasets))}; audit each on its own"
        )
    methods, warnings = _methods(read_files, files)
    units = Units.of(datasets.pop())
    if printed and len(methods) > 1:
        raise HistoBenchError("printed scores are given for several methods; audit each on its own")
    made = []
    for method in methods:
        made.append(_section(method, units, splits, printed or {}, draws, seed, draw_figures, len(methods) > 1))
    if len(methods) > 1:
        made.append(paired_scores.section(methods, units, draws, seed))
    first = made[0]
    same: dict[str, list[Path]] = {}  # a note of several files is one note
    for file in read_files:
        for text in file.warnings:
            same.setdefault(text.removeprefix(f"{file.path.name}: "), []).append(file.path)
    told = [f"{_of_all([path.name for path in paths])}: {text}" for text, paths in same.items()] + warnings
    made[0] = Section(
        first.title, first.sentences, first.tables, first.figures, first.data, [*dict.fromkeys(told), *first.warnings]
    )
    return made


def _methods(read_files: Sequence[PredictionFile], files: str) -> tuple[list[Method], list[str]]:
    """Return methods with their folds, from columns and files, and warnings."""
    parts = [by_method_and_fold(file) for file in read_files]
    warnings = []
    columns = any(method for part in parts for method, _ in part)
    as_methods = files == "methods"
    titles = _distinct([file.path for file in read_files])
    places, names = titles, [_of_all(titles)] * len(parts)
    if not files and len(parts) > 1:
        images = [frozenset((key, one.image.image) for key, rows in part.items() for one in rows) for part in parts]
        as_methods = len(set(images)) == 1
        what = "methods, because they have the same images" if as_methods else "folds, because their images differ"
        again = set(Counter(images).values())
        if (
            not as_methods and not columns and len(again) == 1 and again != {1}
        ):  # several methods, with a file for each fold
            order = [images[:at].count(one) for at, one in enumerate(images)]
            own = [[title for title, which in zip(titles, order, strict=True) if which == number] for number in order]
            places, names = [titles[images.index(one)] for one in images], [_of_all(one) for one in own]
            what = f"{max(order) + 1} methods in {len(set(images))} folds, in their order, because of each fold so many have the same images"
        warnings.append(f"the {len(parts)} files are taken for {what}")
    if as_methods and len(parts) < 2 and not columns:
        raise HistoBenchError(
            f"{read_files[0].path}: is a single file without a column of methods; give a file for each method, or the column (--method-column)"
        )
    found: dict[str, dict[str, list[Prediction]]] = {}
    kinds: dict[str, str] = {}
    for title, at, every, file, part in zip(titles, places, names, read_files, parts, strict=True):
        for (method, fold), rows in part.items():
            name = method or (title if as_methods else every)
            name = f"{title}: {method}" if method and as_methods else name
            place = fold if as_methods or len(parts) == 1 else f"{at}, {fold}" if fold else at
            if kinds.setdefault(name, file.kind) != file.kind:
                raise HistoBenchError(
                    f"{file.path}: holds {file.kind or 'classes only'}, the file before {kinds[name] or 'classes only'}; give scores "
                    "of one kind in all folds"
                )
            found.setdefault(name, {})[place] = rows
    methods = []
    for number, (name, folds) in enumerate(found.items(), 1):
        if as_methods or len(parts) == 1:
            folds = {place: folds[place] for place in sorted(folds, key=_natural)}
        folds, told = _with_both_classes(name, folds)
        warnings += told
        methods.append(Method(f"m{number}", name, folds, kinds[name]))
    return methods, warnings


def _of_all(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{len(titles)} files from {titles[0]} to {titles[-1]}"


def _distinct(paths: Sequence[Path]) -> list[str]:
    """Return the stems of files, with their folders where stems are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    if len(set(stems)) < len(stems):
        raise HistoBenchError(
            f"{paths[0]}: two files have the same name and folder, or one is given twice; give each once"
        )
    return stems


def _natural(text: str) -> tuple[float, str]:
    return (float(text), "") if text.isdecimal() else (float("inf"), text)


def _with_both_classes(name: str, folds: dict[str, list[Prediction]]) -> tuple[dict[str, list[Prediction]], list[str]]:
    """Return the folds, or all as one where a fold lacks a class.

    Raises:
        HistoBenchError: a class does not occur at all, or an image would occur twice.
    """
    labels = {one.label for part in folds.values() for one in part}
    images = sum(len(part) for part in folds.values())
    if len(labels) < 2:
        only = "malignant" if labels == {1} else "benign"
        raise HistoBenchError(
            f"{name}: all {images} images are {only}, but scores need both classes; give the other images too"
        )
    lacking = [place for place, part in folds.items() if len({one.label for one in part}) < 2]
    if not lacking:
        return folds, []
    pooled = [one for part in folds.values() for one in part]
    if len({one.image.image for one in pooled}) < len(pooled):
        raise HistoBenchError(
            f"{name}: fold {lacking[0]} has images of one class only, and images occur in several folds; leave such folds out"
        )
    return {"all folds": pooled}, [
        f"{len(lacking)} of {len(folds)} folds, the first is {lacking[0]}, have images of one class only, so that all folds are pooled"
    ]


def _section(
    method: Method,
    units: Units,
    splits: Sequence[Split],
    printed: Mapping[str, Sequence[str]],
    draws: int,
    seed: int,
    draw_figures: bool,
    several: bool,
) -> Section:
    if (groups := len(set(method.slide.tolist()))) > MAX_GROUPS:
        raise HistoBenchError(
            f"{method.name}: the images are of {groups:,} {units.slide}s, or of unknown ones, expected at most {MAX_GROUPS:,}; say "
            "what names them (--patient), or give fewer images"
        )
    found = scores(method, units.slide, draws, seed)
    folds = fold_table(method)
    tables: list[Table] = [score_table(found, units, len(method.folds) > 1), folds]
    sentences = [*score_sentences.headline(method, found, units)]
    if printed:
        made = [dict(zip(folds.columns, row, strict=True)) for row in folds.rows]
        told, table = claimed_scores.claimed_scores(printed, made)
        sentences += told
        tables.append(table)
    warnings: list[str] = []
    data: dict[str, Any] = {
        "images": len(set(method.image.tolist())),
        "predictions": len(method.rows),
        "folds": list(method.folds),
        "scores": {
            metric: {
                "estimate": one.estimate,
                "pooled": one.pooled,
                "slide": one.slide,
                "accession": one.accession,
                "image": one.image,
            }
            for metric, one in found.of.items()
        },
    }
    if splits:
        training, warnings = training_siblings.training_sets(method, splits)
        relation = training_siblings.relations(method, training)
        differences = training_siblings.differences(method, relation, units, draws, seed)
        sentences += score_sentences.siblings(method, relation, differences, units)
        tables.append(training_siblings.sibling_table(method, relation, units, draws, seed))
        if differences:
            tables.append(training_siblings.difference_table(differences, units))
    sentences += score_sentences.remarks(method, found, units)
    tables.append(part_table(method, units, draws, seed))
    by_scale = magnification_table(method, units, draws, seed)
    tables += [by_scale] if by_scale else []
    tables.append(group_table(method, units))
    if found.calibration:
        tables.append(calibration_table(found, method.kind))
    drawn = figures(method, found.calibration, units) if draw_figures else []
    prefix = f"predictions-{method.key}-" if several else "predictions-"
    tables = [Table(f"{prefix}{one.name}", one.caption, one.columns, one.rows, one.formats) for one in tables]
    return Section(f"Predictions of {method.name}", sentences, tables, drawn, data, warnings)
