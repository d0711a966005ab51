"""What a study needs against what a machine has: facts in, lines out. :mod:`histobench.tools.doctor` gathers and prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from histobench.fetch.downloads import Download
from histobench.tools.disk import Need
from histobench.tools.machine import Card, Leftovers, Memory, Package, Place, host
from histobench.tools.rates import Device
from histobench.tools.text import amount, duration

SET_UP = "rm -f .venv/.requirements.lock && make doctor"
AGAIN = "make doctor   # again"
LONG = 3 * 86400
"""Seconds of arithmetic from which on a processor is no place for a study."""

RIVALS = {
    "albumentationsx": "it takes the place of albumentations, under another licence and with other transforms",
    "opencv-python": "it and opencv-python-headless both bring cv2; which one is imported is chance",
    "opencv-contrib-python": "it and opencv-python-headless both bring cv2; which one is imported is chance",
}
"""Packages that the lock does not have and that would get in its way."""


@dataclass(frozen=True)
class Line:
    """One finding."""

    status: Literal["ok", "note", "problem"]
    topic: str
    text: str
    remedy: str = ""
    """What helps: a command, or a sentence behind a `#`."""


def python(version: tuple[int, ...]) -> Line:
    """Judge the version of Python."""
    text = ".".join(map(str, version[:3]))
    if version[:2] < (3, 11):
        return Line("problem", "Python", f"{text}, but HistoBench needs 3.11 or newer", "make doctor PYTHON=python3.12")
    return Line("ok", "Python", text)


def packages(found: Sequence[Package], extra: Sequence[str] = ()) -> list[Line]:
    """Judge the installed packages by the lock; `extra` are the names of `RIVALS` that are installed."""
    missing = [package for package in found if package.installed is None]
    different = [package for package in found if package.installed and package.installed != package.locked]
    lines = []
    if missing:
        text = f"{len(missing)} of {len(found)} in requirements.lock are missing: {_some(p.name for p in missing)}"
        lines.append(Line("problem", "packages", text, SET_UP))
    if different:
        names = (f"{p.name} {p.installed} (locked {p.locked})" for p in different)
        lines.append(
            Line("note", "packages", f"{len(different)} differ from requirements.lock: {_some(names)}", SET_UP)
        )
    if not lines:
        lines.append(Line("ok", "packages", f"all {len(found)} are those of requirements.lock"))
    lines += [Line("note", "packages", f"{name} is installed: {RIVALS[name]}") for name in extra]
    return lines


def _some(names: Any, most: int = 4) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def torch(probe: Mapping[str, Any]) -> Line:
    """Judge whether PyTorch can be used."""
    if "error" in probe:
        return Line("problem", "PyTorch", f"cannot be used: {probe['error']}", SET_UP)
    build = f"built for CUDA {probe['cuda_build']}" if probe["cuda_build"] else "built without CUDA"
    return Line("ok", "PyTorch", f"{probe['torch']}, {build}")


def gpus(probe: Mapping[str, Any], cards: Sequence[Card], wanted: str, need: float = 0) -> list[Line]:
    """Judge the GPUs.

    Args:
        probe: what PyTorch finds.
        cards: what the driver lists.
        wanted: `device` of the configuration.
        need: bytes that the largest model of the study takes on one, without activations.
    """
    if "error" in probe:
        names = _some(dict.fromkeys(card.name for card in cards))
        return [Line("note", "GPU", f"{names or 'none that nvidia-smi lists'}; more cannot be told without PyTorch")]
    usable = probe.get("gpus", [])
    if not usable and probe.get("kind") == "mps" and wanted in ("auto", "mps"):
        return [Line("ok", "GPU", "Apple's (mps)")]
    if not usable:
        return [_no_gpu(probe, cards, wanted)]
    lines = []
    numbered = f"{len(usable)} GPUs: " if len(usable) > 1 else ""
    each = (f"{gpu['name']}, {amount(gpu['free'])} of {amount(gpu['memory'])} free" for gpu in usable)
    driver = f"; driver {cards[0].driver}" if cards else ""
    unused = " (the configuration says `device: cpu`)" if wanted == "cpu" else ""
    lines.append(Line("ok", "GPU", numbered + "; ".join(dict.fromkeys(each)) + driver + unused))
    if wanted != "cpu":
        if len(cards) > len(usable):
            text = f"{len(cards)} are in this machine, {len(usable)} can be used: CUDA_VISIBLE_DEVICES or a scheduler says so"
            lines.append(Line("note", "GPU", text))
        busy = [gpu for gpu in usable if gpu["free"] < 0.5 * gpu["memory"]]
        if busy:
            lines.append(Line("note", "GPU", f"{len(busy)} of {len(usable)} have less than half of their memory free"))
        if need > max(gpu["memory"] for gpu in usable):
            text = f"the study's largest model takes {amount(need)} without activations, more than any GPU here has"
            lines.append(Line("problem", "GPU", text, "# choose a smaller model, or a GPU with more memory"))
    return lines


def _no_gpu(probe: Mapping[str, Any], cards: Sequence[Card], wanted: str) -> Line:
    if cards and wanted != "cpu":
        if not probe["cuda_build"]:
            text = f"the driver lists {cards[0].name}, but this PyTorch is built without CUDA"
            return Line("problem", "GPU", text, SET_UP)
        text = (
            f"the driver {cards[0].driver} lists {cards[0].name}, but PyTorch, built for CUDA {probe['cuda_build']}, cannot "
            "use it: the driver is too old for that, or CUDA_VISIBLE_DEVICES hides it"
        )
        return Line(
            "problem", "GPU", text, f"# update the driver to one for CUDA {probe['cuda_build']}, or set `device: cpu`"
        )
    if wanted.startswith(("cuda", "mps")):
        text = f"none can be used, but the configuration says `device: {wanted}`"
        return Line("problem", "GPU", text, "# set `device: auto`, or run the study on a machine with a GPU")
    if wanted == "cpu":
        return Line("ok", "GPU", "none, and the configuration asks for none (`device: cpu`)")
    return Line("note", "GPU", "none: everything is computed on the processor")


def memory(found: Memory, need: float) -> Line:
    """Judge the main memory; `need` is what the largest job takes, in bytes, without activations."""
    text = f"{found.cores} cores; {amount(found.available)} of {amount(found.total)} memory free"
    if need > found.total:
        text += f"; the largest job takes {amount(need)}, which does not fit"
        return Line(
            "problem", "processor", text, "# run the study on a machine with more memory, or choose a smaller model"
        )
    if need > found.available:
        return Line("note", "processor", f"{text}; the largest job takes {amount(need)}: other programs hold the rest")
    return Line("ok", "processor", text + (f"; the largest job takes about {amount(need)}" if need else ""))


def disks(places: Sequence[Place], needs: Sequence[Need], quota: float | None = None) -> list[Line]:
    """Judge the folders of a study, and whether what is still to come fits on their disks."""
    lines = []
    for place in places:
        if not place.writable:
            lines.append(Line("problem", "disk", f"{place.name} cannot be written", f"# make {place.name} writable"))
        elif not place.locks:
            text = f"{place.name} is on {place.kind or 'a disk'}, where locks of files do not work: jobs rely on them"
            lines.append(Line("problem", "disk", text, "# move the project to another disk"))
    for number in dict.fromkeys(place.device for place in places):
        here = [place for place in places if place.device == number]
        names = {place.name for place in here}
        coming = sum(need.missing for need in needs if need.place in names)
        free = min(place.free for place in here)
        kind = f" ({here[0].kind})" if here[0].kind else ""
        text = f"{' and '.join(sorted(names))}{kind}: {amount(free)} free, the study still needs {amount(coming)}"
        remedy = f"# free {amount(coming - free)}, or move the project to a larger disk" if coming > free else ""
        lines.append(Line("problem" if remedy else "ok", "disk", text, remedy))
    coming = sum(need.missing for need in needs)
    if quota is not None:
        remedy = f"# ask for {amount(coming - quota)} more of quota, or remove files of yours" if coming > quota else ""
        text = f"your quota leaves {amount(quota)}, the study still needs {amount(coming)}"
        lines.append(Line("problem" if remedy else "ok", "disk", text, remedy))
    return lines


def sources(downloads: Sequence[Download], absent: Sequence[str], wrong: Sequence[str], fetch: str) -> list[Line]:
    """Judge data and weights.

    Args:
        downloads: what can be downloaded.
        absent: datasets of the user's own that are not where the configuration says.
        wrong: sentences on weights of the user's own that are not.
        fetch: the command that downloads everything.
    """
    lines = [
        Line("problem", "data", f"{path} is not there", f"# put your images at {path}, or correct the configuration")
        for path in absent
    ]
    lines += [
        Line("problem", "weights", sentence, "# put these weights there, or correct the configuration")
        for sentence in wrong
    ]
    for download in downloads:
        topic, _, name = download.name.partition(" ")
        topic = topic.replace("dataset", "data")
        if not download.present:
            lines.append(Line("note", topic, f"{name}: not here yet; will be {download.path}", fetch))
        elif not download.path.exists():
            lines.append(Line("ok", topic, f"{name}: what is made of it is here"))
        else:
            known = (
                f"SHA-256 {download.sha256[:8]}..., checked when it is read"
                if download.sha256
                else "checked when it is read"
            )
            lines.append(Line("ok", topic, f"{name}: {download.path} is here ({known})"))
    return lines or [Line("ok", "data", "nothing has to be downloaded")]


def network(downloads: Sequence[Download], answers: Mapping[str, str], fetch: str) -> list[Line]:
    """Judge the network by what is missing.

    Args:
        downloads: what can be downloaded.
        answers: address -> what is wrong with it; empty where it answers.
        fetch: the command that downloads everything or, without a network, lists what to get elsewhere.
    """
    missing = [download for download in downloads if not download.present]
    if not missing:
        return [Line("ok", "network", "not needed")]
    lines = []
    if good := sorted({host(url) for url, fault in answers.items() if not fault}):
        lines.append(Line("ok", "network", f"{', '.join(good)} answer{'s' if len(good) == 1 else ''}"))
    lost = [item for item in missing if all(answers.get(url, "was not asked") for url in item.addresses)]
    if lost:
        faults: dict[str, list[str]] = {}
        for url in dict.fromkeys(url for item in lost for url in item.addresses):
            hosts = faults.setdefault(answers.get(url, "was not asked"), [])
            hosts += [host(url)] if host(url) not in hosts else []
        tried = "; ".join(f"{', '.join(hosts)}: {fault}" for fault, hosts in faults.items())
        which = "what is missing" if len(lost) == len(missing) else _some(item.name for item in lost)
        remedy = f"{fetch}   # lists what to get on another machine, and where to put it"
        lines.append(Line("problem", "network", f"{which} cannot be had from here ({tried})", remedy))
    return lines


def programs(found: Mapping[str, str | None]) -> list[Line]:
    """Judge the programs beside Python; `found` gives each its version or path."""
    lines = []
    if found.get("snakemake"):
        lines.append(Line("ok", "programs", f"Snakemake {found['snakemake']}"))
    else:
        lines.append(Line("problem", "programs", "Snakemake is not installed", SET_UP))
    if not found.get("git"):
        lines.append(
            Line("note", "programs", "git is not here: results do not say which version of the code made them")
        )
    if found.get("sbatch"):
        text = "Slurm is here: `snakemake --profile workflow/profiles/slurm` hands every job to the queue"
        lines.append(Line("note", "programs", text))
    here = [name for name in ("git", "chromium") if found.get(name)]
    absent = [] if found.get("chromium") else ["without chromium, tests of the page in a browser are skipped"]
    text = "; ".join([f"{', '.join(here)} found"] * bool(here) + absent)
    return [*lines, Line("ok", "programs", text)] if text else lines


def leftovers(found: Leftovers) -> list[Line]:
    """Judge what earlier runs have left behind."""
    lines = []
    if found.working:
        lines.append(
            Line("note", "left over", f"Snakemake is at work here (process {found.working[0]}); it holds the folder")
        )
    elif found.locks:
        text = (
            "a Snakemake that was killed has left its lock: the next one removes it, or asks for `snakemake --unlock`"
        )
        lines.append(Line("note", "left over", text))
    if found.checkpoints:
        one = len(found.checkpoints) == 1
        runs = "1 run was interrupted and goes" if one else f"{len(found.checkpoints)} runs were interrupted and go"
        lines.append(
            Line("note", "left over", f"{runs} on from the last finished epoch: {_some(found.checkpoints, 1)}")
        )
    if found.incomplete and not found.working:
        lines.append(Line("note", "left over", f"{found.incomplete} files were being made when a Snakemake was killed"))
    lines += [
        Line("note", "left over", f"the download of {path} broke off and goes on from there") for path in found.partial
    ]
    return lines or [Line("ok", "left over", "nothing of interrupted runs")]


def study(name: str, runs: int, to_do: int, taken: float | None, device: Device, assumed: bool) -> Line:
    """Judge what a study still takes: seconds of arithmetic, one job after another."""
    if not to_do:
        return Line("ok", "study", f"{name}: all {runs} runs are done")
    text = f"{name}: {to_do} of {runs} runs to do"
    if taken is None:
        return Line("note", "study", f"{text}; how long they take cannot be said yet")
    hours = f"{taken / 3600:.1f} GPU-hours" if device.kind == "cuda" and taken > 360 else duration(taken)
    text += f"; about {hours} of arithmetic on {device.name}, by {'assumed' if assumed else 'measured'} rates"
    if device.kind == "cpu" and taken > LONG:
        return Line("note", "study", f'{text}; a GPU takes hours (`make plan ARGS="--gpu H100"`)')
    return Line("ok", "study", text)


def advice(lines: Sequence[Line], begin: str, done: bool, page: str) -> list[str]:
    """Return what to do next, in one to three steps: commands, or sentences behind a `#` where no command helps.

    Args:
        lines: all findings.
        begin: the command that runs the study.
        done: every run of it is done.
        page: path of its page, if it is there.
    """
    if problems := [line for line in lines if line.status == "problem"]:
        steps = list(dict.fromkeys(line.remedy for line in problems))
        return steps[:1] if SET_UP in steps[:1] else [*steps[:2], AGAIN]
    if done and page:
        return [f"# open {page} in a browser"]
    fetch = next((line.remedy for line in lines if line.topic in ("data", "weights") and line.remedy), "")
    return [*([fetch] if fetch else []), begin]
