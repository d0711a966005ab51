"""Check whether this machine can run a study, what the study lacks, and what to do next.

The exit status is 1 when the study cannot run as things are. Nothing is written.
"""

import json
import math
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histobench.io.errors import HistoBenchError
from histobench.tools.command_line import amount, parser, run_tool, study

if TYPE_CHECKING:
    from histobench.study.config import Config

SET_UP = "rm -f .venv/.requirements.lock && make doctor"
LIBRARIES = ("torch", "torchvision", "cv2", "albumentations")
"""What the jobs import: each is tried, because an installed library may still fail to load."""
PROBE = """
import importlib, json, os, sys
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
found = {"faults": []}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        found["faults"].append(f"{name}: {error}")
if "torch" in sys.modules:
    import torch
    number = torch.cuda.device_count()
    found["gpus"] = [[torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)] for i in range(number)]
    found |= {"torch": str(torch.__version__), "cuda": torch.version.cuda, "mps": torch.backends.mps.is_available()}
print("\\n" + json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    status: str
    """`ok`, `note` or `problem`: with a problem, the study cannot run."""
    topic: str
    text: str
    step: str = ""
    """What to do about it: a command, or a sentence after `#`."""


def main() -> None:
    given = parser(__doc__).parse_args()
    findings = []
    for finding in checks(given.configfile):
        findings.append(finding)
        text = f"{finding.status:8} {finding.topic:9} {finding.text}"
        print("\n".join(textwrap.wrap(text, 110, subsequent_indent=" " * 19, break_long_words=False)), flush=True)
    failed = any(finding.status == "problem" for finding in findings)
    print("\nThe study cannot run as things are. What to do:" if failed else "\nWhat to do next:")
    print("\n".join(f"  {step}" for step in steps(findings)))
    sys.exit(failed)


def checks(configfiles: list[Path]) -> Iterator[Finding]:
    """Yield what each check finds; those of the study only where its configuration can be read."""
    yield Finding("ok", "Python", platform.python_version())
    probed = probe(LIBRARIES)
    yield from machine(probed)
    options = f' ARGS="--configfile {" ".join(map(str, configfiles))}"' if configfiles else ""
    try:
        yield from libraries()
        config = study(configfiles)
        yield from gpu(config, probed)
        yield from disk(config)
        yield from missing(config, options)
        yield progress(config, options)
    except ImportError as error:
        yield Finding("problem", "study", f"cannot be read: {error}", SET_UP)
    except HistoBenchError as error:
        for line in str(error).splitlines():
            yield Finding("problem", "study", line, "# correct the configuration")


def steps(findings: list[Finding]) -> list[str]:
    """Return what to do next, at most three steps: first what problems need, else what leads on."""
    problems = [finding.step for finding in findings if finding.status == "problem"]
    wanted = problems or [finding.step for finding in findings if finding.step]
    return list(dict.fromkeys(wanted))[:3]


def libraries() -> Iterator[Finding]:
    """Check that the libraries of pyproject.toml are installed in versions that it allows."""
    from histobench.io import versions

    faults = [f"{name} is not installed" for name in versions.missing()] + versions.wrong_versions()
    for fault in faults:
        yield Finding("problem", "libraries", fault, SET_UP)
    if not faults:
        yield Finding("ok", "libraries", "all are installed in the versions of pyproject.toml")


def probe(names: tuple[str, ...], limit: float = 120) -> dict[str, Any]:
    """Import libraries in a process of its own, which may crash or hang, and ask PyTorch for the GPUs.

    Returns:
        `faults` (sentences) and, where PyTorch can be imported, `torch` and `cuda` (versions), `mps`, and `gpus` (name, free
        and total memory in bytes).
    """
    command = [sys.executable, "-W", "ignore", "-c", PROBE, *names]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        return json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"faults": [f"importing {', '.join(names)} took more than {limit:g} s"]}
    except (OSError, ValueError, IndexError):
        return {"faults": [f"importing {', '.join(names)} ended Python"]}


def machine(probed: dict[str, Any]) -> Iterator[Finding]:
    """Report libraries that fail to load, PyTorch's build, the processor and Slurm."""
    for fault in probed["faults"]:
        yield Finding("problem", "libraries", f"cannot be imported: {' '.join(fault.split())}", SET_UP)
    if "torch" in probed:
        built = f"built for CUDA {probed['cuda']}" if probed["cuda"] else "built without CUDA"
        yield Finding("ok", "PyTorch", f"{probed['torch']}, {built}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", "processor", f"{cores} cores, {memory / 1e9:.0f} GB of memory")
    slurm = "found; `snakemake --profile workflow/profiles/slurm` submits the jobs"
    yield Finding("ok", "Slurm", slurm if shutil.which("sbatch") else "none")


def gpu(config: "Config", probed: dict[str, Any]) -> Iterator[Finding]:
    """Check that the configured device is there."""
    gpus, wanted = probed.get("gpus", []), config.device
    for name, free, total in gpus:
        text = f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        yield Finding("ok", "GPU", text + ("; not used, because of `device: cpu`" if wanted == "cpu" else ""))
    if gpus or "torch" not in probed:
        return
    if wanted.startswith("cuda") or (wanted == "mps" and not probed["mps"]):
        yield Finding("problem", "GPU", f"none, but the configuration says `device: {wanted}`", "# set `device: auto`")
    elif wanted == "auto" and shutil.which("nvidia-smi"):
        text = f"the driver has one, but this PyTorch (CUDA {probed['cuda']}) cannot use it"
        yield Finding("problem", "GPU", text, "# update the driver, unset CUDA_VISIBLE_DEVICES, or set `device: cpu`")
    else:
        apple = probed["mps"] and wanted != "cpu"
        yield Finding("ok", "GPU", "Apple's (mps)" if apple else "none; the processor computes")


def disk(config: "Config") -> Iterator[Finding]:
    """Check that what is known to come fits on the disk."""
    from histobench.tools.plan import needs

    sizes = needs(config).values()
    known = sum(size for size in sizes if not math.isnan(size))
    free = shutil.disk_usage("results" if Path("results").exists() else ".").free
    text = f"{amount(free)} free, {'at least ' if any(map(math.isnan, sizes)) else ''}{amount(known)} to come"
    step = "# free some space, or move the project to a larger disk" if known > free else ""
    yield Finding("problem" if step else "ok", "disk", text, step)


def missing(config: "Config", options: str) -> Iterator[Finding]:
    """Report what the user has to provide and is missing or wrong, and what the workflow downloads."""
    from histobench.datasets.given import check_given
    from histobench.fetch.downloads import locked, products

    try:
        check_given(config)
    except HistoBenchError as error:
        yield Finding("problem", "data", str(error), "# provide what is missing, or correct the configuration")
    for sentence in locked(config):
        yield Finding("problem", "download", sentence, "# accept the licence, and give a token")
    for path in products(config):
        if Path(path).exists():
            yield Finding("ok", "download", f"{path} is there")
        else:
            yield Finding("note", "download", f"{path} is not there yet", f"make fetch{options}")


def progress(config: "Config", options: str) -> Finding:
    """Report how much of the study is done."""
    from histobench.tools.plan import training

    done = sum(job.done for job in training(config, ""))
    text = f"{config.study}: {done} of {len(config.runs)} runs are done; `make plan` says how long the rest takes"
    demo = options.endswith('"--configfile config/demo.yaml"')
    return Finding("ok", "study", text, "make demo" if demo else f"make {'study' if options else 'reproduce'}{options}")


if __name__ == "__main__":
    run_tool(main)
