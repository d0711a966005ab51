import hashlib
import json
import os
import re
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
LIBRARY = ROOT / "workflow"

# Jobs find the scripts, this library and the Python that runs Snakemake without an installation or an activated
# environment. Paths of this machine stay out of rules: they would be tracked.
sys.path.insert(0, str(LIBRARY))
os.environ |= {
    "HISTOBENCH_SCRIPTS": str(SCRIPTS),
    "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.getenv("PYTHONPATH", "")]).rstrip(
        os.pathsep
    ),
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    "NO_ALBUMENTATIONS_UPDATE": "1",  # it asks the network at import otherwise
    # Logs of jobs that end at once hold no bar, and those of long ones a line a second at most.
    "TQDM_DELAY": os.getenv("TQDM_DELAY", "3"),
    "TQDM_MININTERVAL": os.getenv("TQDM_MININTERVAL", "1"),
}

from snakemake.exceptions import WorkflowError

from histobench.datasets.folds import check_unedited
from histobench.fetch import snapshot
from histobench.fetch.downloads import downloads, failed, listing, products
from histobench.fetch.snapshot import check_own
from histobench.io import checkout
from histobench.study import lifetime, paths
from histobench.study.checks import distinct_keys
from histobench.study.config import load
from histobench.io.errors import HistoBenchError
from histobench.io.files import remove_partials, require_writable
from histobench.io.fingerprint import fingerprint
from histobench.study.spec import canonical_json
from histobench.study.up_to_date import is_up_to_date
from histobench.training import gpus

try:
    for file in workflow.configfiles:
        distinct_keys(os.path.relpath(file))
    STUDY = load(config)
except HistoBenchError as error:
    raise WorkflowError(f"The configuration cannot be used.\n{error}") from None


# The process that jobs are forked from imports these only where a study uses them: they take seconds.
VLM_LIBRARIES = [
    "transformers.models.qwen2_vl.modeling_qwen2_vl",
    "transformers.models.idefics3.modeling_idefics3",
    "transformers.models.llama.modeling_llama",
    "peft",
]
if any(STUDY.models[run.model].family != "cnn" for run in STUDY.runs):
    os.environ |= {"HISTOBENCH_WARM_ALSO": ",".join(VLM_LIBRARIES)}


# The resource `gpu` counts slots of this machine's GPUs, or whole GPUs where jobs are sent to a queue. It is limited by
# the profile or command line, else by the GPUs that there are.
LOCAL = workflow.is_main_process and workflow.global_resources["_nodes"].value is None
SLOTS = STUDY.gpu_slots if LOCAL else 1
FOUND = gpus.count(STUDY.device, os.environ) if LOCAL else 0
if FOUND and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", FOUND * SLOTS)
GRANTED = workflow.global_resources.get("gpu")


def gpu_slots(need):
    """How much of the resource `gpu` a job takes; never more than there is, so that `gpu=1` means one job at a time."""
    whole = min(SLOTS, GRANTED.value or 1) if GRANTED else SLOTS
    return {"whole": whole, "shared": 1, "none": 0}[need]


def share(need):
    """How many such jobs may share a GPU; 0 for one that needs none."""
    return {"whole": 1, "shared": SLOTS, "none": 0}[need]


def prediction_gpu(w):
    """A linear head predicts through its frozen backbone, anything else as it was trained."""
    probe = STUDY.recipe(w.model, w.mode).trainable == "head"
    return STUDY.gpu(w.model, None if probe else w.mode)


RESULTS = paths.STUDY.format(study=STUDY.study)


def newer(path, other):
    return path.exists() and path.stat().st_mtime_ns > other.stat().st_mtime_ns


