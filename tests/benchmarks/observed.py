"""Run a job's script but for its arithmetic, and note what that leaves: `python observed.py REPORT PRECISION SCRIPT ARGUMENTS`.

The script is the true one; but forward and backward passes are left out, and every gradient and logit is 0. Noted are the
readings of the system's clock, which all processes share, and of the process's own processor time: at its start, when
the first batch would be computed, after the last one, and at its end; and the seconds in which the last checkpoint is
copied, while training stands still, and written. The script believes that its device has the PRECISION.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTED: dict[str, Any] = {"copied": 0.0, "written": 0.0}


def note(name: str) -> None:
    """Keep the seconds of the clock, and those of the processor in this process and its children, as `name`."""
    spent = os.times()
    NOTED[name] = (time.monotonic(), spent.user + spent.system + spent.children_user + spent.children_system)


def leave_out(precision: str) -> None:
    """Take the arithmetic out of what `train.py`, `features.py` and `predict.py` compute with."""
    import torch

    from histobench.training import checkpoint, data, devices, fit

    def gradients(module, batch, labels, size):
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        return torch.zeros((), device=batch.device)

    def predict(module, source, device, size, **_):
        module.eval()
        if "first" not in NOTED:
            note("first")
        note("last")
        return torch.zeros(len(source.labels))

    def prefetch(batches, device) -> Iterator[Any]:
        if "first" not in NOTED:
            note("first")
        if sys.argv[0].endswith("train.py"):
            yield from batches
        note("last")

    def save(self, *arguments, of=checkpoint.Checkpoint.save_meanwhile):
        began = time.monotonic()
        of(self, *arguments)
        NOTED["copied"] = time.monotonic() - began
        self.close()  # there is no arithmetic to be done meanwhile

    def write(*arguments, of=checkpoint.Checkpoint._write):
        began = time.monotonic()
        of(*arguments)
        NOTED["written"] = time.monotonic() - began

    fit._gradients, fit.predict, data.prefetch = gradients, predict, prefetch
    checkpoint.Checkpoint.save_meanwhile, checkpoint.Checkpoint._write = save, write
    devices.precision = lambda device: precision


def main() -> None:
    note("start")
    report, precision, script, *arguments = sys.argv[1:]
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)  # noqa: PTH120  # as the interpreter has it
    leave_out(precision)  # what it imports the script imports anyway
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        note("end")
        Path(report).write_text(json.dumps(NOTED))


if __name__ == "__main__":
    main()
