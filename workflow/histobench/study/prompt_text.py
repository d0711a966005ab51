"""What stands in the place of a prompt's placeholders, and the prompts that stored embeddings are computed with."""

from string import Formatter
from typing import TYPE_CHECKING

from histobench.study.recipes import Recipe
from histobench.study.values import distinct

if TYPE_CHECKING:
    from histobench.study.config import Config
    from histobench.study.dataset_settings import Dataset

STAIN = "haematoxylin and eosin"
"""The stain of every dataset that is known here."""


def resolve(recipe: Recipe, dataset: "Dataset", magnification: int) -> Recipe:
    """Return a recipe whose texts are those for images of a dataset at a magnification.

    Raises:
        ValueError: a text names the magnification or the size of a pixel, which is not known, or two texts become the same.
    """
    known = {"stain": STAIN, "magnification": str(magnification or "")}
    known["microns"] = f"{microns:g}" if (microns := dataset.microns_per_pixel.get(magnification)) else ""  # type: ignore[union-attr]
    texts = [recipe.prompt] if recipe.prompt else recipe.prompts or []
    used = {name for text in texts for _, name, _, _ in Formatter().parse(text)}
    for name, value in known.items():
        if not value and name in used:
            what = f"microns_per_pixel of the dataset at {magnification}x" if name == "microns" else "a magnification"
            raise ValueError(f"{{{name}}} needs {what}, which is not known; give it, or leave {{{name}}} out")
    filled = distinct([text.format(**known) for text in texts])
    return recipe.model_copy(update={"prompt": filled[0]} if recipe.prompt else {"prompts": filled} if filled else {})


def of_embeddings(config: "Config") -> dict[str, str]:
    """Return the text that embeddings are computed with by the key in their path; those without text are left out."""
    found = {}
    for run in config.runs:
        prompt = config.specification(run).recipe.prompt
        if prompt and config.recipe(run.model, run.mode).trainable == "head":
            for augmentation in (run.augmentation, config.unaugmented):
                found[config.key("feature_key", run.model, augmentation, prompt)] = prompt
    return found
