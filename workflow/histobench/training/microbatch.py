"""How many images go through the module at once: as many as the memory of the GPU holds.

The size changes results by rounding and, with dropout, by the units that are dropped: each cut of a batch draws other masks.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.study import paths
from histobench.study.spec import RunSpec
from histobench.study.values import canonical_json
from histobench.training import device as devices
from histobench.training.checkpoint import random_state, set_random_state

log = logging.getLogger(__name__)


class FoundSize:
    """The size that a job found when it ran out of memory: later jobs like it need not run out of it, too.

    Jobs are alike if model, trained part, logical batch, kind of input and device are the same. A small JSON file in `folder`
    has the size, and how much memory there was for it.
    """

    def __init__(self, folder: Path, spec: RunSpec, how: Mapping[str, bool], device: torch.device):
        """Of a run; `how` holds what else decides the memory that it needs, by name."""
        recipe = spec.recipe.model_dump(mode="json", include={"trainable", "lora", "batch_size", "prompt"})
        own = {"model": spec.model.model_dump(mode="json"), "device": devices.describe(device)}
        self.job: dict[str, Any] = recipe | own | dict(how)
        self.device = device
        self.path = folder / f"{paths.key(canonical_json(self.job))}.json"

    def load(self) -> int | None:
        """Return the size; None if none was found, or with clearly less memory than there is now.

        A damaged file is ignored with one line in the log.
        """
        if not self.path.exists():
            return None
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            size, memory = int(found["micro_batch"]), int(found["memory"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is ignored: %s: %s", self.path, type(error).__name__, error)
            return None
        # A job that has begun to compute has loaded kernels: these take less than a tenth of a GPU.
        return size if (devices.free_memory(self.device) or 0) <= 1.1 * memory else None

    def save(self, size: int, memory: int) -> None:
        """Write the size, and how many bytes there were when twice as many images did not fit."""
        try:
            with atomic_path(self.path) as temporary:
                text = json.dumps({"micro_batch": size, "memory": memory, "job": self.job}, indent=2)
                temporary.write_text(text + "\n", encoding="utf-8")
        except (HistoBenchError, OSError) as error:  # jobs on other nodes may write it at the same time
            log.warning("the micro-batch is not recorded: %s", error)


class MicroBatch:
    """The size in which batches are cut; halved when the memory of the GPU runs out."""

    def __init__(
        self,
        wanted: int | None,
        logical: int,
        device: torch.device,
        whole: bool = False,
        found: FoundSize | None = None,
        resumed: int | None = None,
    ):
        """Start with the `resumed` size or, without one, with the `logical` batch, but at most `wanted` or `found` images.

        A batch that must stay `whole` is never cut.
        """
        self.size = min(wanted or logical, logical)
        self.device, self.whole, self.found = device, whole, found
        if whole and self.size < logical:
            log.warning("micro-batch %d is not used: batch normalisation needs the %d images together", wanted, logical)
            self.size = logical
        elif resumed:
            self.size = resumed
        elif not whole and found and (size := found.load()) and size < self.size:
            log.info("starting with a micro-batch of %d, which an earlier job found (%s)", size, found.path)
            self.size = size

    def retry(self, work: Callable[[int], torch.Tensor], forget: Callable[[], None] = lambda: None) -> torch.Tensor:
        """Return `work(size)`; after running out of memory, try again with half the size.

        Before each new try `forget()` undoes what the failed one left, and random numbers go on from where it began: the
        result is that of a first try with this size.

        Raises:
            HistoBenchError: a smaller size is not possible.
        """
        before, memory = random_state(self.device), None
        while True:
            try:
                result = work(self.size)
            except RuntimeError as error:
                if not devices.is_out_of_memory(error):
                    raise
                memory = devices.free_memory(self.device)  # now: other jobs may end before the next try
                if self.whole or self.size == 1:
                    reason = "batch normalisation needs its images together" if self.whole else "it is a single image"
                    what = f"a batch of {self.size}, which cannot be cut because {reason}"
                    raise devices.memory_error(what, error) from error
            else:
                if memory and self.found:
                    self.found.save(self.size, memory)
                return result
            # Only here does the exception no longer refer to the failed pass, so that its memory can be freed.
            forget()
            set_random_state(before, self.device)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.size = (self.size + 1) // 2
            log.warning("the GPU's memory ran out: continuing with a micro-batch of %d", self.size)