def turn_of(executor_plugin):
    """Snakemake runs jobs only in its turn in this folder, and no job goes on without it.

    Nothing is taken for a dry run, a report and the like, nor in the processes that run a queue's jobs. On this machine
    SIGTERM then does what Ctrl-C does: jobs end, and those that train leave a checkpoint. A queue cancels its own jobs.
    """
    traits, turn = executor_plugin.common_settings, None
    if not workflow.is_main_process or traits.dryrun_exec:
        return None
    try:
        require_writable([Path(".snakemake"), Path("results")])
        if workflow.execution_settings.lock:
            turn = lifetime.take(Path(".snakemake"), logger.warning)
    except HistoBenchError as error:
        raise WorkflowError(str(error)) from None
    if turn and traits.local_exec:
        remove_partials([Path("results"), Path("resources")])
        os.environ |= {lifetime.JOBS: str(turn.jobs.absolute())}
        signal.signal(signal.SIGINT, turn.interrupted)
    return turn


workflow.execute = lifetime.in_turn(workflow.execute, turn_of)


onstart:
    if lifetime.JOBS in os.environ:
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))


MISSING = sorted(
    {
        path
        for name in STUDY.used_datasets
        if not STUDY.datasets[name].synthetic and not STUDY.datasets[name].url
        for path in (STUDY.source(name), STUDY.datasets[name].table)
        if path and not Path(path).exists()
    }
)
if MISSING:
    raise WorkflowError(
        f"{MISSING[0]}: there is no such archive or folder; put the images there,"
        " or set datasets.DATASET.source to where they are."
        if not MISSING[0].endswith(".csv")
        else f"{MISSING[0]}: there is no such table; put it there, or correct datasets.DATASET.table."
    )

for name in dict.fromkeys(run.dataset for run in STUDY.runs):
    pinned, source = STUDY.datasets[name].sha256, Path(STUDY.source(name))
    digest_file = Path(paths.ARCHIVE_DIGEST.format(dataset=name))
    if pinned and source.is_dir():
        raise WorkflowError(
            f"datasets.{name}.sha256: {source} is a folder, which has no SHA-256;"
            " leave the key out, or give an archive."
        )
    # An archive that changed is verified when it is read.
    if pinned and digest_file.exists() and not newer(source, digest_file):
        found, _, of = digest_file.read_text().strip().partition("  ")
        if of == str(source) and found != pinned:
            raise WorkflowError(
                f"datasets.{name}.sha256: {source} has the SHA-256 {found}, not {pinned};"
                " correct the key, or put the right archive there."
            )

# Every job checks its folds; but before one can refuse them, Snakemake has deleted what it was to make.
for dataset, split in dict.fromkeys((run.dataset, run.split) for run in STUDY.runs):
    places = [
        Path(pattern.format(dataset=dataset, split=split))
        for pattern in (paths.FOLDS, paths.FOLDS_DIGEST)
    ]
    if all(place.exists() for place in places):
        try:
            check_unedited(places[0])
        except HistoBenchError as error:
            raise WorkflowError(str(error)) from None


wildcard_constraints:
    dataset=r"[a-z0-9][a-z0-9._-]*",
    model=r"[a-z0-9][a-z0-9._-]*",
    mode=r"[a-z0-9][a-z0-9._-]*",
    split=r"[a-z0-9][a-z0-9._-]*",
    augmentation=r"[a-z0-9][a-z0-9._-]*",
    magnification=r"\d+",
    size=r"\d+",
    views=r"\d+",
    fold=r"\d+",


def code(script, families=("cnn",)):
    """The fingerprint of a script's code: a tracked parameter, so that changed code re-runs what it made.

    It is taken when a job asks for it: a job in a queue parses all rules, and runs one.
    """
    return lambda w: code_of(script, families)


def code_of(script, families):
    """The fingerprint itself. Of the code for single families of models, only that of `families` counts."""
    vlms = sorted(set(families) - {"cnn"})
    # What is downloaded must have its hash, however it came.
    without = ["histobench.fetch.http"]
    without += [] if "cnn" in families else ["histobench.models.cnn"]
    without += [] if vlms else ["histobench.models.vlm"]
    also = [f"histobench.models.families.{name.replace('-', '_')}" for name in vlms]
    return fingerprint(SCRIPTS / f"{script}.py", without, also)


def feature_code(w):
    return code_of("features", [STUDY.models[w.model].family])


