"""Print, as one line of JSON, what PyTorch finds on this machine: see :func:`histobench.tools.rates.probed`."""

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SECONDS = 0.4
"""How long products of matrices are repeated."""


def main() -> None:
    import torch

    from histobench.training import device as devices

    found = [torch.device("cpu")]
    if torch.backends.mps.is_available():
        found.append(torch.device("mps"))
    gpus = []
    for number in range(torch.cuda.device_count()):
        free, memory = torch.cuda.mem_get_info(number)
        gpus.append({"name": torch.cuda.get_device_name(number), "memory": memory, "free": free})
    if gpus:
        found.append(torch.device("cuda", 0))
    reaches = {}
    for device in found if len(found) < 2 else found[1:]:  # a processor beside a GPU is not waited for
        precision = devices.precision(device)
        try:
            rate = products(device, torch.bfloat16 if precision == "bf16" else torch.float32)
        except RuntimeError:  # another's jobs fill its memory, say
            continue
        reaches[device.type] = {"name": devices.describe(device), "precision": precision, "rate": rate}
    cuda = str(torch.version.cuda or "")
    answer = {"torch": str(torch.__version__), "cuda_build": cuda, "gpus": gpus, "kind": found[-1].type}
    print(json.dumps(answer | {"reaches": reaches}))


def products(device: "torch.device", dtype: "torch.dtype") -> float:
    """Return the operations per second of products of square matrices."""
    import torch

    def ready() -> None:
        if device.type != "cpu":
            torch.zeros(1, device=device).item()  # waits for everything before it

    side = {"cuda": 8192, "mps": 4096}.get(device.type, 1024)
    matrix = torch.randn(side, side, device=device).to(dtype)
    torch.mm(matrix, matrix)
    ready()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        torch.mm(matrix, matrix)
        ready()
        count += 1
    return count * 2 * side**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
