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
        HistoBenchError: the weights are not those of the model, or a caption cannot be read, see :func:`caption_ids`.
    """
    config = encoder.stored(weights)[0] if weights else settings.config or {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs as well
        tower = text_tower(settings, config, empty=weights is not None)
    if weights:
        encoder.fill(tower, read(weights), f"{weights}: the weights", "delete the file to have it made again")
    tower.eval()
    classes = []
    with torch.no_grad():
        for words in (answers.malignant, answers.benign):
            captions = [prompt + word for prompt in prompts for word in words]
            ids = caption_ids(tower.config, captions, tokenizer)
            # One by one, they need no padding.
            embeddings = torch.cat([tower(input_ids=torch.tensor([one])).text_embeds for one in ids])
            means = normalize(embeddings).unflatten(0, (len(prompts), len(words))).mean(dim=1)
            classes.append(normalize(means))
        return CaptionClassifier(*classes, scale=tower.logit_scale.exp())


def text_tower(settings: EncoderSettings, config: Mapping[str, Any], empty: bool = False) -> Any:
    """Return CLIP's text tower with projection, and the logit scale; if `empty`, their parameters are on the meta device.

    Raises:
        HistoBenchError: as :func:`histobench.models.encoder.network`, or the config's tokens are not those of its vocabulary.
    """
    tower = encoder.network(settings, config, empty, "text")
    size, *ends = tower.config.vocab_size, tower.config.bos_token_id, tower.config.eos_token_id
    if not all(token in range(size) for token in ends):
        raise HistoBenchError(
            f"the config's text_config has {ends} as bos_token_id and eos_token_id, expected tokens of its vocabulary ({size}); "
            "correct the token ids"
        )
    tower.register_parameter(SCALE, nn.Parameter(torch.tensor(float(config.get("logit_scale_init_value", 2.6592)))))
    return tower


def caption_ids(config: Any, captions: Sequence[str], tokenizer: Path | None) -> list[list[int]]:
    """Return the ids of the tokens of each caption, with those that begin and end it, by the published tokenizer.json.

    `config` is the text tower's. A model with random weights has no `tokenizer`: its tokens are bytes, see
    :func:`histobench.models.text_tokens.of_bytes`.

    Raises:
        HistoBenchError: the tokenizer cannot be read; a caption is too long, has tokens that the model does not know, or would
            not be read out at its end.
    """
    size, start, end = config.vocab_size, config.bos_token_id, config.eos_token_id
    if tokenizer is None:
        found = [[start, *ids, end] for ids in text_tokens.of_bytes(captions, size, (start, end))]
    else:
        found = text_tokens.by_tokenizer(captions, size, tokenizer, special=True)
    for caption, ids in zip(captions, found, strict=True):
        if len(ids) > config.max_position_embeddings:
            raise HistoBenchError(
                f"the caption {caption!r} has {len(ids)} tokens, more than the {config.max_position_embeddings} that the model reads; "
                "shorten the prompt or the answer"
            )
        # Older configs give 2 as the end token, and transformers then reads out at the highest token.
        last = max(ids) if end == 2 else end
        if ids[-1] != last or last in ids[:-1]:
            raise HistoBenchError(
                f"the caption {caption!r} has the token {last}, where the model reads it out, not just at its end; leave it out of the "
                "caption, or choose another revision or folder"
            )
    return found
