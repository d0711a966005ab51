"""AdamW for the training loop."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.adamw import adamw


class AdamW:
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, with PyTorch's defaults and fused kernels.

    The same numbers as `torch.optim.AdamW(fused=True)`, whose first use imports `torch._dynamo`: 3 s of each cold start.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float):
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.averages = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.square_averages = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters that have a gradient, and forget the gradients."""
        having = [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]
        gradients = [gradient for parameter in self.parameters if (gradient := parameter.grad) is not None]
        adamw(
            [self.parameters[index] for index in having],
            gradients,
            [self.averages[index] for index in having],
            [self.square_averages[index] for index in having],
            [],
            [self.steps[index] for index in having],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, list[torch.Tensor]]:
        """Return what :meth:`load_state_dict` puts back."""
        return {"averages": self.averages, "square_averages": self.square_averages, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back a state of the same parameters."""
        for own, saved in zip(self.state_dict().values(), state.values(), strict=True):
            for tensor, value in zip(own, saved, strict=True):
                tensor.copy_(value)
