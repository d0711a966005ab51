"""Run a script in a process forked from one that has already imported PyTorch: `python -m histobench.warm SCRIPT ARGS`.

A study is hundreds of short jobs, and importing PyTorch takes longer than many of them. The first job starts a server
(one per user, working folder, interpreter and whatever else an import can depend on, see `_identity`) that imports the
third-party modules once, and never this project's: each job runs the code as it is on disk now. The client hands its
arguments, environment and open files over a private socket, and ends as the job ends, by exit status or by signal.

Whenever that cannot be done the script is run directly, and so it is where HISTOBENCH_WARM=0, in a Slurm job, and
outside Linux. A job that may have begun is never begun again: if the server dies, the job dies and the client fails.

    client                                  server
    connect                             ->  accept, check the user
    wait until it is ready              <-  b"+", once its imports are done
    length + marshal, stdin/out/err     ->  fork: the child becomes the script
    one byte per signal received        ->  kill(child, signal); a closed connection ends the child's process group
    end with this status                <-  wait status, user and system seconds, peak resident KiB
"""

# Importing pathlib would be a good part of a client's time.
# ruff: noqa: PTH102, PTH108, PTH109, PTH113, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208

import marshal
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

PROJECT = "histobench"
PRELOAD = "torch,torch._dynamo,torchvision,safetensors.numpy,safetensors.torch,pydantic,tqdm,albumentations"
ALSO = "HISTOBENCH_WARM_ALSO"  # more modules to import, by an environment variable
# What the C library, the interpreter and the numerical libraries read once, when they are loaded.
READ_AT_IMPORT = (
    *("PYTHON", "LD_", "LANG", "LC_", "TZ", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_"),
    *(
        "NUMEXPR_",
        "NPY_",
        "NUMPY_",
        "ONEDNN_",
        "DNNL_",
        "TORCH",
        "PYTORCH_",
        "ATEN_",
        "TQDM_",
        "NO_ALBUMENTATIONS_UPDATE",
    ),
)
READY_SECONDS = 120.0  # how long a client waits for the server's imports before it runs the script directly
IDLE_SECONDS = 60.0  # how long a server without jobs lives; HISTOBENCH_WARM_IDLE overrides it
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL for a job whose client has gone
RETRY_SECONDS = 600.0  # how long a server that never became ready keeps others from trying the same again
STATUS = struct.Struct("<iddq")


def main() -> None:
    """Run the command line's script; never returns. Exits, or dies by a signal, exactly as the script did."""
    from histobench.io.process import end_with_parent  # not in the server: jobs must import the code on disk

    end_with_parent()
    preload, arguments = ",".join(filter(None, (PRELOAD, os.environ.get(ALSO)))), sys.argv[1:]
    if arguments and arguments[0].partition("=")[0] == "--preload":
        _, equals, preload = arguments.pop(0).partition("=")
        preload = preload if equals or not arguments else arguments.pop(0)
    if not arguments or arguments[0].startswith("-") or not preload:
        sys.exit(f"usage: python -m {PROJECT}.warm [--preload THIRD_PARTY_MODULE,...] SCRIPT ARGUMENTS")
    head = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]  # such as -W error -m histobench.warm
    options = head[: head.index("-m")] if "-m" in head else []
    wanted = os.environ.get("HISTOBENCH_WARM") != "0" and "SLURM_JOB_ID" not in os.environ
    if sys.platform == "linux" and wanted and os.path.isfile(arguments[0]):
        _run_warm(preload, options, arguments)
    os.execv(sys.executable, [sys.executable, *options, *arguments])


# ---- client: no import that takes more than a few milliseconds ----


def _signals() -> list[signal.Signals]:
    """Return the signals that are passed on; any other acts on the client itself."""
    return [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]


def _run_warm(preload: str, options: list[str], arguments: list[str]) -> None:
    """Run the script through the server and end as it ended; return if it surely was not begun."""
    ignored = [int(number) for number in _signals() if signal.getsignal(number) == signal.SIG_IGN]
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the job runs, end without a traceback of this file
    try:
        streams = [os.fstat(number) and number for number in (0, 1, 2)]
        folder = _folder()
        key = _identity(preload, options)
        connection = _connect(folder, key, preload, options)
        os.umask(mask := os.umask(0))
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        masks = mask, ignored, [int(number) for number in blocked]
        request = marshal.dumps((options, arguments, os.getcwd(), dict(os.environ), *masks))
    except Exception:  # whatever it is, a job must not fail for want of a quick start
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
    try:
        socket.send_fds(connection, [struct.pack("<I", len(request))], streams)
        connection.sendall(request)
    except OSError:  # not received as a whole, so not begun
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return
    try:
        for number in _signals():
            if number not in ignored:
                signal.signal(number, lambda number, _: connection.send(bytes([number])))
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        connection.settimeout(None)
        reply = connection.recv(STATUS.size)
    except OSError:
        reply = b""
    if len(reply) < STATUS.size:
        log = f"{os.readlink(f'/proc/self/fd/{folder}')}/{key}.log"
        sys.exit(f"error: {arguments[0]}: the server that ran it has died (see {log}); run it again")
    _end_as(STATUS.unpack(reply)[0])


