"""Start a script in a process that has already imported its libraries: `python -m histobench.launcher SCRIPT ARGUMENTS`.

The first job of a Snakemake starts a server, which imports the third-party libraries once and forks a process for each
job. It imports nothing of this project, so that every job runs the code as it is on disk, and ends after a minute without a
job. Where it is not possible or not wanted (HISTOBENCH_LAUNCHER=0), the script starts by itself; a line on stdout says why.

    client                                    server
    connect                               ->  fork a process for this client
                                          <-  `ready`, or why it cannot start jobs
    stdin/stdout/stderr, a line of JSON   ->  fork the job, which runs the script
    a byte for each signal received       ->  send the signal to the job; SIGTERM when the client is gone
    end as the job ended                  <-  its exit status, or minus the signal

The address is a Linux abstract socket, which has no file. Both ends check that the other belongs to the same user.
"""

import errno
import gc
import hashlib
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NoReturn

IMPORTS = "torch,torchvision,safetensors.torch,pydantic,tqdm,albumentations"
"""Modules that the server imports, unless this variable names others:"""
MODULES = "HISTOBENCH_LAUNCHER_IMPORTS"
VLM_IMPORTS = (
    "transformers.models.qwen2_vl.modeling_qwen2_vl,transformers.models.idefics3.modeling_idefics3,"
    "transformers.models.llama.modeling_llama,peft"
)
"""More of them for a study with vision-language models."""
REPORT_IMPORTS = (
    "pandas,scipy.stats,sklearn.metrics,sklearn.model_selection,matplotlib.pyplot,matplotlib.backends.backend_pdf,"
    "matplotlib.backends.backend_svg,jinja2,pydantic.json_schema,tqdm"
)
"""What the scripts of folds and of the report import, which need no PyTorch."""
ENCODER_IMPORTS = "accelerate,timm,transformers.models.clip.modeling_clip"
"""More of them for a study with encoders."""
START = "HISTOBENCH_START"
"""Environment variable of a script: `launcher`, or `cold` and the reason."""
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID")
READ_AT_IMPORT = (MODULES, "PYTHON", "LD_", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "PYTORCH_", "TQDM_", "MPL")
"""First letters of the environment variables that libraries read once: jobs share a server only if these are equal."""
FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
IMPORT_SECONDS = 120.0  # how long a client waits for the server's imports
IDLE_SECONDS = 60.0  # how long a server without a job lives, unless HISTOBENCH_LAUNCHER_IDLE says otherwise


def main() -> None:
    """Run the script of the command line, and end as it ends: by the same exit status or signal."""
    from histobench.io.process import end_with_parent  # not in the server: jobs must import the code on disk

    end_with_parent()  # the job is a child of the server: it learns through this process that Snakemake has ended
    arguments = sys.argv[1:]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of this file
    try:
        connection = connect()
    except OSError as error:
        print(f"launcher: not used, the script imports its libraries itself ({error})", flush=True)
        os.environ[START] = f"cold: {error}"
        os.execv(sys.executable, [sys.executable, *arguments])
    run(connection, arguments)


def address() -> str:
    """Return the address of the server for this job.

    Jobs of one Snakemake share a process group, and so the limits, the control group and the processors that the server
    inherits from the first of them.
    """
    facts: list[object] = [os.getuid(), os.getpgrp(), sys.executable]
    with suppress(OSError):  # sandboxes such as gVisor need not have it
        facts.append(Path("/proc/self/ns/mnt").readlink())
    facts += sorted(item for item in os.environ.items() if item[0].startswith(READ_AT_IMPORT))
    return "\0histobench-" + hashlib.sha256(repr(facts).encode(errors="surrogateescape")).hexdigest()[:24]


def connect() -> socket.socket:
    """Return a connection to this job's server, started if there is none, that awaits the request.

    Raises:
        OSError: a server is not possible or not wanted here, cannot start jobs, ended, or is not ready in time.
    """
    if sys.platform != "linux":
        raise OSError(f"it needs Linux, this is {sys.platform}")
    if os.environ.get("HISTOBENCH_LAUNCHER") == "0":
        raise OSError("HISTOBENCH_LAUNCHER is 0")
    if scheduler := next((name for name in SCHEDULERS if name in os.environ), None):
        raise OSError(f"{scheduler} is set: the scheduler would end the server with this job")
    place = address()
    for _ in range(3):  # a server may be ending just now, for want of jobs
        connection = socket.socket(socket.AF_UNIX)
        while connection.connect_ex(place) == errno.ECONNREFUSED:
            start_server(place)
        if not is_own(connection):
            raise OSError("the server belongs to another user")
        connection.settimeout(IMPORT_SECONDS)
        greeting = b""
        with suppress(ConnectionError):
            greeting = connection.recv(1000).strip()
        if greeting == b"ready":
            connection.settimeout(None)
            return connection
        if greeting:
            raise OSError(greeting.decode(errors="replace"))
    raise OSError("the server ended before it was ready")


