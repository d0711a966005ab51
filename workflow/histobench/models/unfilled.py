"""Building modules on the meta device, whose parameters will be replaced."""

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode

DRAWS = ("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_")
"""Methods of tensors, and functions of `torch.nn.init` or of transformers, which replaces these by its own."""


class Unfilled(TorchFunctionMode):
    """A context in which no random numbers are drawn for tensors on the meta device.

    They would change nothing, and PyTorch needs up to a millisecond for those of a parameter.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)
