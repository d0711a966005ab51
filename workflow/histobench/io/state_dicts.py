"""State dicts: read from files of any origin without running code, and the trained parameters of runs."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path

State = Mapping[str, torch.Tensor]

SPECIFICATION = "specification"
"""Key of a run's specification in the metadata of its trained weights."""


def read(path: Path) -> State:
    """Return the state dict in a .safetensors file, or in a .pth file, of which no code is run.

    Raises:
        HistoBenchError: the file is damaged, contains anything but named tensors, or numbers that are not finite.
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
        # Mapped files need little memory. Files from before 2020 are not zip archives and cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # unpickling a damaged file can raise any exception
        raise HistoBenchError(
            f"{path}: cannot be read as plain tensors ({type(error).__name__}); "
            "give a state dict as .safetensors or .pth"
        ) from error
    is_mapping = isinstance(state, Mapping)
    if not is_mapping or not state or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        found = f"a dictionary of {', '.join(map(str, list(state)[:4]))}" if is_mapping else type(state).__name__
        raise HistoBenchError(f"{path}: contains {found}, expected named tensors; save the model's state dict alone")
    return _finite(state, path)


def _require_stored(path: Path) -> None:
    """Require that a zip archive is not compressed: torch does not compress, and a compressed one could fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # not a zip archive, or a damaged one, which torch reports
    if unpacked > path.stat().st_size:
        raise HistoBenchError(
            f"{path}: unpacks to more than its own size, {unpacked} bytes, unlike files written by torch; give another file"
        )


def _finite(state: State, path: Path) -> State:
    """Return a state after checking that all of its numbers are in the file, and finite."""
    for name, tensor in state.items():
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        # A tensor with strides 0 can have any size.
        if not dense or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise HistoBenchError(
                f"{path}: tensor {name} is sparse, or a view of fewer numbers; save it as a dense tensor"
            )
        if tensor.is_floating_point() and not _all_finite(tensor):
            raise HistoBenchError(f"{path}: tensor {name} contains numbers that are not finite; give another file")
    return state


def _all_finite(tensor: torch.Tensor) -> bool:
    # The sum is a tenth of the work. It can overflow though all terms are finite; types of one byte have none.
    return bool((tensor.dtype.itemsize > 1 and tensor.sum().isfinite()) or torch.isfinite(tensor).all())


def require_shapes(
    found: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]], what: str, remedy: str
) -> None:
    """Require that tensors have exactly the expected names and shapes; `what` (a plural) and `remedy` are for the message."""
    for fault, keys in (("lack", expected.keys() - found.keys()), ("hold an unknown", found.keys() - expected.keys())):
        if keys:
            others = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise HistoBenchError(f"{what} {fault} tensor {min(keys)}{others}; {remedy}")
    for name, shape in expected.items():
        if tuple(found[name]) != tuple(shape):
            raise HistoBenchError(
                f"{what} have {name} of shape {tuple(found[name])}, expected {tuple(shape)}; {remedy}"
            )


def shapes(state: State) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a state."""
    return {name: tensor.shape for name, tensor in state.items()}


def trained_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the part of a module's state that training changes: trainable parameters and persistent buffers."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def save_trained(path: Path, module: nn.Module, specification: str) -> None:
    """Write the trained state of a module and the run's specification, atomically, as one safetensors file."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in trained_state(module).items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, {SPECIFICATION: specification})


def load_trained(path: Path, module: nn.Module, specification: str) -> None:
    """Load a file written by :func:`save_trained` into a module that was built by the same specification.

    Raises:
        HistoBenchError: the file is damaged, belongs to another specification, or does not contain exactly the tensors
            that training changes.
    """
    from safetensors import safe_open

    state = read(path)
    with safe_open(path, framework="pt") as file:
        found = (file.metadata() or {}).get(SPECIFICATION)
    if found != specification:
        raise HistoBenchError(
            f"{path}: was trained by another specification ({found or 'none recorded'}); run its training again"
        )
    require_shapes(shapes(state), shapes(trained_state(module)), f"{path}: the weights", "run its training again")
    module.load_state_dict(state, strict=False)
