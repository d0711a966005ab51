"""Embeddings of a frozen backbone: what a linear probe is trained on."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from histobench.models.cnn import Classifier


@torch.inference_mode()
def embeddings(classifier: Classifier, batches: Iterable[torch.Tensor]) -> Iterator[np.ndarray]:
    """Yield the embeddings, (N, D) float32, of each batch of images (N, H, W, 3) uint8 on the classifier's device.

    The classifier is put into evaluation mode: no dropout, and batch normalisation by its stored statistics.
    """
    classifier.eval()
    for batch in batches:
        yield classifier.embed(batch).cpu().numpy()
