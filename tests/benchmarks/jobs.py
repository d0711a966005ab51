"""Run single jobs of the paper's study, at true size on almost no images, and say where their seconds go."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from histobench.study import paths
from tests.benchmarks import ROOT
from tests.benchmarks.truesize import MAGNIFICATION, Place

OBSERVED = Path(__file__).with_name("observed.py")
VLM_LIBRARIES = ",".join(
    (
        "transformers.models.qwen2_vl.modeling_qwen2_vl",
        "transformers.models.idefics3.modeling_idefics3",
        "transformers.models.llama.modeling_llama",
        "peft",
    )
)  # as workflow/rules/common.smk has it
EPOCHS = 3  # the second checkpoint finds the memory of the first


@dataclass(frozen=True)
class Spent:
    """What a job took beside its arithmetic."""

    launch: float
    """Seconds from the launcher's start to the script's first line, like all others."""
    set_up: float
    """To the first batch."""
    copied: float
    """To copy a checkpoint's content; 0 where there is none, as in `written`."""
    written: float
    """To write the copy to disk, while training goes on."""
    end: float
    """From the end of the last batch to the launcher's."""
    processor: float
    """Processor seconds of launch, set-up and end."""

    @property
    def start_up(self) -> float:
        """Seconds once a job: all but checkpoints."""
        return self.launch + self.set_up + self.end


def environment(**changes: str) -> dict[str, str]:
    """Return the environment in which a user's Snakemake runs jobs: Python keeps its bytecode."""
    own = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "NO_ALBUMENTATIONS_UPDATE": "1"}
    own |= {"HISTOBENCH_WARM_ALSO": VLM_LIBRARIES, "HISTOBENCH_WARM_IDLE": "300"} | changes
    return {key: value for key, value in own.items() if key != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def warm_server(folder: Path) -> Iterator[None]:
    """Give the jobs in this block a warm server of their own, which ends with it."""
    before = {name: os.environ.pop(name, None) for name in ("XDG_RUNTIME_DIR", "TMPDIR")}
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        for socket in folder.glob("histobench-warm-*/*.sock"):
            socket.unlink()  # a server without a socket ends
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def measured(place: Place, script: str, arguments: Sequence[object], rounds: int) -> dict[bool, Spent]:
    """Return the medians of running a script cold (False) and warm (True), in turn, after each once to warm up."""
    spent: dict[bool, list[Spent]] = {False: [], True: []}
    for _ in range(rounds + 1):
        for warm, times in spent.items():
            times.append(run(place, warm, script, arguments))
    return {
        warm: Spent(*(median(getattr(each, field.name) for each in times[1:]) for field in fields(Spent)))
        for warm, times in spent.items()
    }


def run(
    place: Place, warm: bool, script: str, arguments: Sequence[object], precision: str = "bf16", root: Path = ROOT
) -> Spent:
    """Run a script of the project at `root` as its rule does, through the launcher."""
    report = place.folder / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "histobench.warm", OBSERVED, report, precision, root / "scripts" / f"{script}.py"]
    began = time.monotonic()
    with subprocess.Popen(
        [*map(str, command), *map(str, arguments)],
        cwd=place.folder,
        env=environment(PYTHONPATH=str(root / "workflow"), HISTOBENCH_WARM=str(int(warm))),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, client = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{script} failed\n{output[-3000:]}")
    noted = json.loads(report.read_text())
    clock, processor = ({name: noted[name][kind] for name in ("start", "first", "last", "end")} for kind in (0, 1))
    own = client.ru_utime + client.ru_stime if warm else 0  # a cold one has become the script
    return Spent(
        launch=clock["start"] - began,
        set_up=clock["first"] - clock["start"],
        copied=noted["copied"],
        written=noted["written"],
        end=ended - clock["last"],
        processor=own + processor["first"] + processor["end"] - processor["last"],
    )


def kinds(place: Place) -> Iterator[tuple[str, str, str, list[object]]]:
    """Yield kind of job, model, script and arguments of each kind that the paper's study has."""
    for model in ("alexnet", "vgg19", "resnet34"):
        for augmentation in ("none", "paper"):
            if augmentation == "none" or model == "resnet34":
                yield f"CNN, {augmentation}", model, "train", training(place, model, "ft", augmentation)
    yield "linear probe", "qwen2-vl-2b", "train", training(place, "qwen2-vl-2b", "lp", "none")
    for model in ("qwen2-vl-2b", "smolvlm"):
        yield "LoRA", model, "train", training(place, model, "ft", "none")
    for model in ("qwen2-vl-2b", "smolvlm"):
        for part in ("tokens", "embeddings"):
            yield part, model, "features", features(place, part, model)
    for model in ("resnet34", "smolvlm"):
        yield "predict", model, "predict", prediction(place, model)


def dataset(place: Place, name: str = "breakhis") -> list[object]:
    return ["--manifest", place.path(paths.MANIFEST, dataset=name)]


def stored(place: Place, pattern: str, model: str) -> Path:
    return place.path(
        pattern, dataset="breakhis", model=model, magnification=MAGNIFICATION, augmentation="none", views=1
    )


def weights(place: Place, model: str) -> list[object]:
    return ["--weights", place.path(paths.WEIGHTS, model=model)]


def training(place: Place, model: str, mode: str, augmentation: str) -> list[object]:
    """Return the arguments of train.py; a linear probe's and a decoder's images are their stored features."""
    spec = place.run(model, mode, augmentation, EPOCHS)
    match spec.recipe.trainable:
        case "head":
            source = ["--features", stored(place, paths.FEATURES, model)]
        case "lora":
            source = ["--features", stored(place, paths.TOKENS, model), *weights(place, model)]
        case _:
            source = ["--pixels", place.path(paths.PIXELS, dataset="breakhis", size=336), *weights(place, model)]
    folder = place.folder / "runs" / model / mode / augmentation
    return [
        *("--specification", spec.canonical(), "--split-by", "patient", *dataset(place), *source),
        *("--folds", place.path(paths.FOLDS, dataset="breakhis", split="patient")),
        *("--device", "cpu", "--threads", 2, "--workers", 4),
        *("--output", folder / "predictions.csv", "--history", folder / "history.csv", "--run", folder / "run.json"),
    ]


def features(place: Place, part: str, model: str) -> list[object]:
    """Return the arguments of features.py; embeddings are made from stored visual tokens."""
    source = ["--pixels", place.path(paths.PIXELS, dataset="breakhis", size=336)]
    if part == "embeddings":
        source = ["--tokens", stored(place, paths.TOKENS, model)]
    spec = place.features(part, model)
    output = place.folder / "features" / f"{model}-{part}.npy"
    output.parent.mkdir(exist_ok=True)
    return [
        *("--specification", spec.canonical(), *dataset(place), *source, *weights(place, model)),
        *("--device", "cpu", "--workers", 2, "--output", output),
    ]


def prediction(place: Place, model: str) -> list[object]:
    """Return the arguments of predict.py, for the run that `training` makes."""
    spec = place.run(model, "ft", "none", EPOCHS)
    return [
        *(
            "--specification",
            spec.canonical(),
            "--trained",
            place.folder / "runs" / model / "ft/none/weights.safetensors",
        ),
        *(*weights(place, model), "--trained-on", *dataset(place)[1:], *dataset(place, "bach")),
        *("--pixels", place.path(paths.PIXELS, dataset="bach", size=336), "--device", "cpu", "--threads", 2),
        *("--output", place.folder / "predicted.csv"),
    ]