def _end_as(status: int) -> None:
    """End as the process with this wait status did."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # the job's will do
        with suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
        os._exit(128 + number)
    os._exit(os.WEXITSTATUS(status))


def _folder() -> int:
    """Open the folder of this user's sockets, which nobody else may enter."""
    places = [os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"]
    place = next(place for place in places if place and place[0] == "/" and os.access(place, os.W_OK | os.X_OK))
    path = f"{place}/{PROJECT}-warm-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    state = os.fstat(folder)
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(path)
    return folder


def _identity(preload: str, options: list[str]) -> str:
    """Return 24 hex digits: two callers share a server only if its imports and what it inherits would be the same."""
    import hashlib
    import resource

    own = os.stat(__file__)
    facts = [sys.version, sys.executable, sys.prefix, preload, options, os.getcwd(), own.st_mtime_ns, own.st_size]
    facts += sorted(item for item in os.environ.items() if item[0].startswith(READ_AT_IMPORT))
    facts += [os.getgroups(), sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)]
    facts += [resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name[:7] == "RLIMIT_"]
    facts += [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "user")]
    with open("/proc/self/cgroup", "rb") as file:
        facts.append(file.read())
    for place in sys.path:
        if place.endswith("-packages"):  # names hold versions; a folder's date would change with its __pycache__
            facts.append(sorted(name for name in os.listdir(place) if name.endswith("-info")))
            for name in sorted({name.partition(".")[0] for name in preload.split(",")}):
                with suppress(OSError):
                    facts.append((place, name, os.stat(f"{place}/{name}/__init__.py").st_mtime_ns))
    return hashlib.sha256(repr(facts).encode(errors="surrogateescape")).hexdigest()[:24]


