"""What a killed run needs to go on from its last finished epoch."""

import logging
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from histobench.models.state import trained_state
from histobench.study.files import atomic_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file and the run it serves. It holds no random state: that follows from seed and epoch."""

    path: Path
    identity: Mapping[str, str]
    """Everything that decides the run's result, by name (specification, images, code, ...). A checkpoint in which any
    of it differs is ignored."""

    def save(self, module: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any]) -> None:
        """Write atomically what training changes in `module`, the optimizer, and `progress` (tensors, plain values)."""
        content = {
            "identity": dict(self.identity),  # plain texts: of other types torch.load accepts only tensors
            "module": trained_state(module),
            "optimizer": optimizer.state_dict(),
            "progress": dict(progress),
        }
        with atomic_path(self.path) as temporary:
            torch.save(content, temporary)

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
        """Delete the checkpoint, if there is one."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
