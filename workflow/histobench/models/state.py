"""State dicts: from files that nobody vouches for (plain tensors, nothing that runs), and those that training makes."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from histobench.study.errors import HistoBenchError
from histobench.study.files import atomic_path

State = Mapping[str, torch.Tensor]

SPECIFICATION = "specification"
"""Key of a run's specification in the metadata of its weights."""


def read(path: Path) -> State:
    """Read a state dict from a .safetensors file, or from a .pth file without running anything it holds.

    Raises:
        HistoBenchError: the file is damaged, or holds anything but tensors by name.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise HistoBenchError(f"{path}: is not a safetensors file ({error}); give another file") from error
    try:
        # The memory map keeps large files out of memory; files from before 2020 are no zip archives, nor can be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # unpickling a damaged or foreign file raises whatever it comes upon
        raise HistoBenchError(
            f"{path}: cannot be read as plain tensors ({type(error).__name__}); "
            "give a state dict as .safetensors or .pth"
        ) from error
    tensors = isinstance(state, Mapping) and all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    if not tensors or not state:
        found = (
            f"a dictionary of {', '.join(map(str, list(state)[:4]))}"
            if isinstance(state, Mapping)
            else type(state).__name__
        )
        raise HistoBenchError(
            f"{path}: holds {found} where tensors by name are expected; save the model's state dict alone"
        )
    return state


def trained_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes in `module`: its trainable parameters and its persistent buffers."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def save_trained(path: Path, module: nn.Module, specification: str) -> None:
    """Write what training changed in `module`, and the run's specification, atomically as one safetensors file."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in trained_state(module).items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, {SPECIFICATION: specification})


def load_trained(path: Path, module: nn.Module, specification: str) -> None:
    """Put what :func:`save_trained` wrote into a module that was built and adapted by the same specification.

    Raises:
        HistoBenchError: the file is damaged, belongs to another specification, or does not hold exactly the tensors that
            training changes.
    """
    from safetensors import safe_open

    state = read(path)
    with safe_open(path, framework="pt") as file:
        found = (file.metadata() or {}).get(SPECIFICATION)
    if found != specification:
        raise HistoBenchError(
            f"{path}: was trained by another specification ({found or 'none recorded'}); run its training again"
        )
    own = trained_state(module)
    different = sorted(own.keys() ^ state.keys()) or [key for key in own if own[key].shape != state[key].shape]
    if different:
        raise HistoBenchError(
            f"{path}: {len(different)} tensors are not those that training changes (first: {different[0]}); "
            "run its training again"
        )
    module.load_state_dict(state, strict=False)
