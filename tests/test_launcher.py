"""The launcher against the interpreter itself: a script behaves the same however it is started."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histobench import launcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the launcher needs Linux")

LIBRARY = Path(__file__).parents[1] / "workflow"


class Place:
    """A folder with scripts, and an environment that no other test shares a server with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        dropped = (*launcher.SCHEDULERS, "HISTOBENCH_LAUNCHER")
        self.environment = {name: value for name, value in os.environ.items() if name not in dropped}
        self.environment |= {"PYTHONPATH": str(LIBRARY), "PYTHON_OF_THIS_TEST": str(folder)}
        self.environment |= {"HISTOBENCH_LAUNCHER_IMPORTS": "json", "HISTOBENCH_LAUNCHER_IDLE": "3"}

    def start(self, script: str, *arguments: str, direct: bool = False, **changes: str) -> subprocess.Popen[str]:
        """Start a script through the launcher, or directly."""
        # By a rename: a job that starts at the same moment never reads half a script.
        (draft := self.folder / f"{threading.get_ident()}.py").write_text(script)
        draft.replace(self.folder / "script.py")
        module = [] if direct else ["-m", "histobench.launcher"]
        pipe, command = subprocess.PIPE, [sys.executable, *module, "script.py", *arguments]
        environment = self.environment | changes
        # Tests may run with these ignored, which a script would inherit.
        return subprocess.Popen(
            ["env", "--default-signal=INT,HUP", *command],
            cwd=self.folder,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, script: str, *arguments: str, stdin: str = "", **options) -> tuple[int, str, str]:
        """Return exit status, output and errors of a script."""
        with self.start(script, *arguments, **options) as process:
            output, errors = process.communicate(stdin, timeout=60)
        return process.returncode, output, errors

    def server(self) -> int:
        """Return the process of the server: a script's parent is the process of its client, whose parent is the server."""
        script = "import os; print(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])"
        return int(self.run(script)[1])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


LOOK = """
import json, os, signal, sys
environment = {n: v for n, v in os.environ.items() if n not in ("HISTOBENCH_START", "_", "SHLVL")}
handlers = [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)]
print(json.dumps([sys.argv, sys.path[0], os.getcwd(), environment, handlers, sys.stdin.read(), __name__, __file__]))
print("to stderr", file=sys.stderr)
"""


def test_a_script_sees_what_it_would_see_directly(place):
    seen, directly = (
        place.run(LOOK, "--flag", "two words", "", stdin="typed", direct=direct, GREETING="gr\udcfc\u00df dich")
        for direct in (False, True)
    )
    (code, output, errors), (_, expected, _) = seen, directly
    assert (code, errors) == (0, "to stderr\n")
    here, there = json.loads(output), json.loads(expected)
    here[-1], there[-1] = Path(here[-1]).name, Path(there[-1]).name  # the launcher gives it as on the command line
    assert here == there
    assert place.run("import os; print(os.environ['HISTOBENCH_START'])")[1] == "launcher\n"


