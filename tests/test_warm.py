"""The warm launcher against the interpreter itself: a script must not be able to tell which of them ran it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the launcher runs scripts directly outside Linux")

LIBRARY = Path(__file__).parents[1] / "workflow"


class Place:
    """A folder with scripts and, apart from it, a folder of sockets, so that no test meets another's server."""

    def __init__(self, root: Path) -> None:
        self.root = root / "work"
        self.sockets = root / "sockets"
        self.root.mkdir()
        self.sockets.mkdir()
        dropped = ("SLURM_JOB_ID", "HISTOBENCH_WARM", "PYTHONHASHSEED", "PYTHONUNBUFFERED")
        self.environment = {name: value for name, value in os.environ.items() if name not in dropped}
        self.environment |= {"PYTHONPATH": str(LIBRARY), "XDG_RUNTIME_DIR": str(self.sockets)}

    def script(self, text: str, name: str = "script.py") -> str:
        (self.root / name).write_text(text)
        return name

    def start(self, *arguments: str, preload: str | None = "json", **changes: str) -> subprocess.Popen[bytes]:
        """Start a script, through the launcher unless `preload` is None; `changes` go into its environment."""
        launcher = [] if preload is None else ["-m", "histobench.warm", "--preload", preload]
        pipe = subprocess.PIPE
        command = [sys.executable, *launcher, *arguments]
        environment = self.environment | changes
        return subprocess.Popen(command, cwd=self.root, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)

    def run(self, *arguments: str, stdin: bytes = b"", preload: str | None = "json", **changes: str):
        """Run a script to its end; return its return code, output and errors."""
        with self.start(*arguments, preload=preload, **changes) as process:
            output, errors = process.communicate(stdin, timeout=60)
        return process.returncode, output, errors

    def parent(self, **changes: str) -> int:
        """Return the process that a job's process is a child of: the server's, or this one's if run directly."""
        code, output, errors = self.run(self.script("import os; print(os.getppid())", "parent.py"), **changes)
        assert (code, errors) == (0, b"")
        return int(output)

    def servers(self) -> list[int]:
        """Return the processes of the servers that became ready, ended ones included."""
        lines = [line.split() for log in self.sockets.glob("*/*.log") for line in log.read_text().splitlines()]
        return [int(words[1]) for words in lines if words[0] == "ready"]


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for server in place.servers():
        if lives(server) and b"--serve" in Path(f"/proc/{server}/cmdline").read_bytes():
            os.kill(server, signal.SIGKILL)


LOOK_AROUND = """
import gc, os, resource, signal, subprocess, sys, threading
import helper
stream = lambda s: (s.name, s.mode, s.encoding, s.errors, s.newlines, s.isatty(), s.line_buffering, s.write_through,
    type(s.buffer).__name__, s.seekable(), s.fileno(), type(getattr(s.buffer, "raw", s.buffer)).__name__)
hidden = ("_", "SHLVL")
print(sys.argv, sys.orig_argv, sys.path, os.getcwd(), oct(os.umask(0)), threading.current_thread().name)
print({n: v for n, v in sorted(os.environb.items()) if n.decode() not in hidden})
print(subprocess.check_output("echo $GREETING; sleep 0", shell=True), ascii(sys.argv))
print([stream(s) for s in (sys.stdin, sys.stdout, sys.stderr)], sys.stdout is sys.__stdout__, sys.stdin.read())
print(sorted(globals()), __name__, __file__, __spec__, __package__, __doc__, sys.modules["__main__"].helper is helper)
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(sys.flags, sys.warnoptions, os.getuid(), os.sched_getaffinity(0))
print(resource.getrlimit(resource.RLIMIT_NOFILE), os.nice(0), gc.isenabled())
print("to stderr", file=sys.stderr)
"""


