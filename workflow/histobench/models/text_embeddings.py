"""Zero-shot classification by a CLIP: embeddings of images compared with those of captions, as Radford et al. (ICML 2021) do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import read
from histobench.models import encoder, text_tokens
from histobench.study.recipes import Answers
from histobench.study.spec import EncoderSettings

SCALE = "logit_scale"
"""Name of the logarithm of CLIP's inverse temperature, a parameter beside its towers; here it is one of the text tower."""


class CaptionClassifier(nn.Module):
    """Embeddings of images to a logit for each prompt: what their cosines to the two classes differ by, times a scale."""

    directions: torch.Tensor

    def __init__(self, malignant: torch.Tensor, benign: torch.Tensor, scale: torch.Tensor):
        """Keep embeddings of length 1 of the classes under each prompt (P, D), and the scale."""
        super().__init__()
        self.register_buffer("directions", scale * (malignant - benign))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return (B, P) float32 of embeddings (B, D): the logit of malignant in the softmax over both classes."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return normalize(embeddings.float()) @ self.directions.T


def build(
    settings: EncoderSettings,
    prompts: Sequence[str],
    answers: Answers,
    seed: int,
    weights: Path | None,
    tokenizer: Path | None,
) -> CaptionClassifier:
    """Return a classifier of a CLIP's embeddings by captions, each a prompt and an answer; no random state of the caller changes.

    The embedding of a class under a prompt is the mean of those of its captions, each of length 1, made of length 1 again.
    `weights` were written by :func:`histobench.training.pretrained_encoder.convert_text_tower`; where there are none, the text tower is
    random by the `seed`, and `tokenizer` is None.

    Raises:
        HistoBenchError: the weights are not those of the model, a caption cannot be read, see :func:`caption_ids`, or captions of both
            classes have the same tokens.
    """
    config = encoder.stored(weights)[0] if weights else settings.config or {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs as well
        tower = text_tower(settings, config, empty=weights is not None)
    if weights:
        encoder.fill(tower, read(weights), f"{weights}: the weights", "delete the file to have it made again")
    tower.eval()
    captions = [
        [prompt + word for prompt in prompts for word in words] for words in (answers.malignant, answers.benign)
    ]
    ids = [caption_ids(tower.config, some, tokenizer) for some in captions]
    text_tokens.require_different(captions, ids)
    classes = []
    with torch.no_grad():
        for some in ids:
            # One by one, they need no padding.
            embeddings = torch.cat([tower(input_ids=torch.tensor([one])).text_embeds for one in some])
            classes.append(normalize(normalize(embeddings).unflatten(0, (len(prompts), -1)).mean(dim=1)))
        return CaptionClassifier(*classes, scale=tower.logit_scale.exp())


def text_tower(settings: EncoderSettings, config: Mapping[str, Any], empty: bool = False) -> Any:
    """Return CLIP's text tower with projection, and the logit scale; if `empty`, their parameters are on the meta device.

    Raises:
        HistoBenchError: as :func:`histobench.models.encoder.network`, or the config's tokens are not those of its vocabulary, or its logit scale is no number.
    """
    tower = encoder.network(settings, config, empty, "text")
    size, *ends = tower.config.vocab_size, tower.config.bos_token_id, tower.config.eos_token_id
    if not all(token in range(size) for token in ends) or ends[0] == ends[1] or size < 3:
        raise HistoBenchError(
            f"the config's text_config has {ends} as bos_token_id and eos_token_id, expected two different tokens of a "
            f"vocabulary with others (its vocab_size is {size}); correct the token ids"
        )
    scale = config.get(f"{SCALE}_init_value", 2.6592)
    if type(scale) not in (int, float):
        raise HistoBenchError(
            f"the config has {scale!r:.100} as {SCALE}_init_value, expected a number; correct it, or choose another model"
        )
    tower.register_parameter(SCALE, nn.Parameter(torch.tensor(float(scale))))
    return tower


def caption_ids(config: Any, captions: Sequence[str], tokenizer: Path | None) -> list[list[int]]:
    """Return the ids of the tokens of each caption, with those that begin and end it, by the published tokenizer.json.

    `config` is the text tower's. A model with random weights has no `tokenizer`: its tokens are bytes, see
    :func:`histobench.models.text_tokens.of_bytes`.

    Raises:
        HistoBenchError: the tokenizer cannot be read, or does not add the two tokens; a caption is too long, has none or unknown tokens,
            or would not be read out at its end.
    """
    size, start, end = config.vocab_size, config.bos_token_id, config.eos_token_id
    if tokenizer is None:
        found = [[start, *ids, end] for ids in text_tokens.of_bytes(captions, size, (start, end))]
    else:
        found = text_tokens.by_tokenizer(captions, size, tokenizer, special=True)
        plain = text_tokens.by_tokenizer(captions, size, tokenizer)
        if [ids[1:-1] for ids in found] != plain:
            raise HistoBenchError(
                f"{tokenizer}: does not put one token before and one after a caption, as CLIP's tokenizer does; choose another revision or folder"
            )
    for caption, ids in zip(captions, found, strict=True):
        if len(ids) > config.max_position_embeddings:
            raise HistoBenchError(
                f"the caption {caption!r:.200} has {len(ids)} tokens, more than the {config.max_position_embeddings} that the model reads; "
                "shorten the prompt or the answer"
            )
        # Older configs give 2 as the end token, and transformers then reads out at the highest token.
        last = max(ids) if end == 2 else end
        if ids[-1] != last:
            raise HistoBenchError(
                f"the caption {caption!r:.200} ends with the token {ids[-1]}, but the model reads it out at the token {last}; choose another "
                "revision or folder, or correct eos_token_id of the config"
            )
        if last in ids[:-1]:
            raise HistoBenchError(
                f"the caption {caption!r:.200} has the token {last}, at which the model reads it out, before its end too; leave it out"
            )
    return found
