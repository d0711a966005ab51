import os
import sys
from pathlib import Path
from subprocess import check_output

import pytest
import torch

from histobench.training.adamw import AdamW


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size)) for size in ((5, 3), (3,), (2, 2))]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_pytorchs_adamw_bit_for_bit(weight_decay):
    mine, theirs = parameters(), parameters()
    own = AdamW(mine, weight_decay)
    reference = torch.optim.AdamW(theirs, weight_decay=weight_decay, fused=True)
    for step in range(5):
        if step == 3:  # as from a checkpoint
            saved, own = own.state_dict(), AdamW(mine, weight_decay)
            own.load_state_dict(saved)
        for pair in list(zip(mine, theirs, strict=True))[
            : 3 if step % 2 else 2
        ]:  # one has no gradient in each other step
            gradient = torch.randn(pair[0].shape)
            for parameter in pair:
                parameter.grad = gradient.clone()
        reference.param_groups[0]["lr"] = 0.01 / (step + 1)
        own.step(0.01 / (step + 1))
        reference.step()
        reference.zero_grad()
        assert all(parameter.grad is None for parameter in mine)
        assert all(map(torch.equal, mine, theirs))


def test_it_does_not_import_dynamo():
    code = "import sys, torch; from histobench.training.adamw import AdamW; p = torch.nn.Parameter(torch.ones(2)); "
    code += "p.sum().backward(); AdamW([p], 0.1).step(0.1); print('torch._dynamo' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow")}
    assert check_output([sys.executable, "-c", code], env=environment, text=True) == "False\n"
