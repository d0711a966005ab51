"""What this machine and folder are like: gathered here, judged in :mod:`histobench.tools.checks`."""

import fcntl
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from histobench.tools.rates import cores


@dataclass(frozen=True)
class Package:
    """A package of the lock."""

    name: str
    locked: str
    """The version in requirements.lock."""
    installed: str | None
    """The version that is there."""


def packages(lock: str) -> list[Package]:
    """Return what a lock file asks for on this platform, and what of it is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in lock.splitlines():
        if line[:1] in ("", " ", "#"):
            continue
        with suppress(InvalidRequirement):
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate():
                found.append(Package(wanted.name, str(wanted.specifier).removeprefix("=="), version(wanted.name)))
    return found


def version(name: str) -> str | None:
    """Return the installed version of a package; None where it is not installed."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


@dataclass(frozen=True)
class Card:
    """A GPU as the driver lists it."""

    name: str
    memory: float
    """Bytes, as `free`."""
    free: float
    driver: str


def cards() -> list[Card]:
    """Return the GPUs that nvidia-smi lists; none where there is no such program."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"]
    return cards_of(said(query))


def cards_of(text: str) -> list[Card]:
    """Read nvidia-smi's table: name, memory and free memory in MiB, driver."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        with suppress(ValueError, IndexError):
            found.append(Card(parts[0], float(parts[1]) * 2**20, float(parts[2]) * 2**20, parts[3]))
    return found


def said(command: list[str], limit: float = 5) -> str:
    """Return what a program prints; nothing where it is not there, fails, or takes longer than `limit` seconds."""
    with suppress(OSError, subprocess.SubprocessError):
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, check=False
        )
        return ended.stdout if ended.returncode == 0 else ""
    return ""


@dataclass(frozen=True)
class Memory:
    """Main memory that jobs here may use, in bytes; 0 where it cannot be told."""

    total: float
    available: float
    cores: int


def memory() -> Memory:
    """Return this machine's memory, or the share of it that a container or a queue's job is given."""
    import psutil

    now = psutil.virtual_memory()
    total, available = float(now.total), float(now.available)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            total = min(total, float(Path(path).read_text()))
    return Memory(total, min(available, total), cores())


@dataclass(frozen=True)
class Place:
    """A folder of the study, or the nearest above it that is there, and the disk that it is on."""

    name: str
    device: int
    """Number of the file system."""
    kind: str
    """Its type: ext4, nfs4, ..."""
    free: float
    """Bytes."""
    writable: bool
    locks: bool
    """Locks of files work there."""


def place(name: str) -> Place:
    """Look at a folder: write a file in it, and lock that. Nothing stays there."""
    folder = Path(name).absolute()
    while not folder.is_dir():
        folder = folder.parent
    writable, locks = False, False
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(b"x" * 4096)
        file.flush()
        writable = True
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks = True
    mounts = ""
    with suppress(OSError):
        mounts = Path("/proc/mounts").read_text()
    return Place(
        name, folder.stat().st_dev, file_system(mounts, folder), shutil.disk_usage(folder).free, writable, locks
    )


def file_system(mounts: str, folder: Path) -> str:
    """Return the type of the file system of an absolute path by /proc/mounts; empty where it does not say."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) > 2 and folder.is_relative_to(point := parts[1].replace("\\040", " ")) and len(point) >= best:
            best, kind = len(point), parts[2]
    return kind


def quota() -> float | None:
    """Return the bytes that the user's quota still allows, the least of all file systems; None where none can be told."""
    return quota_of(said(["quota", "--no-wrap", "--raw-grace", "--user"]))


def quota_of(text: str) -> float | None:
    """Read what quota(1) prints: file system, blocks of 1 KiB in use (a star where there are too many), quota, limit, ..."""
    left = []
    for line in text.splitlines():
        parts = line.split()
        with suppress(ValueError, IndexError):
            used, soft, hard = (float(part.rstrip("*")) for part in parts[1:4])
            if limit := hard or soft:
                left.append(max(0.0, limit - used) * 1024)
    return min(left, default=None)


def answer(url: str, limit: float = 4) -> str:
    """Ask for the head of an address, by the proxies that the environment names; return what is wrong, or nothing.

    Another answer than yes is still an answer: some servers give no heads.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "histobench"})
    try:
        with urllib.request.build_opener().open(request, timeout=limit):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"answers {error.code} {error.reason}" if error.code in (404, 407, 410, 511) else ""
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def host(url: str) -> str:
    """Return the host of an address."""
    return urlsplit(url).hostname or url


@dataclass(frozen=True)
class Leftovers:
    """What earlier runs have left behind."""

    locks: int
    """Snakemake's locks on this folder."""
    working: list[int]
    """Processes of Snakemake at work in this folder."""
    checkpoints: list[str]
    """Runs that were interrupted, and go on from there."""
    incomplete: int
    """Outputs that a job was making when Snakemake was killed."""
    partial: list[str]
    """Downloads that broke off, and go on from there."""


def leftovers(sources: Iterable[Path]) -> Leftovers:
    """Look for what earlier runs have left here, and for what is left of downloads to `sources`."""
    state = Path(".snakemake")
    checkpoints = [str(path.parent) for path in Path("results").glob("*/runs/*/*/*/*/*/*/checkpoint.pt")]
    partial = [str(path) for path in sources if path.with_name(f".{path.name}.part").exists()]
    return Leftovers(
        len(list((state / "locks").glob("*.lock"))),
        snakemakes(),
        sorted(checkpoints),
        len(list((state / "incomplete").rglob("*"))) if (state / "incomplete").is_dir() else 0,
        partial,
    )


def snakemakes() -> list[int]:
    """Return the processes of Snakemake whose working directory is this one."""
    import psutil

    here, found = str(Path.cwd()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any("snakemake" in Path(part).name for part in process.cmdline()[:3]) and process.cwd() == here:
                found.append(process.pid)
    return found