def _connect(folder: int, key: str, preload: str, options: list[str]) -> socket.socket:
    """Return a connection to a server that said it is ready, starting one if none answers; else raise OSError."""
    import fcntl

    deadline, started = time.monotonic() + READY_SECONDS, False
    # The path through the open folder fits into a socket's 107 characters, and no other folder can take its place.
    address = f"/proc/self/fd/{folder}/{key}.sock"
    while (left := deadline - time.monotonic()) > 0:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(left)
        with suppress(FileNotFoundError, ConnectionError):
            connection.connect(address)
            if _user(connection) == os.getuid() and connection.recv(1) == b"+":
                return connection
        connection.close()
        # The server holds this lock, and the kernel frees it when the server dies, in whatever way.
        log = os.open(f"{key}.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600, dir_fd=folder)
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = os.fstat(log)
            failed = state.st_size and b"\nready" not in os.pread(log, 1 << 20, 0)
            if started or (failed and time.time() - state.st_mtime < RETRY_SECONDS):
                break  # its imports failed, and would fail again for every job
            _start(folder, key, log, preload, options)
            started = True
        except BlockingIOError:
            time.sleep(0.01)  # another client is just starting it, or it is just ending
        finally:
            os.close(log)
    raise TimeoutError


def _start(folder: int, key: str, log: int, preload: str, options: list[str]) -> None:
    """Start the server as a daemon that inherits the listening socket and, as its stderr, the locked log."""
    address, path = f"/proc/self/fd/{folder}/{key}.sock", os.readlink(f"/proc/self/fd/{folder}")
    with suppress(FileNotFoundError):
        os.unlink(address)
    os.ftruncate(log, 0)
    os.write(log, f"preload {preload}\n".encode())
    # Clients can connect from now on; they wait in its queue until the imports are done.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(256)
    number = listener.fileno()
    command = [sys.executable, *options, __file__, "--serve", str(number), f"{path}/{key}.sock", preload]
    # Without it, sets would be ordered alike in the jobs of one server and otherwise in the next server's.
    seed = os.environ.get("PYTHONHASHSEED", "")
    environment = {**os.environ, "PYTHONHASHSEED": seed if seed.isdigit() else "0"}
    if (middle := os.fork()) == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                null = os.open(os.devnull, os.O_RDWR)
                for target, descriptor in enumerate((null, null, log)):
                    os.dup2(descriptor, target)
                # A pipe of the caller that stayed open here would keep its reader waiting.
                os.closerange(3, number)
                os.closerange(number + 1, os.sysconf("SC_OPEN_MAX"))
                os.set_inheritable(number, True)
                os.execve(sys.executable, command, environment)
        finally:
            os._exit(0)
    os.waitpid(middle, 0)
    listener.close()


def _user(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it."""
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]


# ---- server: this file run by its path, so that the package is not imported ----


def _serve(listener: socket.socket, path: str, preload: str) -> None:
    """Import `preload`, then fork a child for each request until idle or until the socket at `path` is another one."""
    import fcntl
    import gc
    import selectors

    idle = float(os.environ.get("HISTOBENCH_WARM_IDLE", IDLE_SECONDS))
    added = _preload(preload.split(","))
    os.chdir("/")
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise write to, and so copy, every shared page
    own = os.stat(path).st_ino
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    listener.setblocking(False)
    print(f"ready {os.getpid()}", file=sys.stderr, flush=True)
    jobs: list[_Job] = []
    listening, last = True, time.monotonic()
    while listening or jobs:
        for event, _ in selector.select(1.0):
            job = event.data
            try:
                if job is None:
                    connection, _ = listener.accept()
                    if _user(connection) != os.getuid():
                        connection.close()
                    elif connection.send(b"+"):
                        jobs.append(_Job(connection, selector))
                elif event.fileobj == job.handle:
                    job.end()
                elif job.connected:  # the same round may have seen its end
                    job.forward() if job.process else job.begin(added)
            except OSError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                if job and not job.process:
                    job.leave()
        jobs = [job for job in jobs if job.connected or job.process]
        for job in jobs:
            if job.deadline < time.monotonic():
                job.kill(signal.SIGKILL)
        last = time.monotonic() if jobs else last
        current = False
        with suppress(OSError):
            current = os.stat(path).st_ino == own
        if listening and (not current or time.monotonic() - last > idle):
            listening = False
            selector.unregister(listener)
            listener.close()
            if current:
                os.unlink(path)
            fcntl.flock(2, fcntl.LOCK_UN)  # from here on a successor may start, while the last jobs end
    os._exit(0)


def _preload(names: list[str]) -> dict[str, str]:
    """Import the modules; return the environment variables they set. Raise RuntimeError if a fork would not be safe."""
    import importlib
    import threading

    before = dict(os.environ)
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder, whose `datasets` is not the one that a library may look for
    sys.argv = [""]
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:  # a script that needs it will say so itself
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if stale := [name for name in sys.modules if name.partition(".")[0] == PROJECT]:
        raise RuntimeError(f"{stale[0]} was imported: jobs would not run the code as it is on disk")
    os.close(os.pidfd_open(os.getpid()))  # Linux 5.3 has it
    # OpenBLAS starts its threads when it is loaded, ends them before a fork, and starts them again where they are
    # needed. After this first fork no other thread may run: a fork copies a held lock, but not the thread to free it.
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("a module started threads that outlive a fork")
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            device = os.readlink(f"/proc/self/fd/{number}")
            if device.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/accel")):
                raise RuntimeError(f"a module opened {device}: an initialised GPU does not survive a fork")
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


class _Job:
    """A client's connection and, once begun, the process that runs its script."""

    def __init__(self, connection: socket.socket, selector) -> None:
        self.connection, self.selector, self.connected = connection, selector, True
        self.process = 0
        self.handle = -1  # a file descriptor that becomes readable when the process ends
        self.deadline = float("inf")
        selector.register(connection, 1, self)

    def begin(self, added: dict[str, str]) -> None:
        """Receive the request and fork the child that runs it."""
        self.connection.settimeout(10.0)
        head, streams, _, _ = socket.recv_fds(self.connection, 4, 3, socket.MSG_CMSG_CLOEXEC)
        # A signal that arrives before the child has its own handlers waits.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
        try:
            request, part = b"", len(head) == 4 and len(streams) == 3
            while part and len(request) < struct.unpack("<I", head)[0]:
                part = self.connection.recv(1 << 20)
                request += part
            if not part:
                raise ConnectionError("a client left before its request was complete")
            server = os.getpid()
            self.process = os.fork()
            if self.process == 0:
                status = 1
                try:
                    # Its own connection stays open: a client whose server died hears of it when the job is dead too.
                    for event in list(self.selector.get_map().values()):
                        if event.fileobj != self.connection:
                            os.close(event.fd) if isinstance(event.fileobj, int) else event.fileobj.close()
                    self.selector.close()
                    status = _become(marshal.loads(request), streams, server, added)
                except BaseException as error:
                    sys.excepthook(type(error), error, error.__traceback__)
                finally:
                    os._exit(status)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for descriptor in streams:
                os.close(descriptor)
        self.handle = os.pidfd_open(self.process)
        self.selector.register(self.handle, 1, self)

    def forward(self) -> None:
        """Pass on the client's signals; if the client has gone, end the job."""
        numbers = b""
        with suppress(ConnectionError):
            numbers = self.connection.recv(64)
        for number in numbers:
            os.kill(self.process, number)  # not yet waited for, so the number cannot be another process's
        if not numbers:
            self.leave()
            self.kill(signal.SIGTERM)
            self.deadline = time.monotonic() + GRACE_SECONDS

    def kill(self, number: int) -> None:
        """Send a signal to the job's process group."""
        try:
            os.killpg(self.process, number)
        except ProcessLookupError:
            os.kill(self.process, number)  # forked, but not yet the leader of its group

    def end(self) -> None:
        """Collect the child's status and send it to the client."""
        if not self.connected:
            self.kill(signal.SIGKILL)  # what is left of its group, before the number is free for another
        _, status, usage = os.wait4(self.process, 0)
        self.selector.unregister(self.handle)
        os.close(self.handle)
        self.process, self.handle = 0, -1
        if self.connected:
            with suppress(ConnectionError):
                self.connection.send(STATUS.pack(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss))
            self.leave()

    def leave(self) -> None:
        """Close the connection."""
        self.selector.unregister(self.connection)
        self.connection.close()
        self.connected = False


# ---- child ----


def _become(request: tuple, streams: list[int], server: int, added: dict[str, str]) -> int:
    """Turn the forked server into what `python SCRIPT ARGUMENTS` would be, run the script, return the exit status."""
    import ctypes
    import importlib

    options, arguments, folder, environment, mask, ignored, blocked = request
    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: die with the server
    if os.getppid() != server:
        os._exit(1)
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.umask(mask)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**added, **environment})
    inherited = [sys.stdout, sys.stderr]  # a preloaded module may have kept them; they write to the same descriptors
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _stream(number, name))
        setattr(sys, f"__{name}__", getattr(sys, name))
    sys.argv, sys.orig_argv = arguments, [sys.executable, *options, *arguments]
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(arguments[0])))
    importlib.invalidate_caches()
    # Both draw their first seed when they are imported: without a new one, unseeded jobs would all draw the same.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
    for number in _signals():
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = _execute(arguments[0], blocked)
    return _finish(status, inherited)