@pytest.mark.parametrize("changes", [{}, {"PYTHONUNBUFFERED": "1"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_script_sees_what_it_would_see_directly(place: Place, changes: dict[str, str]) -> None:
    (place.root / "folder").mkdir()
    (place.root / "folder" / "helper.py").write_text("")
    script = place.script(LOOK_AROUND, "folder/look.py")
    # The server fixes the order of sets; a direct run has it random.
    changes = {"GREETING": "gr\udcfc\u00df dich", "PYTHONHASHSEED": "0", **changes}
    seen, directly = (
        place.run(script, "--flag", "two words", "", stdin=b"typed", preload=preload, **changes)
        for preload in ("json", None)
    )
    assert seen == directly
    assert (seen[0], seen[2]) == (0, b"to stderr\n")
    assert len(place.servers()) == 1


ENDINGS = {
    "nothing": "",
    "falls off": "print('done')",
    "exit": "import sys; sys.exit()",
    "exit code": "import sys; sys.exit(3)",
    "large exit code": "import sys; sys.exit(256 + 7)",
    "negative exit code": "import sys; sys.exit(-1)",
    "exit with a message": "import sys; sys.exit('a message')",
    "traceback": "def inner():\n    return 1 / 0\n\n\ndef outer():\n    inner()\n\n\nouter()\n",
    "chained traceback": "try:\n    {}['key']\nexcept KeyError as error:\n    raise ValueError('no key') from error\n",
    "traceback in a module": "import json\njson.loads('{')\n",
    "syntax error": "print('never')\nif:\n",
    "own hook": "import sys; sys.excepthook = lambda *_: print('hook'); 1 / 0",
    "interrupted": "raise KeyboardInterrupt",
    "killed": "import os; print('lost'); os.kill(os.getpid(), 9)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "aborted": "import os; os.abort()",
    "left at once": "import os; print('lost'); os._exit(9)",
    "atexit": "import atexit\natexit.register(print, 'bye', flush=True)\nraise SystemExit(4)\n",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()\n",
    "daemon thread": "import threading, time\nthreading.Thread(target=time.sleep, args=[60], daemon=True).start()\n",
    "closed output": "import sys; print('lost'); sys.stdout.close()",
    "child process": "import os\nif os.fork():\n    os.wait()\nprint('both')\n",
    "pool": "import multiprocessing as m\nif __name__ == '__main__':\n"
    "    with m.get_context('spawn').Pool(1) as pool:\n        print(pool.map(abs, [-1, 2]))\n",
    "finaliser": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'final')\n",
    "unclosed": "class A:\n    def __del__(self):\n        print('deleted')\na = A()\n",
}


def test_a_script_ends_as_it_would_end_directly(place: Place) -> None:
    scripts = {name: place.script(text, f"{name.replace(' ', '_')}.py") for name, text in ENDINGS.items()}
    scripts |= {"missing": "missing.py", "folder": "."}
    place.run(scripts["nothing"])  # starts the server
    with ThreadPoolExecutor(4) as pool:
        endings = {name: pool.submit(place.run, script) for name, script in scripts.items()}
        directly = {name: pool.submit(place.run, script, preload=None) for name, script in scripts.items()}
    for name, ending in endings.items():
        assert ending.result() == directly[name].result(), name
    assert endings["exit code"].result() == (3, b"", b"")
    assert endings["killed"].result() == (-signal.SIGKILL, b"", b"")
    assert endings["interrupted"].result()[0] == -signal.SIGINT
    assert len(place.servers()) == 1


def test_a_reader_that_leaves_is_reported_as_it_is_directly(place: Place) -> None:
    endings = []
    for text in ("import time; time.sleep(0.3); print('unread')", "for number in range(100000): print(number)"):
        for preload in ("json", None):
            with place.start(place.script(text), preload=preload, PYTHONUNBUFFERED="") as process:
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.close()
                endings.append((process.stderr.read(), process.wait(10)))
    assert endings[0] == endings[1]
    assert endings[2] == endings[3]
    assert (endings[0][1], endings[2][1]) == (120, 1)


def test_files_left_open_are_written(place: Place) -> None:
    place.run(place.script("import csv\nfile = open('table.csv', 'w')\ncsv.writer(file).writerow([1, 2])\n"))
    assert (place.root / "table.csv").read_text() == "1,2\n"


def test_a_job_runs_the_code_as_it_is_now(place: Place) -> None:
    for number in (1, 2):
        place.script(f"VALUE = {number}{number}  # as long as the one before", "module.py")
        script = place.script(f"import module; print({number}, module.VALUE)")
        # Python itself tells two versions of a module apart by size and whole seconds of their dates.
        os.utime(place.root / "module.py", (number * 1000, number * 1000))
        assert place.run(script) == (0, f"{number} {number}{number}\n".encode(), b"")
    assert len(place.servers()) == 1


def test_a_megabyte_goes_through_pipes(place: Place) -> None:
    data = os.urandom(1 << 20)
    script = place.script("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    assert place.run(script, stdin=data) == (0, data[::-1], b"")


def test_clients_that_start_together_share_one_server(place: Place) -> None:
    script = place.script("import os, sys, time; time.sleep(0.3); print(os.getppid(), os.getpid(), sys.argv[1])")
    clients = [place.start(script, str(number)) for number in range(8)]
    outputs = [client.communicate(timeout=30) for client in clients]
    assert [errors for _, errors in outputs] == [b""] * 8
    rows = [output.split() for output, _ in outputs]
    assert {int(parent) for parent, _, _ in rows} == set(place.servers())
    assert len(place.servers()) == 1
    assert len({process for _, process, _ in rows}) == 8
    assert [number for _, _, number in rows] == [str(number).encode() for number in range(8)]


def test_what_is_read_at_import_gets_its_own_server(place: Place) -> None:
    servers = [place.parent(OMP_NUM_THREADS=number) for number in ("1", "2", "1")]
    assert servers[0] == servers[2] != servers[1]
    assert place.parent(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="1") == servers[0]


WAITS = """
import os, signal, subprocess, sys, time
{prepare}
sleeper = subprocess.Popen(["sleep", "60"])
print(os.getpid(), sleeper.pid, flush=True)
time.sleep(60)
"""


def waiting(place: Place, prepare: str = "") -> tuple[subprocess.Popen[bytes], int, int]:
    """Start a job that waits; return the client, the job's process and its child's."""
    client = place.start(place.script(WAITS.format(prepare=prepare)))
    assert client.stdout is not None
    job, sleeper = map(int, client.stdout.readline().split())
    return client, job, sleeper


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_job(place: Place, number: signal.Signals) -> None:
    handler = f"signal.signal({int(number)}, lambda *_: (os.write(1, b'heard'), sleeper.kill(), sys.exit(5)))"
    client, _, _ = waiting(place, prepare=handler)
    client.send_signal(number)
    output, errors = client.communicate(timeout=10)
    assert (client.returncode, output, errors) == (5, b"heard", b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_client_dies_of_the_job_s_signal(place: Place, number: signal.Signals) -> None:
    client, job, sleeper = waiting(place)
    client.send_signal(number)
    assert client.wait(10) == -number
    assert not lives(job)
    os.kill(sleeper, signal.SIGKILL)


@pytest.mark.parametrize("prepare", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["obeys", "ignores"])
def test_a_job_does_not_outlive_its_client(place: Place, prepare: str) -> None:
    client, job, sleeper = waiting(place, prepare)
    client.kill()
    client.communicate(timeout=10)
    wait_until(lambda: not lives(job) and not lives(sleeper), seconds=15)
    assert lives(place.servers()[0])


def test_a_job_dies_with_its_server_and_is_not_run_twice(place: Place) -> None:
    client, job, sleeper = waiting(place)
    os.kill(place.servers()[0], signal.SIGKILL)
    client.wait(10)
    assert not lives(job)
    os.kill(sleeper, signal.SIGKILL)
    output, errors = client.communicate(timeout=10)
    assert (client.returncode, output) == (1, b"")
    assert errors.startswith(b"error: script.py: the server that ran it has died")
    assert errors.count(b"\n") == 1
    # What the dead server left, its socket, is in nobody's way.
    assert len(list(place.sockets.glob("*/*.sock"))) == 1
    assert [place.parent()] == place.servers()


def test_an_idle_server_ends_and_keeps_no_pipe_open(place: Place) -> None:
    server = place.parent(HISTOBENCH_WARM_IDLE="1.5")  # returns at the end of the pipes, which the server does not hold
    assert lives(server)
    assert Path(f"/proc/{server}/cwd").resolve() == Path("/")
    held = [link.readlink() for link in Path(f"/proc/{server}/fd").iterdir()]
    assert not [path for path in held if str(path).startswith("pipe:") or place.root in path.parents]
    wait_until(lambda: not lives(server))
    assert not list(place.sockets.glob("*/*.sock"))
    assert place.parent() not in (server, os.getpid())


def test_a_server_without_its_socket_ends_after_its_jobs(place: Place) -> None:
    client = place.start(
        place.script("import os, sys; print(os.getppid(), flush=True); sys.stdin.read(); print('end')")
    )
    assert client.stdout is not None
    server = int(client.stdout.readline())
    next(place.sockets.glob("*/*.sock")).unlink()
    assert place.parent() not in (server, os.getpid())
    assert lives(server)
    assert client.communicate(b"", timeout=10) == (b"end\n", b"")
    assert client.returncode == 0
    wait_until(lambda: not lives(server))


@pytest.mark.parametrize("changes", [{"HISTOBENCH_WARM": "0"}, {"SLURM_JOB_ID": "1"}])
def test_it_can_be_turned_off(place: Place, changes: dict[str, str]) -> None:
    assert place.parent(**changes) == os.getpid()
    assert not list(place.sockets.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()",
        "import histobench",
        "raise ValueError('broken')",
        "import os; os._exit(0)",
    ],
    ids=["thread", "project", "raises", "dies"],
)
def test_a_preload_that_is_not_safe_is_not_used(place: Place, text: str) -> None:
    place.script(f"open('imported', 'a').write('x')\n{text}", "unsafe.py")
    changes = {"PYTHONPATH": f"{LIBRARY}{os.pathsep}{place.root}", "preload": "unsafe"}
    assert [place.parent(**changes) for _ in range(2)] == [os.getpid()] * 2
    assert (place.root / "imported").read_text() == "x"  # one trial is enough


def test_others_cannot_listen(place: Place) -> None:
    folder = place.sockets / f"histobench-warm-{os.getuid()}"
    place.parent()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert place.parent() == os.getpid()
    folder.chmod(0o700)
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
        assert place.parent() == os.getpid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_others_cannot_ask(place: Place) -> None:
    place.parent()
    path = next(place.sockets.glob("*/*.sock"))
    for folder in (path.parent, path):
        folder.chmod(0o777)
    answers = []
    for user in (0, 65534):
        read, write = os.pipe()
        folder = os.open(path.parent, os.O_PATH)
        if (child := os.fork()) == 0:
            try:
                os.fchdir(folder)
                os.setuid(user)
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(path.name)
                    os.write(write, client.recv(1) or b"closed")
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        answers.append(os.read(read, 100))
        for descriptor in (read, folder):
            os.close(descriptor)
    assert answers == [b"+", b"closed"]


LEARNS = """
import json, os, sys, threading
ready = "torch" in sys.modules
import numpy, torch
facts = {
    "ready": ready, "seed": torch.initial_seed(), "draw": numpy.random.rand(),
    "threads": len(os.listdir("/proc/self/task")),
    "cuda": [torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork(), torch.cuda.is_available()],
}
torch.set_num_threads(2)
facts["two"] = torch.get_num_threads()
a = numpy.arange(160000.0).reshape(400, 400) / 160000
facts["product"] = float((a @ a).sum())
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8 * 30 * 30, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(3):
    optimizer.zero_grad()
    loss = model(torch.rand(16, 3, 32, 32)).square().mean()
    loss.backward()
    optimizer.step()
facts["loss"] = loss.item().hex()
json.dump(facts, sys.stdout)
"""


def test_pytorch_learns_the_same_in_a_forked_job(place: Place) -> None:
    script = place.script(LEARNS)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(place.run, script, preload=preload) for preload in ("torch", None)]
    results = [job.result() for job in jobs] + [place.run(script, preload="torch")]
    assert [(code, errors) for code, _, errors in results] == [(0, b"")] * 3
    warm, direct, again = (json.loads(output) for _, output, _ in results)
    assert (warm["ready"], direct["ready"], again["ready"]) == (True, False, True)
    assert warm["loss"] == direct["loss"] == again["loss"]
    assert warm["product"] == direct["product"]
    assert warm["two"] == direct["two"] == 2
    assert warm["threads"] == 1
    assert warm["cuda"][:2] == [False, False]
    assert warm["cuda"] == direct["cuda"]
    # Without a seed of its own, a job draws other numbers than the one before.
    assert len({facts["seed"] for facts in (warm, direct, again)}) == 3
    assert len({facts["draw"] for facts in (warm, direct, again)}) == 3
