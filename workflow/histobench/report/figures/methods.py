"""How models see an image and which part of them is trained, drawn from the configuration (Figures 3 and 4)."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from histobench.report.figures.style import PAGE, SMALL, TINY, Arm, canvas
from histobench.report.terms import Texts, origin, printed
from histobench.study.resolved import Study

TITLE, LINE, PADDING = 3.6, 2.75, 1.4
"""Height in mm of a box's title and of one line, and the margin around them."""
LETTER = 1.16
"""Mean width in mm of a letter in the lines of a box."""
COLUMNS = ("model", "mode", "trainable", "lora")
"""Columns of `parameters.csv` that are drawn."""
KINDS: Mapping[str, Mapping[str, Any]] = {
    # Line style and width of the border tell them apart without colour.
    "data": {"facecolor": "white", "edgecolor": "0.5", "linewidth": 0.7},
    "frozen": {"facecolor": "#e3edf5", "edgecolor": "#2b5c8a", "linewidth": 0.8, "linestyle": (0, (3, 1.5))},
    "trained": {"facecolor": "#fbe0c4", "edgecolor": "#b34700", "linewidth": 1.4},
}


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


def cnn(study: Study, parameters: Sequence[Texts]) -> Figure:
    """Return Figure 3: from the image through a network, a CNN or an encoder, to one logit; `parameters` as in their CSV."""
    arms = [arm for arm in study.arms if not arm.is_vlm and arm.trainable != "none"]
    models = {arm.model: arm.label for arm in arms}
    pretrained = _per_model(models, lambda model: _weights(study.models[model]["weights"]))
    what = {"all": "all layers are trained", "head": "frozen, its linear layer is trained"}
    what |= {"last": "the last block is trained", "lora": "adapters on its convolutions are trained"}
    modes = {printed("mode", arm.mode): what[arm.trainable] for arm in arms}
    trained = [f"{mode}: {text}" for mode, text in modes.items()]
    kind = "frozen" if all(arm.trainable == "head" for arm in arms) else "trained"
    counts = _counts(arms, parameters, "trainable")
    network = " or ".join(sorted({"CNN" if arm.family == "cnn" else "encoder" for arm in arms}))
    boxes = [
        Box("Image", [f"dataset {study.dataset}", "H&E, RGB", "whole field of view"], 25),
        _input(study, models, 38),
        Box(network[0].upper() + network[1:], [*pretrained, *trained, "trainable parameters:", *counts], 46, kind),
        Box("Linear layer", ["features", "to one output"], 22, "trained"),
        Box("Decision", ["one logit z", "σ(z) ≥ 0.5:", "malignant"], 20),
    ]
    training = _training(study, arms)
    figure, axis, *_ = _frame(study, boxes, training.height)
    _foot(axis, training)
    return figure