def _stream(number: int, name: str):
    """Open stdin, stdout or stderr on its descriptor as the interpreter does when it starts."""
    import io
    from typing import Any

    old = getattr(sys, f"__{name}__")
    direct = old.write_through  # python -u
    mode, size = ("wb", 0 if direct else -1) if number else ("rb", -1)
    buffer: Any = open(number, mode, size, closefd=False)  # noqa: SIM115
    raw = getattr(buffer, "raw", buffer)
    raw.name = f"<{name}>"
    lines = not direct and (number == 2 or raw.isatty())
    text: Any = io.TextIOWrapper(buffer, old.encoding, old.errors, "\n", line_buffering=lines, write_through=direct)
    text.mode = "w" if number else "r"
    return text


def _execute(script: str, blocked: list[int]) -> int:
    """Run `script` as `__main__`; return its exit status, -SIGINT if a KeyboardInterrupt ended it."""
    import builtins
    import importlib.machinery
    import io
    import types

    path = os.path.join(os.getcwd(), script)
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    vars(module).update(__file__=path, __cached__=None, __builtins__=builtins, __annotations__={}, __loader__=loader)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, vars(module))
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__ and error.__traceback__.tb_next  # as if this function were not there
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _finish(status: int, inherited: list) -> int:
    """Do what the interpreter does at its end, up to freeing thousands of shared objects; return the exit status."""
    import atexit
    import ctypes
    import gc
    import io
    import threading

    for step in (threading._shutdown, atexit._run_exitfuncs):  # pyright: ignore[reportAttributeAccessIssue]
        try:
            step()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
    if threading.active_count() == 1:
        vars(sys.modules["__main__"]).clear()
        gc.collect()
    # The interpreter would flush the files that are still open when it frees them.
    buffered = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    left_open = [item for item in gc.get_objects() if type(item) in buffered and item is not sys.stdout]
    for stream in (*left_open, *inherited, sys.stderr, sys.stdout):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception as error:
            if stream is sys.stdout:
                print(f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}", file=sys.stderr)
                status = 120
    ctypes.CDLL(None).fflush(None)
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], sys.argv[4])
    else:
        main()
