"""Text as the ids of its tokens: by a published tokenizer.json or, for models with random weights, by bytes."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from histobench.io.errors import HistoBenchError


def of_bytes(texts: Iterable[str], size: int, reserved: Collection[int]) -> list[list[int]]:
    """Return the bytes of UTF-8 of each text, modulo the `size` of a vocabulary without the `reserved` ids."""
    free = [token for token in range(size) if token not in reserved]
    return [[free[byte % len(free)] for byte in text.encode()] for text in texts]


def by_tokenizer(texts: Iterable[str], size: int, tokenizer: Path, special: bool = False) -> list[list[int]]:
    """Return the ids of all tokens of each text by a published tokenizer.json, with those that it adds by itself if `special`.

    Raises:
        HistoBenchError: the tokenizer cannot be read, or a text is nothing to it or has a token beyond the vocabulary's `size`.
    """
    from tokenizers import Tokenizer

    try:
        known = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # it raises nothing more special
        raise HistoBenchError(f"{tokenizer}: is no tokenizer ({error}); delete it to have it fetched again") from error
    known.no_truncation()  # the file may ask for both
    known.no_padding()
    found = []
    for text in texts:
        ids = known.encode(text, add_special_tokens=special).ids
        if not ids or max(ids) >= size:
            raise HistoBenchError(
                f"the text {text!r:.200} has no tokens that the model knows; write another one in the mode"
            )
        found.append(ids)
    return found


def require_different(texts: Sequence[Sequence[str]], ids: Sequence[Sequence[list[int]]]) -> None:
    """Require that no text of malignant, the first of `texts` and `ids`, has the tokens of one of benign, the second.

    Raises:
        HistoBenchError: two have the same, such as texts that differ in case alone to a tokenizer that ignores it.
    """
    for malignant, one in zip(texts[0], ids[0], strict=True):
        for benign, other in zip(texts[1], ids[1], strict=True):
            if one == other:
                raise HistoBenchError(
                    f"{malignant!r:.200} of malignant and {benign!r:.200} of benign have the same tokens; change one of the answers"
                )
