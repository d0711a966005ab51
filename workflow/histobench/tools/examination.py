"""The doctor's way through all checks: each apart from the others, beside them, and never the end of the others."""

import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from histobench.fetch.downloads import Download, downloads
from histobench.fetch.snapshot import check_own
from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import Config
from histobench.tools import checks, machine
from histobench.tools.arms import cost
from histobench.tools.checks import Line
from histobench.tools.disk import needs
from histobench.tools.estimate import Estimate, kind_of
from histobench.tools.plan import arguments, seconds
from histobench.tools.rates import Device, named, present, probed, rates
from histobench.tools.studies import study
from histobench.tools.text import wrapped

PATIENCE = 60
"""Seconds after which a check that has not answered is given up: a disk that hangs, say."""
INDENT = " " * 22


class Later:
    """What a function returns, worked out beside other things; what it raises is raised where it is asked for."""

    def __init__(self, work: Callable[[], Any]):
        self._result: Any = None
        self._error: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)  # a check that hangs does not keep the process
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # a doctor never faints
            self._error = error

    def __call__(self, limit: float = PATIENCE) -> Any:
        self._thread.join(limit)
        if self._thread.is_alive():
            raise TimeoutError(f"no answer within {limit:g} s")
        if self._error is not None:
            raise self._error
        return self._result


@dataclass(frozen=True)
class Patient:
    """A study and the machine it is to run on; what takes time is begun at once."""

    config: Config
    configfiles: Sequence[Path]
    gpu: str | None
    probe: Later

    @property
    def fetch(self) -> str:
        """The command that downloads everything."""
        files = " ".join(map(str, self.configfiles))
        return f'make fetch ARGS="--configfile {files}"' if files else "make fetch"

    @property
    def begin(self) -> str:
        """The command that runs the study."""
        files = " ".join(map(str, self.configfiles))
        if not files:
            return "make reproduce"
        return "make demo" if files == "config/demo.yaml" else f'make reproduce ARGS="--configfile {files}"'

    @cached_property
    def estimate(self) -> Estimate:
        """The study's jobs."""
        return Estimate(self.config)

    @cached_property
    def device(self) -> Device:
        """Where the study is to run."""
        return named(self.gpu) if self.gpu else present(self.probe(), self.config.device)

    @cached_property
    def downloads(self) -> list[Download]:
        """What the study needs from the network."""
        return downloads(self.config)

    @cached_property
    def to_do(self) -> int:
        """Runs still to train."""
        return sum(not job.done for job in self.estimate.training)

    def heaviest(self, each: int, training: bool) -> float:
        """Return the bytes of the largest model of the jobs to do: `each` for a frozen parameter, 16 for a trained one.

        A trained one has its value, its gradient and AdamW's two moments, in fp32.
        """
        sizes = [0.0]
        for job in self.estimate.jobs:
            counted = cost(self.config, job.model, job.mode)
            if not job.done and not (job.kind == "train" and kind_of(self.config, job) == "head"):
                trained = counted.trainable if training and job.kind == "train" else 0
                sizes.append(each * (counted.total - trained) + 16.0 * trained)
        return max(sizes)

    def gpus(self) -> list[Line]:
        return checks.gpus(self.probe(), machine.cards(), self.config.device, self.heaviest(2, training=True))

    def memory(self) -> list[Line]:
        on_gpu = self.device.kind == "cuda"
        return [checks.memory(machine.memory(), self.heaviest(2 if on_gpu else 4, training=not on_gpu))]

    def disks(self) -> list[Line]:
        places = [machine.place(name) for name in ("results", "resources")]
        return checks.disks(places, needs(self.estimate, self.device.kind == "cuda"), machine.quota())

    def sources(self) -> list[Line]:
        absent, wrong = [], []
        for name in self.config.used_datasets:
            dataset = self.config.datasets[name]
            if not dataset.synthetic and not dataset.url:
                absent += [
                    path for path in (self.config.source(name), dataset.table) if path and not Path(path).exists()
                ]
        for model in dict.fromkeys(run.model for run in self.config.runs):
            try:
                if not Path(paths.WEIGHTS.format(model=model)).exists():
                    check_own(self.config.models[model].weights)
            except HistoBenchError as error:
                wrong.append(f"models.{model}.weights: {error}")
        return checks.sources(self.downloads, absent, wrong, self.fetch)

    def network(self) -> list[Line]:
        missing = [url for item in self.downloads if not item.present for url in item.addresses]
        asked = {url: Later(lambda url=url: machine.answer(url)) for url in missing}
        return checks.network(self.downloads, {url: later() for url, later in asked.items()}, self.fetch)

    def leftovers(self) -> list[Line]:
        return checks.leftovers(machine.leftovers(download.path for download in self.downloads))

    def study(self) -> list[Line]:
        rate = rates(self.config, self.device)
        jobs = [job for job in self.estimate.jobs if not job.done]
        assumed = any(rate.of(job)[1] != "measured" for job in jobs if job.kind == "train")
        runs = len(self.estimate.training)
        taken = None if self.estimate.unknown else seconds(jobs, rate)
        lines = [checks.study(self.config.study, runs, self.to_do, taken, self.device, assumed)]
        return lines + [
            Line(
                "note", "study", f"the images of {name} cannot be counted before they are read: no number here has them"
            )
            for name in self.estimate.unknown
        ]


