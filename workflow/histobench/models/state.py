"""State dicts from files that nobody vouches for: plain tensors, and nothing that runs."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from histobench.study.errors import HistoBenchError

State = Mapping[str, torch.Tensor]


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
