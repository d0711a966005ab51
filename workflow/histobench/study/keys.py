"""Keys of results: short hashes of the settings behind the names in a path of :mod:`histobench.study.paths`."""

from typing import TYPE_CHECKING, Any

from histobench.study import paths, prompt_text
from histobench.study.values import canonical_json

if TYPE_CHECKING:
    from histobench.study.config import Config

NAMES = {
    "data_key": ("dataset",),
    "on_key": ("on",),
    "scale_key": ("on", "dataset", "scale"),
    "split_key": ("split",),
    "weights_key": ("model",),
    "feature_key": ("model", "augmentation", "prompt"),
    "run_key": ("model", "mode", "split", "augmentation", "dataset", "magnification"),
}
"""The wildcard of each key, and the names whose settings it is the hash of."""
NOT_IMAGES = {"url", "mirrors", "licence", "citation", "sha256", "microns_per_pixel"}
"""Settings of a dataset that do not decide which images it has."""
NOT_WEIGHTS = {"image_size", "mean", "std", "readout", "pooling"}
"""Settings of a model that do not decide its parameters before training."""


def key(config: "Config", wildcard: str, *names: str) -> str:
    """Return the key of the names that `wildcard` has in :data:`NAMES`."""
    return paths.key(canonical_json(_settings(config, wildcard, *names)))


def weights_settings(config: "Config", model: str) -> dict[str, Any]:
    """Return what decides a model's parameters before training."""
    return of_weights(config.models[model].settings)


def of_weights(settings: Any) -> dict[str, Any]:
    """Return the part of a model's settings that decides its parameters before training."""
    return settings.model_dump(mode="json", exclude=NOT_WEIGHTS)


def _settings(config: "Config", wildcard: str, *names: Any) -> Any:
    match wildcard, names:
        case "data_key" | "on_key", (dataset,):
            return config.datasets[dataset].model_dump(mode="json", exclude=NOT_IMAGES)
        case "scale_key", (on, dataset, scale):
            pair = [config.datasets[on].microns_per_pixel, config.datasets[dataset].microns_per_pixel]
            return [scale, pair if scale == "matched" else []]
        case "split_key", (split,):
            return config.splits[split].model_dump(mode="json")
        case "weights_key", (model,):
            return weights_settings(config, model)
        case "feature_key", (model, augmentation, prompt):
            settings = config.models[model].settings.model_dump(mode="json")
            return [settings, config.augmentations[augmentation], *([prompt] if prompt else [])]
        case _, (model, mode, split, augmentation, dataset, magnification):
            # Dataset and magnification stand in the path: here they matter only where a prompt names what they decide.
            recipe = prompt_text.resolve(config.recipe(model, mode), config.datasets[dataset], int(magnification))
            recipe = recipe.model_dump(mode="json")
            parts = _settings(config, "feature_key", model, augmentation, None), _settings(config, "split_key", split)
            return [*parts, recipe, *([config.classes] if config.classes else [])]
