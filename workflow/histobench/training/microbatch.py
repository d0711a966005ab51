"""How many images go through the module at once: decides the memory used; results differ only by rounding and dropout."""

import logging
from collections.abc import Callable

import torch

from histobench.io.errors import HistoBenchError

log = logging.getLogger(__name__)


class MicroBatch:
    """The size in which logical batches are cut; halved when the memory of the GPU runs out."""

    def __init__(self, wanted: int | None, logical: int, whole: bool):
        """Start with `wanted` images, by default and at most a logical batch; exactly one if it must stay `whole`."""
        self.size = min(wanted or logical, logical)
        self.whole = whole
        if whole and self.size < logical:
            log.warning("micro-batch %d is not used: batch normalisation needs the %d images together", wanted, logical)
            self.size = logical

    def retry(self, work: Callable[[int], torch.Tensor], forget: Callable[[], None]) -> torch.Tensor:
        """Return `work(size)`; after running out of memory, `forget()` what it left and try again with half the size.

        Raises:
            HistoBenchError: a smaller size is not possible.
        """
        while True:
            try:
                return work(self.size)
            except torch.OutOfMemoryError as error:
                if self.whole or self.size == 1:
                    reason = "batch normalisation needs its images together" if self.whole else "it is a single image"
                    raise HistoBenchError(
                        f"the GPU's memory does not hold a batch of {self.size}, which cannot be cut because {reason}; end "
                        "other processes on the GPU, lower `gpu_slots`, or choose a smaller batch_size or image_size"
                    ) from error
            # Only here does the exception no longer refer to the failed pass, so that its memory can be freed.
            forget()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.size = (self.size + 1) // 2
            log.warning("the GPU's memory ran out: continuing with a micro-batch of %d", self.size)