def start_server(place: str) -> None:
    """Start a server at an address, as a process of its own session, unless another client is doing so."""
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(place)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(0.01)
            return
        listener.listen(1024)  # clients wait in the queue while the server imports
        number, null = listener.fileno(), subprocess.DEVNULL
        # -P: no module of the current folder is imported by accident.
        command = [sys.executable, "-P", "-m", "histobench.launcher", "--serve", str(number)]
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, pass_fds=[number], start_new_session=True)


def is_own(connection: socket.socket) -> bool:
    """Tell whether the process at the other end belongs to this user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1] == os.getuid()


def run(connection: socket.socket, arguments: list[str]) -> NoReturn:
    """Have the server run a script, forward signals to it, and end as it ended."""
    ignored = [number for number in FORWARDED if signal.getsignal(number) == signal.SIG_IGN]
    environment = dict(os.environ) | {START: "launcher"}
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": environment, "ignored": ignored}
    try:
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        for number in set(FORWARDED) - set(ignored):
            signal.signal(number, lambda number, _: connection.send(bytes([number])))
        reply = connection.recv(16)
    except ConnectionError:
        reply = b""
    if not reply:
        sys.exit(f"error: {arguments[0]}: the launcher's server was killed, and the job with it; run the command again")
    if (code := int(reply)) < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(listener: socket.socket) -> None:
    """Import the libraries, then fork a process for each client until none came for a while."""
    greeting = import_all().encode()
    gc.collect()
    gc.freeze()  # else a collection in a child would write to, and so copy, every shared page
    listener.settimeout(float(os.environ.get("HISTOBENCH_LAUNCHER_IDLE", IDLE_SECONDS)))
    children: set[int] = set()
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            connection = None
        ended = {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
        children -= ended
        if connection:
            children.add(child := os.fork())
            if child == 0:
                listener.close()
                with suppress(OSError, ValueError):  # the client has gone
                    supervise(connection, greeting)
                os._exit(0)
            connection.close()
        elif not children and not ended:  # a job that has just ended may be followed by another
            return


def supervise(connection: socket.socket, greeting: bytes) -> None:
    """Fork the process that runs a client's script, forward the client's signals, and tell how the script ended."""
    if not is_own(connection):
        return
    connection.sendall(greeting or (fault() or "ready").encode())
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    if (job := os.fork()) == 0:
        # The connection stays open here too: a client whose server was killed waits until the job is dead.
        run_script(request, streams)
    for descriptor in streams:
        os.close(descriptor)
    Thread(target=forward, args=(connection, job), daemon=True).start()
    # os.pidfd_open would do without a thread, but sandboxes such as gVisor need not have it.
    connection.sendall(str(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])).encode())


def forward(connection: socket.socket, job: int) -> None:
    """Send the client's signals to the job, and SIGTERM when the client is gone."""
    with suppress(ConnectionError):
        while numbers := connection.recv(64):
            for number in numbers:
                os.kill(job, number)
    os.kill(job, signal.SIGTERM)


def import_all() -> str:
    """Import the libraries; return why this is not possible, or nothing."""
    # Else a library that only asks whether there is a GPU prevents its use after a fork.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    for name in os.environ.get(MODULES, IMPORTS).split(","):
        try:
            importlib.import_module(name)
        except Exception as error:
            return f"the server could not import {name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    with suppress(KeyError, AttributeError):  # PEFT asks it first, and it then compiles a thousand regular expressions
        sys.modules["transformers.conversion_mapping"].get_checkpoint_conversion_mapping("")
    return ""


def fault() -> str:
    """Return, in a child of the server, why a job could not use a GPU, or nothing."""
    torch = sys.modules.get("torch")
    # `torch.cuda.is_initialized` is False in a child, and after functions that only ask how many GPUs there are.
    bad = torch and torch.cuda._is_in_bad_fork()
    return "importing the libraries has initialised CUDA, which does not survive a fork" if bad else ""


def run_script(request: dict, streams: list[int]) -> NoReturn:
    """In a child of the server: become what the client would have been, run the script, and end as it ends."""
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else signal.SIG_DFL)
    if signal.SIGINT not in request["ignored"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    importlib.invalidate_caches()
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # freeing what the server imported would take as long as many a job


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        main()