def weights_code(w):
    return code_of("fetch_weights", [STUDY.models[w.model].family])


def prediction_code(w):
    return code_of("predict", [STUDY.models[w.model].family])


def training_code(w):
    """A linear head is trained without any code of its model's family; stored tokens vanish, so their code counts here."""
    trainable = STUDY.recipe(w.model, w.mode).trainable
    if trainable == "head":
        return code_of("train", [])
    own = code_of("train", [STUDY.models[w.model].family])
    return own + (feature_code(w) if trainable == "lora" else "")


def grows(first):
    """A resource of which a job that failed gets `first` more with each further attempt."""
    return lambda w, attempt: first * attempt


# Memory in MB and minutes per epoch that a queue is asked for. Pixel stores and visual tokens are memory-mapped: what is
# held of them gives way to what a job needs. The minutes are those of a modest GPU; a run that needs more goes on from
# its checkpoint with the next attempt's.
NEEDS = {"head": (6000, 1), "cnn": (16000, 5), "vlm": (32000, 10)}


def needs(w):
    if STUDY.recipe(w.model, w.mode).trainable == "head":
        return NEEDS["head"]
    return NEEDS["cnn" if STUDY.models[w.model].family == "cnn" else "vlm"]


def training_mb(w, attempt):
    return needs(w)[0] * attempt


def training_minutes(w, attempt):
    return (10 + needs(w)[1] * STUDY.recipe(w.model, w.mode).epochs) * attempt


def feature_minutes(w, attempt):
    return (30 + 5 * int(w.views)) * attempt


def option(name, value):
    """An option of a script; nothing where there is no value."""
    return shlex.join([name, value]) if value else ""


def options(name, values):
    """An option of a script with several values; nothing where there is none."""
    return shlex.join([name, *values]) if values else ""


def terms(entry):
    """Licence and citation of a dataset or model, which its download shows."""
    parts = [option(f"--{key}", getattr(entry, key)) for key in ("licence", "citation")]
    return " ".join(filter(None, parts))


def pixels(dataset, model):
    return paths.PIXELS.format(dataset=dataset, size=STUDY.models[model].image_size)


def weights(model):
    """The pretrained weights of a model as an input; none when they are random."""
    if STUDY.models[model].weights == "random":
        return {}
    return {"weights": paths.WEIGHTS.format(model=model)}


def own_weights(model):
    """Where a weights file of the user's own stands; empty where weights are of another kind."""
    file = getattr(model.weights, "file", "")
    if not file or model.weights.package:
        return ""
    downloads = Path(paths.WEIGHTS).parent
    return str(downloads / Path(file).name) if "://" in file else os.path.relpath(file)


def own_files(w):
    """The files of a model's own folder of weights as inputs: none where its weights are of another kind."""
    folder = getattr(STUDY.models[w.model].weights, "folder", "")
    try:
        names = snapshot.files(Path(folder)) if folder else []
    except HistoBenchError:  # what was made of it stands without it
        names = []
    return [os.path.relpath(os.path.join(folder, name)) for name in names]


def recipes_of_arms():
    """Model -> mode -> recipe, for every arm of the study."""
    arms = dict.fromkeys((run.model, run.mode) for run in STUDY.runs)
    recipes = {}
    for model, mode in arms:
        recipes.setdefault(model, {})[mode] = STUDY.recipe(model, mode).model_dump(
            mode="json"
        )
    return recipes


def digest(value):
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def report_table(path, caption, category):
    """Mark an output for `snakemake --report`."""
    return report(path, caption=f"../report/{caption}.rst", category=category)


