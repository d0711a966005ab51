"""A true Slurm of one node for tests: munged, slurmctld and slurmd, with pretended processors, memory and GPUs.

By hand, from the repository's root and as root (slurmd starts jobs as their users):

    python -m tests.slurm.cluster -- snakemake --profile workflow/profiles/slurm --configfile config/demo.yaml

Nothing of the system's is touched: configuration, key, sockets, logs and spool are in a temporary folder, and the ports
are free ones. Whatever ends this process, the daemons end with it.
"""

import argparse
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "unshare")
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
# In a process namespace the kernel kills all jobs when slurmd dies; else they outlive it. The folder is mounted where Slurm
# looks for its configuration, since `srun` in a Snakemake job is not told of another; nobody outside sees that.
NAMESPACE = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child")
MOUNTED = 'mount --bind "$1" /etc/slurm && exec slurmd -D -N "$2"'
GPUS = 4
CONFIG = """\
ClusterName=histobench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
# Slurm holds a requeued job back until its old credentials have expired, two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
# Without cgroups, which a container has not: processes are found by their parents, and nothing binds them to cores.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
ReturnToService=2
# A real cluster backs up its queue at leisure; here each start and end is acted upon at once.
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
KillWait=5
MinJobAge=3600
# What this node is said to have is believed, whatever it has.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Port={node} CPUs={cpus} RealMemory=262144 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why no cluster can be started here; empty where one can."""
    if sys.platform != "linux":
        return "Slurm runs on Linux only"
    absent = [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]
    if absent:
        return f"{', '.join(absent)} not found: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "only root can start slurmd"
    if subprocess.run([*NAMESPACE, "mount", "--bind", "/etc/slurm", "/etc/slurm"], capture_output=True).returncode:
        return "this machine does not let root make process and mount namespaces"
    return ""


@contextmanager
def cluster(cpus: int = 8) -> Iterator[dict[str, str]]:
    """Start a node with `cpus` pretended processors and GPUS pretended GPUs; yield what its users have in their environment.

    Raises:
        RuntimeError: a daemon does not start, or the node does not become idle in a minute; with the ends of the logs.
    """
    host = socket.gethostname().partition(".")[0]
    with ExitStack() as stack:
        # Not in TMPDIR: the path of a socket holds 107 characters.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histobench-slurm-", dir="/tmp")))
        folder.chmod(0o755)  # munged wants a folder that others cannot write, and clients enter it
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").touch(0o600)
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        ports = free_ports(2)
        (folder / "slurm.conf").write_text(
            CONFIG.format(host=host, folder=folder, controller=ports[0], node=ports[1], cpus=cpus, gpus=GPUS)
        )
        devices = [folder / f"gpu{number}" for number in range(GPUS)]
        for device in devices:
            device.symlink_to("/dev/null")
        (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
        environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))
            },
            "PATH": PLACES,
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
        munged += [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "seed", "log")]
        for command in (
            munged,
            ["slurmctld", "-D", "-c"],
            [*NAMESPACE, "sh", "-c", MOUNTED, "slurmd", str(folder), host],
        ):
            stack.enter_context(daemon(command, folder, environment))
        wait_until_idle(folder, environment)
        yield environment


@contextmanager
def daemon(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a program until the block is left; it dies with this process in any case.

    It has a session of its own: a Ctrl-C in the terminal is for the command, whose end ends the cluster.
    """
    with (folder / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(count: int) -> list[int]:
    """Return the numbers of free TCP ports."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until_idle(folder: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while True:
        sinfo = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"], env=environment, capture_output=True, text=True, check=False
        )
        if sinfo.stdout.strip() == "idle":
            return
        if time.monotonic() > deadline:
            logs = [path for path in sorted(folder.iterdir()) if path.suffix in (".log", ".out")]
            ends = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs)
            raise RuntimeError(f"the node is {sinfo.stdout.strip() or sinfo.stderr.strip()!r} after a minute\n{ends}")
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=int, default=8, help="processors that the node pretends to have")
    parser.add_argument("command", nargs="+", help="what to run beside the cluster, after --")
    given = parser.parse_args()
    if reason := missing():
        sys.exit(f"error: {reason}")
    with cluster(given.cpus) as environment:
        process = subprocess.Popen(given.command, env=environment, preexec_fn=die_with_parent)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            with suppress(KeyboardInterrupt):  # the command got it too, and ends in its own way
                return process.wait()


if __name__ == "__main__":
    sys.exit(main())
