"""How the models of a study see an image and what of them is trained, drawn from its configuration (Figures 3 and 4)."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from histobench.report.figures.style import PAGE, SMALL, TINY, Arm, canvas, styled
from histobench.report.terms import printed

Texts = Mapping[str, str]

TITLE, LINE, PADDING = 3.6, 2.75, 1.4
"""Height in mm of a box's title and of one line, and the room around them."""
LETTER = 1.16
"""Mean width in mm of a letter in a box's lines."""
COLUMNS = ("model", "mode", "trainable", "lora")
"""Columns of `parameters.csv` that are drawn."""
KINDS: Mapping[str, Mapping[str, Any]] = {
    # Fill, border and its line tell them apart without colour too.
    "data": {"facecolor": "white", "edgecolor": "0.5", "linewidth": 0.7},
    "frozen": {"facecolor": "#e3edf5", "edgecolor": "#2b5c8a", "linewidth": 0.8, "linestyle": (0, (3, 1.5))},
    "trained": {"facecolor": "#fbe0c4", "edgecolor": "#b34700", "linewidth": 1.4},
}
KIND_NAMES = {"frozen": "frozen", "trained": "trained"}


@dataclass(frozen=True)
class Method:
    """What of a study the diagrams show."""

    dataset: str
    arms: Sequence[Arm]
    settings: Mapping[str, Mapping[str, Any]]
    """For each model its settings."""
    recipes: Mapping[tuple[str, str], Mapping[str, Any]]
    """For each arm its recipe."""
    parameters: Sequence[Texts]
    """Rows with model, mode, `trainable` and, of these, `lora`."""
    augmentations: Mapping[str, Sequence[Mapping[str, Any]]]
    splits: Sequence[Mapping[str, Any]]
    """Each with `by` and `folds`."""

    def of(self, vlm: bool) -> "Method":
        """Return the part with the vision-language models, or that with the CNNs."""
        arms = [arm for arm in self.arms if (arm.family != "cnn") == vlm]
        return Method(self.dataset, arms, self.settings, self.recipes, self.parameters, self.augmentations, self.splits)

    def count(self, arm: Arm, column: str) -> int:
        """Return a number of parameters of an arm."""
        return next(int(row[column]) for row in self.parameters if (row["model"], row["mode"]) == arm.key)