def tree_state(source):
    """Changes whenever a file of a dataset folder does; an archive's own time is enough for Snakemake."""
    folder = Path(source)
    if not folder.is_dir():
        return ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest(
        [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    )


def manifest_inputs(w):
    """The images and, where one lists them, their table."""
    table = STUDY.datasets[w.dataset].table
    return {"source": STUDY.source(w.dataset)} | ({"table": table} if table else {})


def manifest_format(w):
    """How a dataset is read, as command-line options."""
    dataset = STUDY.datasets[w.dataset]
    parts = ["--format", dataset.format]
    parts += ["--complete"] if dataset.complete else []
    if dataset.format in ("csv", "folders"):
        parts += ["--classes", canonical_json(dataset.classes)]
    parts += ["--table", dataset.table] if dataset.table else []
    parts += ["--patient", dataset.patient] if dataset.patient else []
    return shlex.join(parts)


def token_inputs(w):
    return {
        "manifest": paths.MANIFEST.format(dataset=w.dataset),
        "pixels": pixels(w.dataset, w.model),
        **weights(w.model),
    }


def feature_inputs(w):
    """Embeddings of a vision-language model are made from its visual tokens, where these are stored."""
    inputs = token_inputs(w)
    if (
        STUDY.embeds_tokens(w.model)
        and not Path(features(w, w.augmentation, w.views)).exists()
    ):
        inputs["tokens"] = tokens(w, w.augmentation, w.views)
    return inputs


def train_inputs(w):
    """What all folds share is computed once: the embeddings for a linear probe, visual tokens for LoRA."""
    inputs = {
        "folds": paths.FOLDS.format(dataset=w.dataset, split=w.split),
        "digest": paths.FOLDS_DIGEST.format(dataset=w.dataset, split=w.split),
    }
    probe = STUDY.recipe(w.model, w.mode).trainable == "head"
    if probe:
        inputs["manifest"] = paths.MANIFEST.format(dataset=w.dataset)
    else:
        inputs |= token_inputs(w)
    if probe or (STUDY.tokens(w.model, w.mode) and not run_is_up_to_date(w)):
        made = features if probe else tokens
        views = STUDY.views(w.model, w.mode, w.augmentation)
        inputs["features"] = made(w, w.augmentation, views)
        if STUDY.augmentations[w.augmentation]:
            inputs["evaluation_features"] = made(w, STUDY.unaugmented, 1)
    return inputs


def run_is_up_to_date(w):
    """Whether a run's results are there and were made with its present settings.

    It then has no claim on visual tokens. They are temporary, and if they must be made again for a new arm, Snakemake
    would repeat every job that has them as input. A run that is stale for another reason computes its tokens live.
    """
    return is_up_to_date(Path(paths.RUN.format(**dict(w.items()))), specification(w))


def forget_finished():
    """Remove the second copies of results that Snakemake knows of."""
    for run in STUDY.runs:
        Path(paths.FINISHED.format(**asdict(run))).unlink(missing_ok=True)


def specification(w):
    return STUDY.specification(
        w.model, w.mode, int(w.magnification), w.augmentation, int(w.fold)
    )


def features(w, augmentation, views):
    return stored(paths.FEATURES, w, augmentation, views)


def tokens(w, augmentation, views):
    return stored(paths.TOKENS, w, augmentation, views)


def stored(pattern, w, augmentation, views):
    return pattern.format(
        dataset=w.dataset,
        model=w.model,
        magnification=w.magnification,
        augmentation=augmentation,
        views=views,
    )


def given(input, *names):
    """Command-line options for the inputs that there are."""
    return " ".join(
        f"--{name.replace('_', '-')} {input[name]}"
        for name in names
        if name in input.keys()
    )


def train_arguments(w, input):
    source = (
        ["features", "evaluation_features"]
        if "features" in input.keys()
        else ["pixels"]
    )
    return given(input, *source, "weights")


def feature_arguments(w, input):
    source = "tokens" if "tokens" in input.keys() else "pixels"
    return given(input, source, "weights")


def predict_inputs(w):
    """The images of the other dataset, and the run that predicts them; its weights stand beside its predictions."""
    return {
        "manifest": paths.MANIFEST.format(dataset=w.on),
        "pixels": pixels(w.on, w.model),
        "trained_on": paths.MANIFEST.format(dataset=w.dataset),
        "run": paths.PREDICTIONS.format(**dict(w.items())),
        **weights(w.model),
    }
