"""What a stopped run needs to go on: from its last finished epoch or, if it was asked to end, from its last step."""

import logging
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.io.state_dicts import trained_state

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file and the run it serves."""

    path: Path
    identity: Mapping[str, str]
    """Everything that decides the run's result, by name (specification, images, code, ...). A checkpoint in which any
    of it differs is ignored."""
    _writing: "_Writing" = field(default_factory=lambda: _Writing(), init=False, repr=False, compare=False)

    def save(self, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any]) -> None:
        """Write atomically what training changes in `module`, the optimizer, and `progress` (tensors, plain values).

        Where that fails for want of space or permission, the earlier checkpoint stays and the log says so: a run that
        is going well should not end for it.
        """
        self._writing.wait()
        self._write(self._content(module, optimizer, progress))

    def save_meanwhile(self, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any]) -> None:
        """Do the same in a thread, from a copy, while training goes on: gigabytes can take longer than an epoch on a GPU.

        The one before is awaited first, so that never more than one finished epoch is not on disk: a process killed at
        any moment loses the time of an epoch and of writing a checkpoint at most, as if it had waited here. What else goes
        wrong is raised by the next call, or by `close`.
        """
        self._writing.start(self._write, self._content(module, optimizer, progress))

    def close(self) -> None:
        """Wait until what `save_meanwhile` began is on disk."""
        self._writing.wait()

    def _content(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "identity": dict(self.identity),  # plain texts: of other types torch.load accepts only tensors
            "module": trained_state(module),
            "optimizer": optimizer.state_dict(),
            "progress": dict(progress),
        }

    def _write(self, content: dict[str, Any]) -> None:
        try:
            with atomic_path(self.path) as temporary:
                torch.save(content, temporary)
        except HistoBenchError as error:
            log.warning("no new checkpoint: %s", error)

    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Put a saved state into `module` and `optimizer` and return the progress; None where there is nothing to use.

        A checkpoint that is damaged, or belongs to another run, costs one line in the log and is ignored.
        """
        for partial in self.path.parent.glob(f".{self.path.name}.*.partial"):
            partial.unlink(missing_ok=True)  # left by a run that was killed while it wrote
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
            if _shapes(state) != _shapes(trained_state(module)):
                raise ValueError("its parameters are not the model's")
            optimizer.load_state_dict(content["optimizer"])
            module.load_state_dict(state, strict=False)
            return content["progress"]
        except Exception as error:  # whatever a damaged file raises, training afresh is the remedy
            reason = " ".join(str(error).split())[:80]
            log.warning("%s is ignored: it cannot be used (%s: %s)", self.path, type(error).__name__, reason)
            return None

    def remove(self) -> None:
        """Delete the checkpoint, if there is one; call `close` before."""
        with suppress(FileNotFoundError):
            self.path.unlink()


class _Writing:
    """A file that is being written by a thread from a copy of the training's state, at most one at a time."""

    def __init__(self) -> None:
        self._copy: Any = None
        self._future: Future[None] | None = None

    def start(self, write: Callable[[Any], None], content: Mapping[str, Any]) -> None:
        """Copy `content`, when the one before is written, and write the copy in a thread."""
        self.wait()
        self._copy = _copied(content, self._copy)
        thread = ThreadPoolExecutor(1)
        self._future = thread.submit(write, self._copy)
        thread.shutdown(wait=False)

    def wait(self) -> None:
        """Wait for the thread, and raise what it has raised."""
        future, self._future = self._future, None
        if future:
            future.result()


def _copied(value: Any, into: Any) -> Any:
    """Return a copy of nested mappings and lists with all tensors on the CPU, in the memory of a former copy if it fits."""
    if isinstance(value, torch.Tensor):
        same = isinstance(into, torch.Tensor) and into.shape == value.shape and into.dtype == value.dtype
        return (into if same else torch.empty_like(value, device="cpu")).copy_(value)
    if isinstance(value, Mapping):
        return {key: _copied(item, into.get(key) if isinstance(into, Mapping) else None) for key, item in value.items()}
    if isinstance(value, list):
        former = into if isinstance(into, list) and len(into) == len(value) else [None] * len(value)
        return [_copied(*pair) for pair in zip(value, former, strict=True)]
    return value


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def random_state(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the generators that dropout draws from: the CPU's and, if it is another, the device's."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def set_random_state(states: list[torch.Tensor] | None, device: torch.device) -> None:
    """Put back what :func:`random_state` returned; None, or the state of another kind of device, changes nothing."""
    if states and len(states) == (1 if device.type == "cpu" else 2):
        torch.set_rng_state(states[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states[1], device)
        elif device.type == "mps":
            torch.mps.set_rng_state(states[1])
