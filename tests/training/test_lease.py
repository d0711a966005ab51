"""Leases among true processes and pretended GPUs, against a record that the processes keep by themselves."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.training import lease
from histobench.training.gpus import Gpu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CUDA GPUs are leased on Linux")

LIBRARY = Path(__file__).parents[2] / "workflow"
SNAKEMAKE = [sys.executable, "-m", "snakemake"]

JOB = """
import os, random, sys, time
from histobench.training import lease
from histobench.training.gpus import Gpu

record, uuids, share, seconds = sys.argv[1:5]
file = os.open(record, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
def note(event, uuid="-"):  # the time is taken, and the line written, while the lease is held
    os.write(file, f"{time.monotonic_ns()} {event} {uuid} {share} {os.getpid()}\\n".encode())
names = uuids.split(",")
if "shuffle" in sys.argv:  # as processes with other CUDA_VISIBLE_DEVICES would see them
    random.shuffle(names)
if sys.argv[5:] and sys.argv[5].isdecimal():  # as another user, who lets nobody in
    os.setgroups([])
    os.setuid(int(sys.argv[5]))
    os.umask(0o077)
note("arrive")
gpu = lease.take([Gpu(index, uuid) for index, uuid in enumerate(names)], int(share))
assert names[gpu.index] == gpu.uuid
note("enter", gpu.uuid)
if "fork" in sys.argv:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    import subprocess
    other = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(child, other.pid, flush=True)
time.sleep(float(seconds))
note("leave", gpu.uuid)
"""


class Machine:
    """Pretended GPUs, the folder of their leases, and the record of who was on them."""

    def __init__(self, root: Path) -> None:
        self.root, self.record, self.leases = root, root / "record.txt", root / "leases"
        self.started: list[subprocess.Popen[str]] = []
        self.record.touch()
        (root / "job.py").write_text(JOB)
        self.environment = os.environ | {"PYTHONPATH": str(LIBRARY), "HISTOBENCH_LEASES": str(self.leases)}

    def start(self, uuids: str, share: int, seconds: float, *more: str) -> subprocess.Popen[str]:
        """Start a job that holds one of the GPUs for some seconds."""
        command = [sys.executable, str(self.root / "job.py"), str(self.record), uuids, str(share), str(seconds), *more]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True))
        return self.started[-1]

    def events(self) -> list[tuple[int, str, str, int, int]]:
        """Return time, event, UUID, share and process of each line, in the order of time."""
        lines = [line.split() for line in self.record.read_text().splitlines()]
        return sorted((int(when), event, uuid, int(share), int(pid)) for when, event, uuid, share, pid in lines)

    def entered(self, process: subprocess.Popen[str]) -> str:
        """Wait until a process is on a GPU, and return that."""
        while True:
            for _, event, uuid, _, pid in self.events():
                if event == "enter" and pid == process.pid:
                    return uuid
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def says(self, process: subprocess.Popen[str]) -> str:
        """Return the next line of a process's log."""
        assert process.stderr is not None
        return process.stderr.readline()

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a holder; until the signal is sent it surely was on its GPU."""
        uuid = self.entered(process)
        with self.record.open("a") as file:
            file.write(f"{time.monotonic_ns()} leave {uuid} 0 {process.pid}\n")
        process.kill()
        process.communicate()

    def most_at_once(self) -> dict[str, int]:
        """Return how many jobs were together on each GPU at most; require that their parts never made more than one."""
        present: dict[str, dict[int, int]] = {}
        most: dict[str, int] = {}
        for _, event, uuid, share, pid in self.events():
            here = present.setdefault(uuid, {})
            if event == "enter":
                here[pid] = share
            elif event == "leave":
                here.pop(pid)
            assert sum(Fraction(1, number) for number in here.values()) <= 1, f"{uuid} is overfull: {here}"
            most[uuid] = max(most.get(uuid, 0), len(here))
        assert not any(present.values()), "a job never left"
        return {uuid: number for uuid, number in most.items() if uuid != "-"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:  # of a test that failed
        process.kill()


def test_eight_jobs_at_a_time_on_three_gpus_with_killed_holders(machine):
    chance = random.Random(5)
    kinds = [chance.choice((1, 2, 2, 2, 3)) for _ in range(40)]
    killed = set(chance.sample(range(40), 12))

    def job(number: int) -> int | None:
        process = machine.start("a,b,c", kinds[number], 0.1 + (number % 4) / 10 + 60 * (number in killed), "shuffle")
        if number in killed:
            machine.kill(process)
        else:
            process.communicate()
        return process.returncode

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(job, range(40)))
    assert codes == [-signal.SIGKILL if number in killed else 0 for number in range(40)]
    most = machine.most_at_once()
    assert set(most) == {"a", "b", "c"}
    assert max(most.values()) > 1  # some did share
    entered = [event for event in machine.events() if event[1] == "enter"]
    assert sorted(share for _, _, _, share, _ in entered) == sorted(kinds)


def test_a_waiting_job_lets_no_later_one_pass(machine):
    """Small jobs could follow each other for ever where a large one waits, and large ones where a small one does."""
    first = machine.start("a", 2, 60)
    machine.entered(first)
    gone = machine.start("a", 1, 60)
    machine.says(gone)
    gone.kill()  # who dies in the queue holds nobody up
    gone.wait()
    line = []
    for share in (1, 2, 2, 1, 1, 1, 2):
        line.append(machine.start("a", share, 60))
        said = machine.says(line[-1])
        assert said.startswith(f"waiting for a GPU: GPU 0 is leased by process {first.pid}")
        assert {int(pid) for pid in re.findall(r"\d\d+", said)} == {first.pid, *(process.pid for process in line[:-1])}
    machine.kill(first)
    for process in line:
        machine.entered(process)
        if process is not line[1]:  # the two small ones side by side
            machine.kill(process)
        if process is line[2]:
            machine.kill(line[1])
    order = [pid for _, event, _, _, pid in machine.events() if event == "enter"]
    expected = [process.pid for process in (first, *line)]
    assert order[:2] + sorted(order[2:4]) + order[4:] == expected[:2] + sorted(expected[2:4]) + expected[4:]
    assert machine.most_at_once() == {"a": 2}


def test_a_large_job_waits_for_one_gpu_while_small_ones_go_on_at_others(machine):
    small = [machine.start(uuid, 2, 60) for uuid in ("a", "b")]
    for process in small:
        machine.entered(process)
    large = machine.start("a,b", 1, 60)
    assert machine.says(large).startswith("waiting for a GPU: all 2 are leased")
    more = machine.start("a,b", 2, 60)
    where = machine.entered(more)
    for process in small:
        machine.kill(process)
    assert {where, machine.entered(large)} == {"a", "b"}
    machine.kill(more)
    machine.kill(large)
    assert machine.most_at_once() in ({"a": 2, "b": 1}, {"a": 1, "b": 2})


def test_a_forked_child_that_outlives_its_job_holds_nothing(machine):
    holder = machine.start("a", 1, 60, "fork")
    assert holder.stdout is not None
    children = [int(pid) for pid in holder.stdout.readline().split()]
    try:
        holder.kill()
        holder.wait()
        with machine.record.open("a") as file:
            file.write(f"{time.monotonic_ns()} leave a 1 {holder.pid}\n")
        other = machine.start("a", 1, 0)
        assert machine.entered(other) == "a"
        for pid in children:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state not in "ZX"  # it lives
        other.communicate()
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    machine.most_at_once()


def test_the_lease_of_a_warm_job_ends_with_it_and_not_with_its_server(machine):
    machine.environment |= {"XDG_RUNTIME_DIR": str(machine.root), "HISTOBENCH_WARM_IDLE": "1"}
    machine.environment.pop("SLURM_JOB_ID", None)
    command = [sys.executable, "-m", "histobench.warm", "--preload", "json", str(machine.root / "job.py")]
    arguments = [str(machine.record), "a", "1", "60"]
    client = subprocess.Popen([*command, *arguments], env=machine.environment)
    while not (entered := [event for event in machine.events() if event[1] == "enter"]):
        assert client.poll() is None
        time.sleep(0.02)
    job = entered[0][-1]
    server = int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1])
    assert server not in (client.pid, os.getpid())
    with machine.record.open("a") as file:
        file.write(f"{time.monotonic_ns()} leave a 1 {job}\n")
    os.kill(job, signal.SIGKILL)
    other = machine.start("a", 1, 0)
    other.communicate()
    assert (client.wait(), other.returncode) == (-signal.SIGKILL, 0)
    machine.most_at_once()


def test_small_jobs_fill_a_gpu_before_they_begin_another(machine):
    jobs = []
    for _ in range(3):
        jobs.append(machine.start("a,b,c", 2, 60))
        machine.entered(jobs[-1])
    jobs.append(machine.start("a,b,c", 1, 60))
    where = [machine.entered(job) for job in jobs]
    assert where[0] == where[1]
    assert len(set(where)) == 3
    for job in jobs:
        machine.kill(job)


def test_jobs_with_other_numbers_of_slots_never_overfill_a_gpu(machine):
    quarters = []
    for _ in range(4):
        quarters.append(machine.start("a", 4, 60))
        machine.entered(quarters[-1])
    machine.kill(quarters[0])
    machine.kill(quarters[2])
    half = machine.start("a", 2, 60)  # two quarters are left, one in each half
    assert machine.says(half).startswith("waiting for a GPU")
    whole = machine.start("a", 1, 60)
    assert machine.says(whole).startswith("waiting for a GPU")
    machine.kill(quarters[1])
    machine.entered(half)
    machine.kill(quarters[3])
    machine.kill(half)
    machine.entered(whole)
    machine.kill(whole)
    assert machine.most_at_once() == {"a": 4}


def test_waiting_is_said_once_with_who_holds_what(machine):
    holders = [machine.start("a,b", 1, 60) for _ in range(2)]
    for holder in holders:
        machine.entered(holder)
    waiting = machine.start("a,b", 1, 0)
    said = machine.says(waiting)
    first, second = sorted(holder.pid for holder in holders)
    assert said == f"waiting for a GPU: all 2 are leased by processes {first}, {second}\n"
    behind = machine.start("a", 1, 0)
    assert machine.says(behind).startswith("waiting for a GPU: GPU 0 is leased by process ")
    machine.kill(holders[0])
    machine.kill(holders[1])
    _, rest = waiting.communicate()
    assert re.fullmatch(r"GPU [01] came free after \d+ s\n", rest)
    behind.communicate()
    machine.most_at_once()


def test_leases_survive_a_clean_up_of_their_folder_while_jobs_wait(machine):
    holder = machine.start("a", 1, 60)
    machine.entered(holder)
    waiting = machine.start("a", 1, 60)
    machine.says(waiting)
    machine.kill(holder)
    machine.entered(waiting)
    for path in machine.leases.iterdir():
        path.unlink()
    machine.leases.rmdir()
    machine.kill(waiting)
    last = machine.start("a", 1, 0)
    assert last.communicate() == ("", "")
    assert last.returncode == 0
    assert sorted(path.name for path in machine.leases.iterdir()) == ["README", "a.lock"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_users_share_a_machine_whatever_their_masks(machine):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own is closed to others
        Path(place).chmod(0o777)
        machine.leases = Path(place, "leases")
        machine.environment["HISTOBENCH_LEASES"] = str(machine.leases)
        holder = machine.start("a", 1, 60, "65534")
        machine.entered(holder)
        assert machine.leases.stat().st_mode & 0o7777 == 0o1777
        lock = (machine.leases / "a.lock").stat()
        assert (lock.st_mode & 0o777, lock.st_uid) == (0o666, 65534)
        waiting = machine.start("a", 1, 0, "65533")
        assert machine.says(waiting).endswith(f"leased by process {holder.pid}\n")
        machine.kill(holder)
        waiting.communicate()
        assert waiting.returncode == 0
    machine.most_at_once()


def a_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")


def a_file(path: Path) -> None:
    path.touch()


def a_linked_lock(path: Path) -> None:
    path.mkdir()
    (path / "a.lock").symlink_to("/etc/hosts")


def no_parent(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize("spoil", [a_link, a_file, a_linked_lock, no_parent])
def test_a_folder_that_cannot_be_trusted_is_refused(tmp_path, monkeypatch, spoil):
    folder = tmp_path / "in" / "leases"
    folder.parent.mkdir()
    spoil(folder)
    monkeypatch.setenv("HISTOBENCH_LEASES", str(folder))
    with pytest.raises(HistoBenchError, match="cannot be used for the leases of GPUs") as caught:
        lease.take([Gpu(0, "a")], 1)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


SNAKEFILE = """
NUMBERS = range(4)
rule all:
    input: expand("{kind}{number}", kind=["whole", "shared"], number=NUMBERS)
rule job:
    output: "{kind}{number}"
    resources: gpu=lambda w: 2 if w.kind == "whole" else 1, share=lambda w: 1 if w.kind == "whole" else 2
    shell: "%s %s/job.py %s a,b,c {resources.share} 0.3 && touch {output}"
"""


def test_two_snakemakes_share_one_machine(machine):
    runs = []
    for name in ("one", "other"):
        folder = machine.root / name
        folder.mkdir()
        (folder / "Snakefile").write_text(SNAKEFILE % (sys.executable, machine.root, machine.record))
        command = [*SNAKEMAKE, "--cores", "8", "--resources", "gpu=6"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        runs.append(subprocess.Popen(command, cwd=folder, env=machine.environment, text=True, **pipes))
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == 0, output
    assert set(machine.most_at_once()) == {"a", "b", "c"}
    assert sum(event[1] == "leave" for event in machine.events()) == 16
