"""State dicts: from files that nobody vouches for (plain tensors, nothing that runs), and those that training makes."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path

State = Mapping[str, torch.Tensor]

SPECIFICATION = "specification"
"""Key of a run's specification in the metadata of its weights."""


def read(path: Path) -> State:
    """Read a state dict from a .safetensors file, or from a .pth file without running anything it holds.

    Raises:
        HistoBenchError: the file is damaged, holds anything but tensors by name, or numbers that are not finite.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except SafetensorError as error:
            raise HistoBenchError(f"{path}: is not a safetensors file ({error}); give another file") from error
        return _finite(state, path)
    _require_stored(path)
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
    return _finite(state, path)


def _require_stored(path: Path) -> None:
    """Raise if a zip archive unpacks to more than itself: torch deflates nothing, a bomb does."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # not one, or a broken one, of which torch speaks
    if unpacked > path.stat().st_size:
        raise HistoBenchError(
            f"{path}: unpacks to more than its own size, {unpacked} bytes, which no file of torch does; give another file"
        )


def _finite(state: State, path: Path) -> State:
    """Return a state, every number of which is in the file, and finite: from others nothing can be trained or predicted."""
    for name, tensor in state.items():
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        # A tensor of strides 0 is as large as it likes.
        if not dense or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise HistoBenchError(f"{path}: tensor {name} is sparse, or a view of fewer numbers; save it dense")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise HistoBenchError(f"{path}: tensor {name} holds numbers that are not finite; give another file")
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