@dataclass
class Box:
    """A step of the pipeline: a title, and lines that are wrapped to the width (mm)."""

    title: str
    lines: Sequence[str]
    width: float
    kind: str = "data"
    wrapped: list[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = int((self.width - 2 * PADDING) / LETTER)
        self.wrapped = [part for line in self.lines for part in textwrap.wrap(line, letters, subsequent_indent="  ")]

    @property
    def height(self) -> float:
        """Height in mm."""
        return 2 * PADDING + TITLE + LINE * len(self.wrapped)


@styled
def cnn(method: Method, notes: Sequence[str] = ()) -> Figure:
    """Return Figure 3: from the image through a convolutional network to one logit."""
    part = method.of(vlm=False)
    models = {arm.model: arm.label for arm in part.arms}
    pretrained = _per_model(models, lambda model: _pretrained(part.settings[model]["weights"]))
    sizes = [f"{arm.name}: {part.count(arm, 'trainable'):,}" for arm in part.arms]
    heads = all(arm.trainable == "head" for arm in part.arms)
    what = {"all": "all layers are trained", "head": "frozen, its linear layer is trained"}
    trained = [
        f"{mode}: {text}" for mode, text in {printed("mode", a.mode): what[a.trainable] for a in part.arms}.items()
    ]
    boxes = [
        Box("Image", [f"dataset {part.dataset}", "H&E, RGB", "whole field of view"], 25),
        _input(part, models, 38),
        Box("CNN", [*pretrained, *trained, "trainable parameters:", *sizes], 46, "frozen" if heads else "trained"),
        Box("Linear layer", ["features", "to one output"], 22, "trained"),
        Box("Decision", ["one logit z", "σ(z) ≥ 0.5:", "malignant"], 20),
    ]
    training = _training(part, 171)
    height = max(box.height for box in boxes) + training.height + 14
    figure, axis = _sheet(height, notes)
    _row(axis, boxes, 2, height - 2 - max(box.height for box in boxes) / 2, PAGE - 4)
    _draw(axis, training, 2, 8 + training.height / 2)
    _key(axis, 3)
    return figure


@styled
def vlm(method: Method, notes: Sequence[str] = ()) -> Figure:
    """Return Figure 4: the vision tower is frozen; a head is trained alone (LP), or with adapters in the decoder (FT)."""
    part = method.of(vlm=True)
    models = {arm.model: arm.label for arm in part.arms}
    shapes = {model: _shape(part.settings[model]) for model in models}
    boxes = [
        Box("Image", [f"dataset {part.dataset}", "H&E, RGB", "whole field of view"], 25),
        _input(part, models, 36),
        Box(
            "Vision tower",
            _per_model(models, lambda m: "{tower_layers} layers × {tower_width}, patch {patch}".format(**shapes[m])),
            46,
            "frozen",
        ),
        Box(
            "Connector",
            [*_per_model(models, lambda m: "{merge} × {merge} patches".format(**shapes[m])), "to one token"],
            30,
            "frozen",
        ),
        Box(
            "Visual tokens",
            [*_per_model(models, lambda m: str(shapes[m]["tokens"])), "between image", "markers, no text"],
            24,
        ),
    ]
    decoder = _per_model(models, lambda m: "{layers} layers, hidden size {hidden}".format(**shapes[m]))
    readout = _per_model(models, lambda m: _READOUTS[part.settings[m]["readout"]])
    lanes = []
    for trainable, title in (("head", "Linear probing"), ("lora", "LoRA fine-tuning")):
        arms = [arm for arm in part.arms if arm.trainable == trainable]
        if arms:
            modes = "/".join(dict.fromkeys(printed("mode", arm.mode) for arm in arms))
            lanes.append((f"{title} ({modes})", arms))
    width = (PAGE - 4 - 4 * (len(lanes) - 1)) / len(lanes)
    drawn = []
    for title, arms in lanes:
        stack = [Box("Language decoder", [*decoder, *(f"h: {line}" for line in readout)], width - 44, "frozen")]
        if arms[0].trainable == "lora":
            stack.append(Box("LoRA adapters", _adapters(part, arms), width - 44, "trained"))
        head = [f"{arm.label}: {shapes[arm.model]['hidden']} to 1" for arm in arms]
        counts = [f"{arm.name}: {part.count(arm, 'trainable'):,}" for arm in arms]
        drawn.append((title, stack, Box("Head", [*head, "trainable in all:", *counts], 34, "trained")))
    training = _training(part, PAGE - 4)
    top = max(box.height for box in boxes)
    lane = max(max(sum(box.height for box in stack) + len(stack) - 1, head.height) for _, stack, head in drawn) + 9
    height = top + lane + training.height + 22
    figure, axis = _sheet(height, notes)
    middle = height - 2 - top / 2
    _row(axis, boxes, 2, middle, PAGE - 4)
    upper = height - 2 - top - 9
    last = PAGE - 2 - boxes[-1].width / 2
    axis.plot(
        [last, last, 2 + 6, 2 + 6],
        [middle - boxes[-1].height / 2, upper + 4.5, upper + 4.5, upper + 4.5],
        color="0.3",
        linewidth=0.8,
    )
    for place, (title, stack, head) in enumerate(drawn):
        x = 2 + place * (width + 4)
        axis.add_patch(
            FancyBboxPatch(
                (x, upper - lane),
                width,
                lane,
                boxstyle="round,pad=0,rounding_size=1.2",
                facecolor="0.975",
                edgecolor="0.8",
                linewidth=0.6,
            )
        )
        axis.text(x + width / 2, upper - 2, title, ha="center", va="top", weight="bold")
        tall = sum(box.height for box in stack) + len(stack) - 1
        centre = upper - 7 - max(tall, head.height) / 2
        _arrow(axis, (x + 6, upper + 4.5), (x + 6, centre + tall / 2))
        y = centre + tall / 2
        for box in stack:
            _draw(axis, box, x + 2, y - box.height / 2)
            y -= box.height + 1
        _arrow(axis, (x + 2 + stack[0].width, centre), (x + width - 2 - head.width, centre))
        axis.text(x + 2 + stack[0].width + 3, centre + 1, "h", style="italic", ha="center", size=SMALL)
        _draw(axis, head, x + width - 2 - head.width, centre)
    _draw(axis, training, 2, 8 + training.height / 2)
    _key(axis, 3)
    return figure


_READOUTS = {
    "end_marker": "last position (end-of-image marker)",
    "last_image_token": "last visual token",
    "mean": "mean over visual tokens",
}


def _shape(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of a vision-language model; the families name them differently."""
    config = settings["config"]
    text, tower = config["text_config"], config["vision_config"]
    merge = config.get("scale_factor") or tower["spatial_merge_size"]
    patches = settings["image_size"] // tower["patch_size"]
    return {
        "tower_layers": tower.get("depth") or tower["num_hidden_layers"],
        "tower_width": tower.get("embed_dim") or tower["hidden_size"],
        "patch": tower["patch_size"],
        "merge": merge,
        "tokens": (patches // merge) ** 2,
        "layers": text["num_hidden_layers"],
        "hidden": text["hidden_size"],
    }


def _per_model(models: Mapping[str, str], read) -> list[str]:
    """Return a line for each model, or one for all where they agree."""
    texts = {model: read(model) for model in models}
    if len(set(texts.values())) == 1:
        return [next(iter(texts.values()))]
    return [f"{models[model]}: {text}" for model, text in texts.items()]


def _pretrained(weights: str | Mapping[str, Any]) -> str:
    if isinstance(weights, str):
        return {"imagenet": "pretrained on ImageNet", "random": "random weights"}[weights]
    return f"weights {weights.get('hub') or weights.get('package') or PurePosixPath(weights['file']).name}"


def _input(part: Method, models: Mapping[str, str], width: float) -> Box:
    sizes = _per_model(models, lambda model: "squashed to {0} × {0} px".format(part.settings[model]["image_size"]))
    lists = []
    for name, transforms in part.augmentations.items():
        kinds = ", ".join(kind for transform in transforms for kind in transform)
        lists.append(f"augmentation {name}: {kinds}" if kinds else f"augmentation {name}")
    return Box("Input", [*sizes, *lists, "normalised by the model's mean and deviation"], width)


def _adapters(part: Method, arms: Sequence[Arm]) -> list[str]:
    lines = []
    for arm in arms:
        lora = part.recipes[arm.key]["lora"]
        where = f"layers {', '.join(map(str, lora['layers']))}" if lora["layers"] else "every layer"
        text = [f"r {lora['rank']}, α {lora['alpha']}, dropout {lora['dropout']:g}"]
        text.append(f"on {', '.join(lora['projections'])} of {where}")
        text += [f"and on the {name}" for name in ("vision", "connector") if lora[name]]
        lines.append(text)
    if all(line == lines[0] for line in lines):
        head = lines[0]
    else:
        head = [f"{arm.name}: {'; '.join(line)}" for arm, line in zip(arms, lines, strict=True)]
    return [*head, "parameters:", *(f"{arm.name}: {part.count(arm, 'lora'):,}" for arm in arms)]


def _training(part: Method, width: float) -> Box:
    """Return the box on training; values that arms do not share stand beside each other."""
    recipes = [part.recipes[arm.key] for arm in part.arms]

    def values(name: str) -> str:
        return " or ".join(dict.fromkeys(f"{recipe[name]:g}" for recipe in recipes))

    folds = "; ".join(
        dict.fromkeys(
            f"{split['folds']} official hold-outs"
            if split["by"] == "official"
            else f"{split['folds']} folds by {split['by']}"
            for split in part.splits
        )
    )
    lines = (
        f"binary cross-entropy with logits; AdamW, learning rate {values('learning_rate')}, weight decay "
        f"{values('weight_decay')}, cosine annealing",
        f"batch {values('batch_size')}, {values('epochs')} epochs; evaluation: {folds}",
    )
    return Box("Training", lines, width)


def _sheet(height: float, notes: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure, and axes that are its page above the notes, in mm."""
    figure = canvas(PAGE, height, notes)
    figure.set_layout_engine("none")
    total = figure.get_figheight() * 25.4
    axis = figure.add_axes((0, 1 - height / total, 1, height / total))
    axis.set(xlim=(0, PAGE), ylim=(0, height))
    axis.set_axis_off()
    return figure, axis


def _row(axis: Axes, boxes: Sequence[Box], x: float, y: float, width: float) -> None:
    """Draw boxes from left to right over `width`, centred at height `y`, with arrows between them."""
    gap = (width - sum(box.width for box in boxes)) / (len(boxes) - 1)
    for place, box in enumerate(boxes):
        _draw(axis, box, x, y)
        if place + 1 < len(boxes):
            _arrow(axis, (x + box.width, y), (x + box.width + gap, y))
        x += box.width + gap


def _draw(axis: Axes, box: Box, x: float, y: float) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x, y - box.height / 2), box.width, box.height, boxstyle="round,pad=0,rounding_size=1", **KINDS[box.kind]
        )
    )
    top = y + box.height / 2 - PADDING
    axis.text(x + PADDING, top, box.title, weight="bold", va="top", gid="box title")
    for number, line in enumerate(box.wrapped):
        axis.text(x + PADDING, top - TITLE - LINE * number, line, size=SMALL, va="top", gid="box line")


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=6, linewidth=0.8, color="0.3", shrinkA=0, shrinkB=0
        )
    )


def _key(axis: Axes, y: float) -> None:
    x = 2.0
    for kind, name in KIND_NAMES.items():
        axis.add_patch(FancyBboxPatch((x, y - 1), 5, 2.2, boxstyle="round,pad=0,rounding_size=0.5", **KINDS[kind]))
        axis.text(x + 6.5, y, name, size=TINY, va="center")
        x += 22