def vlm(study: Study, parameters: Sequence[Texts]) -> Figure:
    """Return Figure 4: a head is trained alone (LP), or with adapters in the decoder (FT) and parts of the vision side.

    `parameters` are the rows of `parameters.csv`.
    """
    arms = [arm for arm in study.arms if arm.is_vlm]
    models = {arm.model: arm.label for arm in arms}
    shapes = {model: _shape(study.models[model]) for model in models}
    towers = _per_model(models, lambda m: "{tower_layers} layers × {tower_width}, patch {patch}".format(**shapes[m]))
    merges = _per_model(models, lambda m: "{merge} × {merge} patches".format(**shapes[m]))
    tokens = _per_model(models, lambda m: shapes[m]["tokens"])
    decoder = _per_model(models, lambda m: "{layers} layers, hidden size {hidden}".format(**shapes[m]))
    readout = _per_model(models, lambda m: _READOUTS[study.models[m]["readout"]])
    boxes = [
        Box("Image", [f"dataset {study.dataset}", "H&E, RGB", "whole field of view"], 25),
        _input(study, models, 36),
        _vision(study, arms, Box("Vision tower", towers, 46, "frozen"), _tower),
        _vision(study, arms, Box("Connector", [*merges, "to one token"], 30, "frozen"), _connector),
        Box("Visual tokens", [*tokens, "between image", f"markers, {_text(study, arms)}"], 24),
    ]
    count = len({arm.trainable for arm in arms} - {"none"})
    width = (PAGE - 4 - 4 * (count - 1)) / count
    lanes: list[tuple[str, list[Box], Box]] = []
    for trainable, title in (("head", "Linear probing"), ("lora", "LoRA fine-tuning")):
        trained = [arm for arm in arms if arm.trainable == trainable]
        if not trained:
            continue
        stack = [Box("Language decoder", [*decoder, *(f"h: {line}" for line in readout)], width - 44, "frozen")]
        if trainable == "lora":
            stack.append(Box("LoRA adapters", _adapters(study, trained, parameters), width - 44, "trained"))
        sizes = dict.fromkeys(f"{arm.label}: {shapes[arm.model]['hidden']} to 1" for arm in trained)
        counts = _counts(trained, parameters, "trainable")
        modes = "/".join(dict.fromkeys(printed("mode", arm.mode) for arm in trained))
        head = Box("Head", [*sizes, "trainable in all:", *counts], 34, "trained")
        lanes.append((f"{title} ({modes})", stack, head))
    lane = max(max(_tall(stack), head.height) for _, stack, head in lanes) + 9
    training = _training(study, arms)
    figure, axis, middle, bottom = _frame(study, boxes, lane + 8 + training.height)
    upper = bottom - 9
    last, turn = PAGE - 2 - boxes[-1].width / 2, upper + 4.5
    path = [middle - boxes[-1].height / 2, turn, turn, turn]
    axis.plot([last, last, 2 + 6, 2 + 6], path, color="0.3", linewidth=0.8)
    for place, (title, stack, head) in enumerate(lanes):
        x = 2 + place * (width + 4)
        look = {"facecolor": "0.975", "edgecolor": "0.8", "linewidth": 0.6}
        axis.add_patch(_rounded(x, upper - lane, width, lane, 1.2, look))
        axis.text(x + width / 2, upper - 2, title, ha="center", va="top", weight="bold")
        tall = _tall(stack)
        centre = upper - 7 - max(tall, head.height) / 2
        y = centre + tall / 2
        _arrow(axis, (x + 6, turn), (x + 6, y))
        for box in stack:
            _draw(axis, box, x + 2, y - box.height / 2)
            y -= box.height + 1
        right = x + 2 + stack[0].width
        _arrow(axis, (right, centre), (x + width - 2 - head.width, centre))
        axis.text(right + 3, centre + 1, "h", style="italic", ha="center", size=SMALL)
        _draw(axis, head, x + width - 2 - head.width, centre)
    _foot(axis, training)
    return figure


def _text(study: Study, arms: Sequence[Arm]) -> str:
    """Return whether modes have text after the image."""
    prompted = [
        "prompt" in recipe or "prompts" in recipe for recipe in (study.recipes[arm.model][arm.mode] for arm in arms)
    ]
    return "then text" if all(prompted) else "then text in some modes" if any(prompted) else "no text"


_READOUTS = {
    "end_marker": "last position (without text the end-of-image marker)",
    "last_image_token": "last visual token",
    "mean": "mean over visual tokens",
}


