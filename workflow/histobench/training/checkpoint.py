"""What a stopped run needs to continue: from its last checkpoint or, if it was asked to end, from its last step."""

import logging
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, remove_temporaries
from histobench.io.state_dicts import shapes, trained_state
from histobench.training.adamw import AdamW

log = logging.getLogger(__name__)


class Checkpoint:
    """A checkpoint file of one run, which a thread writes while training continues.

    Args:
        path: the file.
        identity: everything that decides the run's result, by name (specification, images, code); a checkpoint in which any
            of it differs is ignored.
        interval: seconds between the beginnings of two checkpoints, at least; the first interval begins now.
        clock: returns the time in seconds.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, str], interval: float = 30, clock: Callable[[], float] = time.monotonic
    ):
        self.path = path
        self.identity = dict(identity)
        self.interval = interval
        self._clock = clock
        self._begun = clock()
        self._writing: Future[None] | None = None

    def is_due(self) -> bool:
        """Return whether the interval has passed and no checkpoint is being written, so that `save` need not wait."""
        return self._clock() - self._begun >= self.interval and (self._writing is None or self._writing.done())

    def save(self, module: nn.Module, optimizer: AdamW, progress: Mapping[str, Any]) -> None:
        """Write atomically what training changes in `module`, the optimizer, and `progress` (tensors, plain values).

        The state is copied now and written in a thread, since gigabytes can take longer than an epoch on a GPU. A checkpoint
        that is still being written is waited for first. If writing fails for want of space or permission, the earlier
        checkpoint stays and the log says so.
        """
        self.close()
        self._begun = self._clock()
        content = {
            "identity": self.identity,
            "module": trained_state(module),
            "optimizer": optimizer.state_dict(),
            "progress": dict(progress),
        }
        thread = ThreadPoolExecutor(1)
        self._writing = thread.submit(self._write, _copied(content))
        thread.shutdown(wait=False)

    def close(self) -> None:
        """Wait until the last checkpoint is on disk; raise what went wrong."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _write(self, content: dict[str, Any]) -> None:
        try:
            with atomic_path(self.path) as temporary:
                torch.save(content, temporary)
        except HistoBenchError as error:
            log.warning("no new checkpoint: %s", error)

    def load(self, module: nn.Module, optimizer: AdamW) -> dict[str, Any] | None:
        """Put a saved state into `module` and `optimizer` and return the progress; None if there is nothing to use.

        A checkpoint that is damaged, or belongs to another run, is ignored with one line in the log.
        """
        remove_temporaries(self.path)
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                if (member := archive.testzip()) is not None:  # torch.load does not verify checksums
                    raise ValueError(f"wrong checksum of {member}")
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            found, state = content["identity"], content["module"]
            differing = [name for name in self.identity if found.get(name) != self.identity[name]]
            if differing:
                log.warning("%s is ignored: it belongs to another %s", self.path, " and ".join(differing))
                return None
            if shapes(state) != shapes(trained_state(module)):
                raise ValueError("its parameters are not the model's")
            optimizer.load_state_dict(content["optimizer"])
            module.load_state_dict(state, strict=False)
            return content["progress"]
        except Exception as error:  # a damaged file can raise anything; the run then starts from the beginning
            reason = " ".join(str(error).split())[:80]
            log.warning("%s is ignored: it cannot be used (%s: %s)", self.path, type(error).__name__, reason)
            return None

    def remove(self) -> None:
        """Delete the checkpoint, if there is one; call `close` before."""
        self.path.unlink(missing_ok=True)


def _copied(value: Any) -> Any:
    """Return a copy of nested mappings and lists, with all tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return torch.empty_like(value, device="cpu").copy_(value)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def random_state(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the generators that dropout draws from: the CPU's and, if it is another, the device's."""
    own = [] if device.type == "cpu" else [torch.get_device_module(device).get_rng_state()]
    return [torch.get_rng_state(), *own]


def set_random_state(states: list[torch.Tensor] | None, device: torch.device) -> None:
    """Put back what :func:`random_state` returned; None, or the state of another kind of device, changes nothing."""
    if states and len(states) == (1 if device.type == "cpu" else 2):
        torch.set_rng_state(states[0])
        for state in states[1:]:
            torch.get_device_module(device).set_rng_state(state)