@pytest.mark.parametrize(
    ("script", "code", "last"),
    [
        ("print('done')", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('a message')", 1, "a message"),
        ("{}['key']", 1, "KeyError: 'key'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_the_script_ends(place, script, code, last):
    for direct in (False, True):
        found, _, errors = place.run(script, direct=direct)
        assert found == code
        assert (errors.splitlines() or [""])[-1] == last


WAITS = """
import signal, sys, time
def end(number, frame):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), end)
print("waiting", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_signals_reach_the_script(place, name):
    with place.start(WAITS, name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.Signals[name])
        assert process.communicate(timeout=20)[0] == f"{name}\n"
    assert process.returncode == 7


def test_a_script_whose_parent_ignores_sigint_ignores_it_and_still_ends_on_sigterm(place):
    script = "import signal, time; print(signal.getsignal(signal.SIGINT), flush=True); time.sleep(60)"
    (place.folder / "script.py").write_text(script)
    command = ["env", "--ignore-signal=INT", sys.executable, "-m", "histobench.launcher", "script.py"]
    options = {"cwd": place.folder, "env": place.environment, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        assert process.stdout.readline() == "1\n"  # SIG_IGN
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


def test_the_script_is_asked_to_end_when_its_client_is_killed(place):
    script = WAITS.replace("print(signal.Signals(number).name, flush=True)", "open('asked', 'w').close()")
    with place.start(script, "SIGTERM") as process:
        process.stdout.readline()
        process.kill()
    wait_until((place.folder / "asked").exists)


def test_a_job_survives_its_server_and_ends_with_the_process_between(place):
    script = """
import os, time
from histobench.io.process import end_with_parent
end_with_parent()
print(os.getpid(), os.getppid(), flush=True)
time.sleep(60)
"""
    with place.start(script, HISTOBENCH_SNAKEMAKE="7") as process:
        job, between = map(int, process.stdout.readline().split())
        server = int(Path(f"/proc/{between}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not lives(server))
        assert lives(job)
        os.kill(between, signal.SIGKILL)
        errors = process.communicate(timeout=20)[1]
        assert errors == (
            "error: script.py: the launcher's server was killed, and the job with it; run the command again\n"
        )
        wait_until(lambda: not lives(job))
    assert process.returncode == 1


def test_jobs_that_start_at_once_share_one_server(place):
    place.environment["HISTOBENCH_LAUNCHER_IDLE"] = "30"
    with ThreadPoolExecutor(8) as pool:
        (server,) = set(pool.map(lambda _: place.server(), range(16)))
    os.kill(server, signal.SIGKILL)


def test_a_server_ends_when_idle_and_the_next_job_starts_another(place):
    place.environment["HISTOBENCH_LAUNCHER_IDLE"] = "0.5"
    server = place.server()
    wait_until(lambda: not lives(server))
    assert place.server() not in (0, server)


def test_a_server_is_idle_from_the_end_of_its_last_job(place):
    place.environment["HISTOBENCH_LAUNCHER_IDLE"] = "2"
    server = place.server()
    place.run("import time; time.sleep(3)")
    time.sleep(1.3)  # more than four seconds after the job came
    assert lives(server)


def test_it_works_where_a_sandbox_lacks_system_calls(place):
    """Such as gVisor: machines with a GPU are often lent in it."""
    (place.folder / "sitecustomize.py").write_text("""
import os
readlink = os.readlink
def without_namespaces(path, **options):
    if str(path).startswith("/proc/self/ns"):
        raise FileNotFoundError(path)
    return readlink(path, **options)
os.readlink = without_namespaces
del os.pidfd_open
""")
    place.environment["PYTHONPATH"] += f":{place.folder}"
    script = "import os; print(os.environ['HISTOBENCH_START'], hasattr(os, 'pidfd_open'))"
    assert place.run(script) == (0, "launcher False\n", "")


def test_every_job_runs_the_code_as_it_is_on_disk(place):
    for version in ("1", "22"):
        (place.folder / "helper.py").write_text(f"VERSION = {version}")
        assert place.run("import helper; print(helper.VERSION)")[1] == f"{version}\n"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"HISTOBENCH_LAUNCHER": "0"}, "HISTOBENCH_LAUNCHER is 0"),
        ({"SLURM_JOB_ID": "7"}, "SLURM_JOB_ID is set: the scheduler would end the server with this job"),
        (
            {"HISTOBENCH_LAUNCHER_IMPORTS": "json,broken", "PYTHONPATH": f"{LIBRARY}:."},
            "the server could not import broken: RuntimeError: of this test",
        ),
        (
            {"HISTOBENCH_LAUNCHER_IMPORTS": "counting_gpus", "PYTHONPATH": f"{LIBRARY}:."},
            "importing the libraries has initialised CUDA, which does not survive a fork",
        ),
    ],
)
def test_a_cold_start_says_why(place, changes, reason):
    (place.folder / "broken.py").write_text("raise RuntimeError('of this\\ntest')")
    (place.folder / "counting_gpus.py").write_text(
        "import torch; torch.cuda.device_count() or torch._C._cuda_getDeviceCount()"
    )
    changes = {name: value.replace(":.", f":{place.folder}") for name, value in changes.items()}
    code, output, errors = place.run("import os; print(os.environ['HISTOBENCH_START'])", **changes)
    note = f"launcher: not used, the script imports its libraries itself ({reason})\n"
    assert (code, output, errors) == (0, f"{note}cold: {reason}\n", "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_server_of_another_user_is_not_trusted(place, monkeypatch):
    monkeypatch.setattr(os, "environ", place.environment)
    address, monitor = launcher.address(), socket.socket(socket.AF_UNIX)
    monkeypatch.undo()
    ready, tell = os.pipe()
    if (stranger := os.fork()) == 0:
        os.setuid(65534)
        monitor.bind(address)
        monitor.listen()
        os.write(tell, b".")
        monitor.accept()[0].send(b"ready")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    try:
        assert "the server belongs to another user" in place.run("print('run')")[1]
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)