def _shape(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of a vision-language model; the families name them differently, and what a config omits is `?`."""

    def size(part: Mapping[str, Any], *names: str) -> Any:
        return next((part[name] for name in names if name in part), "?")

    config = settings["config"]
    text, tower = config.get("text_config", config), config["vision_config"]
    patch, merge = size(tower, "patch_size"), size({**tower, **config}, "scale_factor", "spatial_merge_size")
    count = "?" if "?" in (patch, merge) else str((settings["image_size"] // patch // merge) ** 2)
    deepstack = len(tower.get("deepstack_visual_indexes", ()))
    return {
        "tower_layers": size(tower, "depth", "num_hidden_layers"),
        "tower_width": size(tower, "embed_dim", "hidden_size"),
        "patch": patch,
        "merge": merge,
        "tokens": f"{count}, with features of {deepstack} earlier layers" if deepstack else count,
        "layers": size(text, "num_hidden_layers"),
        "hidden": size(text, "hidden_size"),
    }


def _per_model(models: Mapping[str, str], text: Callable[[str], str]) -> list[str]:
    """Return a line for each model, or one for all where they agree."""
    texts = {model: text(model) for model in models}
    if len(set(texts.values())) == 1:
        return [next(iter(texts.values()))]
    return [f"{models[model]}: {text}" for model, text in texts.items()]


def _counts(arms: Sequence[Arm], parameters: Sequence[Texts], column: str) -> list[str]:
    """Return a line with the number of parameters of each arm."""
    numbers = {(row["model"], row["mode"]): int(row[column]) for row in parameters}
    return [f"{arm.name}: {numbers[arm.key]:,}" for arm in arms]


def _weights(weights: str | Mapping[str, Any]) -> str:
    known = {"imagenet": "pretrained on ImageNet", "random": "random weights"}
    return known[weights] if isinstance(weights, str) else f"weights {origin(weights)}"


def _input(study: Study, models: Mapping[str, str], width: float) -> Box:
    sizes = _per_model(models, lambda model: "squashed to {0} × {0} px".format(study.models[model]["image_size"]))
    lists = []
    for name, transforms in study.augmentations.items():
        kinds = ", ".join(kind for transform in transforms for kind in transform)
        lists.append(f"augmentation {name}: {kinds}" if kinds else f"augmentation {name}")
    return Box("Input", [*sizes, *lists, "normalised by the model's mean and deviation"], width)


def _tower(lora: Mapping[str, Any]) -> str:
    """Return what a mode trains of the vision tower; empty where that is nothing."""
    blocks = lora.get("vision_blocks")
    trained = ["adapters on its attention"] if lora["vision"] else []
    return " and ".join(trained + ([f"its last {blocks} block{'s' if blocks > 1 else ''}"] if blocks else []))


def _connector(lora: Mapping[str, Any]) -> str:
    """Return what a mode trains of the connector; empty where that is nothing."""
    return "all of it" if lora["connector"] else ""


def _vision(study: Study, arms: Sequence[Arm], frozen: Box, part: Callable[[Mapping[str, Any]], str]) -> Box:
    """Return the box of a part before the decoder, which names what is trained of it, and in which modes."""
    recipes = {arm: study.recipes[arm.model][arm.mode].get("lora") for arm in arms}
    texts = {arm: part(lora) if lora else "" for arm, lora in recipes.items()}
    found: dict[str, list[str]] = {}
    for arm, text in texts.items():
        alike = {texts[other] for other in arms if other.mode == arm.mode} == {text}
        found.setdefault(text, []).append(printed("mode", arm.mode) if alike else arm.name)
    if set(found) == {""}:
        return frozen
    lines = [f"{', '.join(dict.fromkeys(names))}: {text} trained" for text, names in found.items() if text]
    return Box(
        frozen.title, [*frozen.lines, *lines, *(["otherwise frozen"] if "" in found else [])], frozen.width, "trained"
    )


def _adapters(study: Study, arms: Sequence[Arm], parameters: Sequence[Texts]) -> list[str]:
    lines = []
    for arm in arms:
        lora = study.recipes[arm.model][arm.mode]["lora"]
        where = f"layers {', '.join(map(str, lora['layers']))}" if lora["layers"] else "every layer"
        text = [f"r {lora['rank']}, α {lora['alpha']}, dropout {lora['dropout']:g}"]
        text.append(f"on {', '.join(lora['projections'])} of {where}")
        lines.append(text)
    if all(line == lines[0] for line in lines):
        head = lines[0]
    else:
        head = [f"{arm.name}: {'; '.join(line)}" for arm, line in zip(arms, lines, strict=True)]
    return [*head, "parameters:", *_counts(arms, parameters, "lora")]


def _training(study: Study, arms: Sequence[Arm]) -> Box:
    """Return the box on training; it names every value where arms differ."""
    # Settings of epochs, where an arm has some.
    asked = ", ".join(dict.fromkeys(arm.mode for arm in arms if arm.trainable == "none"))
    arms = [arm for arm in arms if study.has_epochs(*arm.key)] or arms
    recipes = [study.recipes[arm.model][arm.mode] for arm in arms]

    def values(name: str) -> str:
        return " or ".join(dict.fromkeys(f"{recipe[name]:g}" for recipe in recipes))

    kinds = {split["by"]: f"folds by {split['by']}" for split in study.splits.values()} | {
        "official": "official hold-outs",
        "file": "given folds",
    }
    folds = "; ".join(dict.fromkeys(f"{split['folds']} {kinds[split['by']]}" for split in study.splits.values()))
    lines = (
        f"binary cross-entropy with logits; AdamW, learning rate {values('learning_rate')}, weight decay "
        f"{values('weight_decay')}, cosine annealing",
        f"batch {values('batch_size')}, {values('epochs')} epochs; evaluation: {folds}",
        *(
            [f"{asked}: nothing is trained, the language-model head compares words for the two classes"]
            if asked
            else []
        ),
    )
    return Box("Training", lines, PAGE - 4)


def _frame(study: Study, boxes: Sequence[Box], below: float) -> tuple[Figure, Axes, float, float]:
    """Return a figure with a row of boxes and arrows above `below` mm of space and the key.

    Returns:
        The figure, its axes in mm, and the middle and the lower end of the row.
    """
    top = max(box.height for box in boxes)
    height = top + below + 14
    figure = canvas(PAGE, height, study.notes)
    figure.set_layout_engine("none")
    total = figure.get_figheight() * 25.4
    axis = figure.add_axes((0, 1 - height / total, 1, height / total))
    axis.set(xlim=(0, PAGE), ylim=(0, height))
    axis.set_axis_off()
    x, y = 2.0, height - 2 - top / 2
    gap = (PAGE - 4 - sum(box.width for box in boxes)) / (len(boxes) - 1)
    for place, box in enumerate(boxes):
        if place:
            _arrow(axis, (x - gap, y), (x, y))
        _draw(axis, box, x, y)
        x += box.width + gap
    return figure, axis, y, y - top / 2


def _foot(axis: Axes, training: Box) -> None:
    """Draw the box on training and the key."""
    _draw(axis, training, 2, 8 + training.height / 2)
    for x, kind in ((2.0, "frozen"), (24.0, "trained")):
        axis.add_patch(_rounded(x, 2, 5, 2.2, 0.5, KINDS[kind]))
        axis.text(x + 6.5, 3, kind, size=TINY, va="center")


def _draw(axis: Axes, box: Box, x: float, y: float) -> None:
    """Draw a box; `x` is its left edge and `y` its middle."""
    axis.add_patch(_rounded(x, y - box.height / 2, box.width, box.height, 1, KINDS[box.kind]))
    top = y + box.height / 2 - PADDING
    axis.text(x + PADDING, top, box.title, weight="bold", va="top", gid="box title")
    for number, line in enumerate(box.wrapped):
        axis.text(x + PADDING, top - TITLE - LINE * number, line, size=SMALL, va="top", gid="box line")


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 6, "linewidth": 0.8, "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    axis.add_patch(FancyArrowPatch(start, end, **style))  # type: ignore[arg-type]


def _rounded(x: float, y: float, width: float, height: float, radius: float, look: Mapping[str, Any]) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **look)


def _tall(stack: Sequence[Box]) -> float:
    """Return the height of boxes that are stacked with gaps of 1 mm."""
    return sum(box.height for box in stack) + len(stack) - 1
