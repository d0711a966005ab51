"""Fingerprints of the code that a rule runs, which the workflow tracks: changed code repeats the steps that use it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from histobench.io.fingerprint import fingerprint
from histobench.study.config import Config
from histobench.study.spec import family_module, is_vlm

SCRIPTS = Path(__file__).parents[3] / "scripts"


@cache
def script_code(script: str, families: Sequence[str] = ("cnn",)) -> str:
    """Return the fingerprint of a script, counting only the model code of `families` (`cnn`, `encoder` or vision-language).

    The code that downloads is left out: what is downloaded is checked by its hash.
    """
    vlms = sorted(filter(is_vlm, set(families)))
    without = ["histobench.fetch.http"]
    without += (
        [] if {"cnn", "encoder"} & set(families) else ["histobench.models.cnn", "histobench.models.partial_training"]
    )
    without += [] if "encoder" in families else ["histobench.models.encoder", "histobench.models.text_embeddings"]
    without += [] if vlms else ["histobench.models.vlm", "histobench.models.prompts"]
    also = [family_module(name) for name in vlms]
    return fingerprint(SCRIPTS / f"{script}.py", without, also)


def model_code(config: Config, script: str, model: str) -> str:
    """Return the fingerprint of a script that computes with a model."""
    return script_code(script, (config.models[model].family,))


def training_code(config: Config, model: str, mode: str) -> str:
    """Return the fingerprint of the code that trains a model in a mode.

    A linear head is trained without its model's code. LoRA also depends on the code that makes visual tokens: these are
    temporary files, so they cannot be compared.
    """
    trainable = config.recipe(model, mode).trainable
    if trainable == "head":
        return script_code("train", ())
    from_tokens = trainable in ("lora", "none") and not config.from_embeddings(model, mode)
    return model_code(config, "train", model) + (model_code(config, "features", model) if from_tokens else "")