def packages() -> list[Line]:
    lock = Path("requirements.lock").read_text(encoding="utf-8")
    return checks.packages(machine.packages(lock), [name for name in checks.RIVALS if machine.version(name)])


def programs() -> list[Line]:
    found = {name: shutil.which(name) for name in ("git", "chromium", "sbatch")}
    return checks.programs(found | {"snakemake": machine.version("snakemake")})


def examined(topic: str, later: Later) -> list[Line]:
    """Return what a check finds; a check that fails itself is a note."""
    try:
        return later()
    except HistoBenchError as error:
        return [Line("problem", topic, str(error), f"# see to this: {topic}")]
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return [Line("note", topic, f"could not be examined ({type(error).__name__}: {reason})")]


def shown(line: Line) -> list[str]:
    """Return a finding as lines of text: status, topic, and the sentence."""
    return wrapped(f"{line.status:8}  {line.topic:10}  {line.text}", INDENT)


def main(description: str) -> int:
    """Examine, print, and return the exit status: 1 when the study cannot run as things are."""
    given = arguments(description).parse_args()
    lines: list[Line] = []

    def show(topic: str, later: Later) -> None:
        for line in examined(topic, later):
            lines.append(line)
            print("\n".join(shown(line)), flush=True)

    probe = Later(probed)
    early = {"packages": Later(packages), "programs": Later(programs)}
    show("Python", Later(lambda: [checks.python(sys.version_info[:3])]))
    show("packages", early["packages"])
    show("PyTorch", Later(lambda: [checks.torch(probe())]))
    try:
        config = study(given.configfile)
        if given.gpu:
            named(given.gpu)
    except (HistoBenchError, ImportError) as error:
        show("programs", early["programs"])
        for sentence in str(error).splitlines():
            show("study", Later(lambda text=sentence: [Line("problem", "study", text, "# correct the configuration")]))
        steps = checks.advice(lines, "", False, "")
    else:
        patient = Patient(config, given.configfile, given.gpu, probe)
        with suppress(Exception):  # whoever asks for it next says why it cannot be told
            _ = patient.downloads
        parts = {"network": patient.network, "GPU": patient.gpus, "processor": patient.memory, "disk": patient.disks}
        parts |= {"data": patient.sources, "left over": patient.leftovers, "study": patient.study}
        under_way = {topic: Later(work) for topic, work in parts.items()} | early
        for topic in ("GPU", "processor", "disk", "data", "network", "programs", "left over", "study"):
            show(topic, under_way[topic])
        page, done = Path(paths.STUDY.format(study=config.study), "report.html"), False
        with suppress(Exception):  # a check has said it
            done = not patient.to_do
        steps = checks.advice(lines, patient.begin, done, str(page) if page.exists() else "")
    bad = any(line.status == "problem" for line in lines)
    print("\n" + ("The study cannot run as things are. " if bad else "") + "What to do next:")
    print("\n".join(f"  {step}" for step in steps), flush=True)
    return 1 if bad else 0
