# Loads the study, and holds what several rules need: environment of the jobs, input functions, tracked parameters.

import glob
import hashlib
import os
import re
import shlex
import sys
import threading
from pathlib import Path

ROOT = Path(workflow.basedir).resolve()
ROOT = ROOT if (ROOT / "scripts").is_dir() else ROOT.parent
LIBRARY = ROOT / "workflow"

# Jobs find scripts, library and the Python that runs Snakemake without an installation or an activated environment.
# These are environment variables, because paths of this machine in rules would be tracked.
sys.path.insert(0, str(LIBRARY))
os.environ |= {
    "HISTOBENCH_SCRIPTS": os.path.relpath(ROOT / "scripts"),
    "HISTOBENCH_SNAKEMAKE": str(os.getpid()),
    "PYTHONPATH": os.pathsep.join(filter(None, [str(LIBRARY), os.getenv("PYTHONPATH")])),
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    "NO_ALBUMENTATIONS_UPDATE": "1",  # it asks the network at import otherwise
    # No progress bar in the logs of short jobs, and at most one line a second in those of long ones.
    "TQDM_DELAY": os.getenv("TQDM_DELAY", "3"),
    "TQDM_MININTERVAL": os.getenv("TQDM_MININTERVAL", "1"),
}

from histobench import launcher
from histobench.datasets.given import check_given
from histobench.fetch import snapshot
from histobench.fetch.downloads import downloads, failed, listing, locked, products
from histobench.io.errors import HistoBenchError
from histobench.io.versions import warn_of_versions
from histobench.study import code as codes
from histobench.study import keys, outputs, paths, published_papers, resolved
from histobench.study.checks import unambiguous
from histobench.study.config import load
from histobench.study.runs import is_up_to_date
from histobench.study.spec import is_vlm
from histobench.study.values import canonical_json

warn_of_versions()

try:
    for word in [paths.CONFIGURATION, *sys.argv[1:]]:
        word = word.rpartition("=")[2]  # --configfile=FILE
        if word.endswith((".yaml", ".yml")) and Path(word).is_file():
            unambiguous(word)
    STUDY = load(config)
    STUDY_FILE = paths.STUDY_FILE.format(study=STUDY.study)
    RESOLVED = resolved.resolve(STUDY)
except HistoBenchError as error:
    sys.exit(f"The configuration cannot be used.\n{error}")
try:
    check_given(STUDY)
    resolved.write(RESOLVED, Path(STUDY_FILE))
except HistoBenchError as error:
    sys.exit(f"error: {error}")

RESULTS = paths.STUDY.format(study=STUDY.study)
os.environ |= {"HISTOBENCH_RESULTS": RESULTS}

# The process that jobs are forked from imports more where a study needs it.
FAMILIES = {STUDY.models[run.model].family for run in STUDY.runs}
more = [launcher.VLM_IMPORTS] * any(map(is_vlm, FAMILIES)) + [launcher.ENCODER_IMPORTS] * ("encoder" in FAMILIES)
os.environ.setdefault(launcher.MODULES, ",".join([launcher.IMPORTS, *more]))
# How jobs that make folds or the report start: from another such process.
WITHOUT_PYTORCH = f"{launcher.MODULES}={launcher.REPORT_IMPORTS} exec python -m histobench.launcher"
if any(STUDY.mode(run.model, run.mode).compile for run in STUDY.runs):
    # What one job compiles, later jobs load.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(paths.COMPILED).resolve()))


wildcard_constraints:
    **dict.fromkeys(("dataset", "on", "scale", "model", "mode", "split", "augmentation"), r"[a-z0-9][a-z0-9._-]*"),
    **dict.fromkeys(("magnification", "size", "views", "seed", "fold"), r"\d+"),
    **dict.fromkeys(keys.NAMES, "[0-9a-f]{8}"),
    stain="macenko|reinhard",
    kept=r"none|[0-9.e-]+-seed\d+",


def cancel_timers():
    """Cancel, when the main thread has ended, the timers that `max-jobs-per-timespan` sets: Python would wait for them."""
    threading.main_thread().join()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


# Hooks do not run where an interrupt falls into an event loop of Snakemake, or with --no-hooks.
threading.Thread(target=cancel_timers, daemon=True).start()


# ---- resources ----


def on_device(need):
    """Resources of a job that computes with a model: its device, how many GPU jobs it is, and how many may share the GPU."""
    slots = {"whole": 1, "shared": STUDY.gpu_slots, "none": 0}
    return {
        "device": STUDY.device,
        "gpu": lambda w: 0 if need(w) == "none" else 1,
        "share": lambda w: slots[need(w)],
    }


def prediction_gpu(w):
    """A linear head needs its frozen backbone to predict, so it needs the backbone's GPU; other runs need what training needs."""
    head = STUDY.recipe(w.model, w.mode).trainable == "head"
    return STUDY.gpu(w.model, None if head else w.mode)


# ---- parameters and options ----


def code(script, families=("cnn",)):
    """The fingerprint of a script's code, as a function: only a job that is considered computes it."""
    return lambda w: codes.script_code(script, tuple(families))


def model_code(script):
    """The fingerprint of a script that computes with the model of the wildcards."""
    return lambda w: codes.model_code(STUDY, script, w.model)


def digest(value):
    """A short parameter that changes with `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def option(name, *values):
    """A command-line option with its values, quoted for the shell; empty without values."""
    given = [str(value) for value in values if value]
    return shlex.join([name, *given]) if given else ""


def terms(entry):
    """Licence and citation of a dataset or model, which its download shows."""
    return f"{option('--licence', entry.licence)} {option('--citation', entry.citation)}"


def gated(entry):
    """The option that lets a download of a gated model use the user's token."""
    return "--gated" if getattr(entry, "gated", False) else ""


def given(input, *names):
    """Command-line options for those of the named inputs that there are."""
    parts = [option(f"--{name.replace('_', '-')}", input[name]) for name in names if name in input.keys()]
    return " ".join(parts)


def report_table(path, caption, category):
    """Mark an output for `snakemake --report`."""
    return report(path, caption=f"../report/{caption}.rst", category=category)
