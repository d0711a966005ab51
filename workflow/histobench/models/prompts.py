"""Text of vision-language models: its token ids, and answers to prompts by the probabilities of words."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.models import text_tokens
from histobench.models.vlm import VisionLanguageClassifier
from histobench.models.vlm_architecture import Architecture

HEAD = "lm_head.weight"
"""Name of the language-model head (V, D) in its file."""


def token_ids(made: Architecture, texts: Iterable[str], tokenizer: Path | None) -> list[list[int]]:
    """Return the ids of the tokens of each text, by the published tokenizer.json and without tokens that it adds by itself.

    A model with random weights has no `tokenizer`: a token is then a byte of UTF-8, modulo the size of the vocabulary without
    the image markers.

    Raises:
        HistoBenchError: the tokenizer cannot be read, or a text is nothing to it, holds an image marker or a token without an
            embedding.
    """
    size, markers = made.config.text_config.vocab_size, made.family.marker_ids(made.config)
    if tokenizer is None:
        return text_tokens.of_bytes(texts, size, markers)
    found = text_tokens.by_tokenizer(texts, size, tokenizer)
    for text, ids in zip(texts, found, strict=True):
        if markers[1] in ids:
            raise HistoBenchError(
                f"the text {text!r:.200} holds an image marker, which stands before it already; leave it out of the mode's text"
            )
    return found


def language_head(made: Architecture, file: Path | None, seed: int) -> torch.Tensor:
    """Return the language-model head (V, D) in float32: from its `file`, or random for a model with random weights.

    Raises:
        HistoBenchError: the file is damaged or another model's.
    """
    shape = (made.config.text_config.vocab_size, made.config.text_config.hidden_size)
    if file is None:
        return 0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    from histobench.io.state_dicts import read, require_shapes, shapes

    state = read(file)
    require_shapes(shapes(state), {HEAD: shape}, f"{file}: the parameters", "delete the file to have it made again")
    return state[HEAD].float()


class ZeroShotClassifier(nn.Module):
    """A vision-language model that was not trained, asked by several prompts: images or visual tokens to a logit for each."""

    def __init__(
        self,
        classifier: VisionLanguageClassifier,
        head: torch.Tensor,
        prompts: Sequence[Sequence[int]],
        malignant: Sequence[Sequence[int]],
        benign: Sequence[Sequence[int]],
    ):
        """Prompts and words are ids; `classifier` was built with all of them, one after another, as its text.

        `head` is the language-model head (V, D).
        """
        super().__init__()
        classifier.head = nn.Identity()  # type: ignore[assignment]  # the linear one is of no use
        self.classifier = classifier.requires_grad_(False)
        self.language_head = nn.Parameter(head, requires_grad=False)
        self.prompts, self.words, self.malignant = prompts, [*malignant, *benign], len(malignant)
        flat = [token for text in (*prompts, *self.words) for token in text]
        self.rows = {token: 2 + number for number, token in enumerate(flat)}

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return (N, P) float32 of images or visual tokens, as the classifier takes them: for each prompt log p(malignant) -
        log p(benign), where p of a class is the sum of the probabilities of its words."""
        if batch.dtype == torch.uint8:
            batch = self.classifier.tokens(batch)
        logits = []
        for prompt in self.prompts:
            words = self.log_probabilities(batch, prompt)
            malignant, benign = words[:, : self.malignant], words[:, self.malignant :]
            logits.append(malignant.logsumexp(1) - benign.logsumexp(1))
        return torch.stack(logits, dim=1)

    def log_probabilities(self, batch: torch.Tensor, prompt: Sequence[int]) -> torch.Tensor:
        """Return (N, W) float32: log p of each word after a prompt, the sum of log p of its tokens, each after those before."""
        found = torch.empty(len(batch), len(self.words), device=batch.device)
        for before in dict.fromkeys(tuple(word[:-1]) for word in self.words):
            text = self.classifier.markers[[self.rows[token] for token in (*prompt, *before)]]
            hidden = self.classifier.hidden(batch, text)[:, -1 - len(before) :]
            with torch.autocast(batch.device.type, enabled=False):
                log_p = (hidden.float() @ self.language_head.T).log_softmax(-1)
            for number, word in enumerate(self.words):
                if tuple(word[:-1]) == before:
                    found[:, number] = sum(log_p[:, place, token] for place, token in enumerate(word))
        return found
