"""Reporting checklists of a study, filled in as far as its configuration and manifests tell.

Items are those of CLAIM (Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2(2), 2020, e200029) and TRIPOD+AI (Collins et
al., BMJ 385, 2024, e078378) by their numbers, with a topic in our words. What only authors know is left to them, and says so.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from histobench.report.terms import classifier
from histobench.study import paths
from histobench.study.resolved import printed_mode
from histobench.study.run_files import unit_of

if TYPE_CHECKING:
    from histobench.study.config import Config

CHECKLIST = "CHECKLIST.md"
ITEMS = Path(__file__).with_name("checklist.csv")
"""guideline, item, topic, and the answer, in which names in braces are filled in."""
SOURCES = {
    "CLAIM": "Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2(2), 2020, e200029; its update of 2024 has other numbers",
    "TRIPOD+AI": "Collins et al., BMJ 385, 2024, e078378",
}
AUTHORS = "To the authors"


def checklist(config: "Config", members: Mapping[str, bytes], commit: str, licence: str) -> str:
    """Return both checklists as Markdown; `members` have the study's manifests."""
    known = facts(config, members, commit) | {"licence": licence}
    with ITEMS.open(encoding="utf-8", newline="") as file:
        rows = [row | {"answer": " ".join(row["answer"].format_map(known).split())} for row in csv.DictReader(file)]
    left = Counter(row["guideline"] for row in rows if row["answer"].startswith(AUTHORS))
    parts = [
        f"# Reporting checklists of the study `{config.study}`",
        "Filled in from configuration, manifests and results. Topics are in our words: read the guidelines for what each item "
        f'asks. Items that begin with "{AUTHORS}" cannot be known from these files.',
    ]
    for guideline, source in SOURCES.items():
        items = [row for row in rows if row["guideline"] == guideline]
        parts.append(f"## {guideline}\n\n{source}. {len(items) - left[guideline]} of {len(items)} items are filled in.")
        lines = (f"| {row['item']} | {row['topic']} | {row['answer'].replace('|', '/')} |" for row in items)
        parts.append("\n".join(["| Item | Topic | Answer |", "| --- | --- | --- |", *lines]))
    return "\n\n".join(parts) + "\n"


def facts(config: "Config", members: Mapping[str, bytes], commit: str) -> dict[str, object]:
    """Return what the answers of the checklists need to know of a study."""
    arms = list(dict.fromkeys((run.model, run.mode) for run in config.runs))
    models = dict.fromkeys(model for model, _ in arms)
    splits = {name: config.splits[name] for name in dict.fromkeys(run.split for run in config.runs)}
    augmentations = dict.fromkeys(run.augmentation for run in config.runs)
    random = [config.labels[name] for name in models if config.models[name].weights == "random"]
    validated = [f"{model}/{mode}" for model, mode in arms if config.recipe(model, mode).validation]
    seeds = sorted({run.seed for run in config.runs})
    return {
        "arms": ", ".join(f"{config.labels[model]} {printed_mode(mode)}" for model, mode in arms),
        "arm_count": len(arms),
        "run_count": len(config.runs),
        "pairs": ", ".join(f"{one} and {other}" for one, other in config.comparisons.pairs) or "all pairs of arms",
        "datasets": "; ".join(_dataset(config, name) for name in config.used_datasets),
        "images": "; ".join(_images(config, name, members) for name in config.used_datasets),
        "sizes": ", ".join(str(size) for size in sorted({config.models[name].image_size for name in models})),
        "augmentations": ", ".join(f"{name} ({_transforms(config.augmentations[name])})" for name in augmentations),
        "magnifications": ", ".join(f"{number}X" for number in sorted({run.magnification for run in config.runs})),
        "splits": ", ".join(
            f"{name}: {split.folds} folds by {split.by}, seed {split.seed}" for name, split in splits.items()
        ),
        "levels": " ".join(
            f"{name}: no {'image' if split.by == 'image' else unit_of(split.by)} is on both sides of a fold."
            if split.by in ("patient", "accession", "image")
            else f"{name}: as the given lists have it; table folds counts what both sides share."
            for name, split in splits.items()
        ),
        "initialisation": f"Random: {', '.join(random)}" if random else "Published weights, pinned by hash or commit",
        "recipes": "; ".join(
            f"{config.labels[model]} {printed_mode(mode)}: {_recipe(config, model, mode)}" for model, mode in arms
        ),
        "choice": (
            "The last epoch. Tables of the best epoch are there for comparison and are optimistic."
            + (f" Chosen on kept training groups: {', '.join(validated)}." if validated else "")
        ),
        "robustness": f"Seeds {', '.join(map(str, seeds))}; splits {', '.join(splits)}; augmentations {', '.join(augmentations)}.",
        "external": (
            f"Tested without training on {', '.join(dict.fromkeys(on for on, _, _ in config.external_runs))}."
            if config.external_runs
            else "None in this study."
        ),
        "draws": config.comparisons.draws,
        "notes": " ".join(config.notes),
        "environment": f"HistoBench, commit {commit or 'not known'}; packages in environment.json",
        "configuration": "configuration.json",
        "croissant": "croissant.json beside each manifest",
        "results": paths.STUDY.format(study=config.study),
    }


def _dataset(config: "Config", name: str) -> str:
    dataset = config.datasets[name]
    origin = "SYNTHETIC images" if dataset.synthetic else dataset.citation or "no citation given"
    return f"{name} ({origin.rstrip('.')})"


def _images(config: "Config", name: str, members: Mapping[str, bytes]) -> str:
    rows = list(csv.DictReader(io.StringIO(members[config.path(paths.MANIFEST, dataset=name)].decode())))
    labels = Counter(row["label"] for row in rows)
    numbers = ", ".join(f"{count} {label}" for label, count in sorted(labels.items()))
    return f"{name}: {len(rows)} images ({numbers}) of {len({row['patient'] for row in rows})} patients"


def _transforms(transforms: Iterable[Mapping[str, object]]) -> str:
    return ", ".join(name for transform in transforms for name in transform) or "nothing"


def _recipe(config: "Config", model: str, mode: str) -> str:
    recipe = config.recipe(model, mode)
    if recipe.trainable == "none":
        return "nothing is trained"
    if recipe.classifier != "linear":
        return classifier(recipe.model_dump())
    return f"{recipe.trainable}, epochs: {recipe.epochs}, batches of {recipe.batch_size}, learning rate {recipe.learning_rate:g}"
