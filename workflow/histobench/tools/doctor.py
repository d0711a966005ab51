"""Check whether this machine can run a study, what the study lacks, and what to do next.

The exit status is 1 when the study cannot run as things are. Nothing is written.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    from histobench.tools.command_line import parser

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
    yield python(sys.version_info[:3])
    yield from libraries()
    probed = probe(LIBRARIES)
    yield from machine(probed)
    try:
        from histobench.io.errors import HistoBenchError
        from histobench.tools.command_line import study
    except ImportError as error:
        yield Finding("problem", "study", f"cannot be read: {error}", SET_UP)
        return
    try:
        config = study(configfiles)
    except ImportError as error:
        yield Finding("problem", "study", f"cannot be read: {error}", SET_UP)
        return
    except HistoBenchError as error:
        for line in str(error).splitlines():
            yield Finding("problem", "study", line, "# correct the configuration")
        return
    options = f' ARGS="--configfile {" ".join(map(str, configfiles))}"' if configfiles else ""
    for check in (lambda: gpu(config, probed), lambda: disk(config), lambda: missing(config, options)):
        yield from check()
    yield progress(config, options)


def steps(findings: list[Finding]) -> list[str]:
    """Return what to do next, at most three steps: first what problems need, else what leads on."""
    problems = [finding.step for finding in findings if finding.status == "problem"]
    wanted = problems or [finding.step for finding in findings if finding.step]
    return list(dict.fromkeys(wanted))[:3]


def python(version: tuple[int, ...]) -> Finding:
    """Check the version of Python."""
    text = ".".join(map(str, version))
    if version < (3, 11):
        return Finding("problem", "Python", f"{text}; HistoBench needs 3.11 or newer", "make doctor PYTHON=python3.12")
    return Finding("ok", "Python", text)


def libraries() -> Iterator[Finding]:
    """Check that the libraries of pyproject.toml are installed in versions that it allows."""
    try:
        from histobench.io.versions import missing, requirements, wrong_versions
    except ImportError as error:
        yield Finding("problem", "libraries", str(error), SET_UP)
        return
    faults = [f"{name} is not installed" for name in missing()] + wrong_versions()
    for fault in faults:
        yield Finding("problem", "libraries", fault, SET_UP)
    if not faults:
        yield Finding("ok", "libraries", f"all {len(requirements())} are installed in the versions of pyproject.toml")


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


def gpu(config: Any, probed: dict[str, Any]) -> Iterator[Finding]:
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


def disk(config: Any) -> Iterator[Finding]:
    """Check that the folders of the study can be written, and that what is known to come fits on the disk."""
    from histobench.tools.command_line import amount
    from histobench.tools.plan import needs

    for folder in ("results", "resources"):
        if not os.access(folder if Path(folder).exists() else ".", os.W_OK):
            yield Finding("problem", "disk", f"{folder} cannot be written", f"# make the folder {folder} writable")
    sizes = list(needs(config).values())
    known = sum(size for size in sizes if size)
    free = shutil.disk_usage("results" if Path("results").exists() else ".").free
    text = f"{amount(free)} free, {'at least ' if None in sizes else ''}{amount(known) if known else 'nothing'} to come"
    step = "# free some space, or move the project to a larger disk" if known > free else ""
    yield Finding("problem" if step else "ok", "disk", text, step)


def missing(config: Any, options: str) -> Iterator[Finding]:
    """Report datasets and pretrained weights: there, still to be downloaded, or missing."""
    from histobench.study import paths

    for name in config.used_datasets:
        dataset, source = config.datasets[name], config.source(name)
        absent = [path for path in (source, dataset.table) if path and not Path(path).exists()]
        if dataset.synthetic:
            yield Finding("ok", "data", f"{name}: generated by the workflow")
        elif not absent or (Path(paths.MANIFEST.format(dataset=name)).exists() and dataset.url):
            yield Finding("ok", "data", f"{name}: {source}")
        elif dataset.url:
            yield Finding("note", "data", f"{name}: not here yet; will become {source}", f"make fetch{options}")
        else:
            yield Finding("problem", "data", f"{name}: {absent[0]} is not there", f"# put it at {absent[0]}")
    for name in dict.fromkeys(run.model for run in config.runs):
        weights, converted = config.models[name].weights, Path(paths.WEIGHTS.format(model=name))
        own = getattr(weights, "folder", None) or getattr(weights, "file", None)
        own = None if own and ("://" in own or getattr(weights, "package", None)) else own
        if weights == "random" or converted.exists():
            continue
        if own and not Path(own).exists():
            yield Finding("problem", "weights", f"{name}: {own} is not there", f"# put it at {own}")
        elif not own:
            yield Finding("note", "weights", f"{name}: not here yet; will become {converted}", f"make fetch{options}")


def progress(config: Any, options: str) -> Finding:
    """Report how much of the study is done and how long the rest takes, as far as that is known."""
    from histobench.study import paths
    from histobench.tools.command_line import device, duration
    from histobench.tools.plan import shared_work, total, training

    here = device(config.device)
    trained = list(training(config, here))
    waiting = [job for job in trained if not job.done]
    if not waiting:
        page = Path(paths.STUDY.format(study=config.study), "report.html")
        step = f"# open {page} in a browser" if page.exists() else f"make reproduce{options}"
        return Finding("ok", "study", f"{config.study}: all {len(trained)} runs are done", step)
    seconds = total([*waiting, *(job for job in shared_work(config, here) if not job.done)])
    time = f"about {duration(seconds)} on {here}" if seconds is not None else "time not known (see `make plan`)"
    step = "make demo" if options.endswith('"--configfile config/demo.yaml"') else f"make reproduce{options}"
    return Finding("ok", "study", f"{config.study}: {len(waiting)} of {len(trained)} runs to do, {time}", step)


if __name__ == "__main__":
    from histobench.tools.command_line import run_tool

    run_tool(main)
