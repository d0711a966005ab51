"""Requests to end, as true processes: what a handler does shows only in how a process dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from histobench.training import interrupt

LIBRARY = Path(interrupt.__file__).parents[2]


def run(code):
    """Run a script through `run_script`; return what it printed and how it ended."""
    head = "import os, signal, time\nfrom histobench.io.errors import run_script\n"
    head += "from histobench.training.interrupt import Interrupt\n"
    result = subprocess.run(
        [sys.executable, "-c", head + code],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
    )
    assert result.stderr == ""
    return result.stdout, result.returncode


SEND = "send = lambda name: os.kill(os.getpid(), signal.Signals[name])\n"


def test_a_request_waits_for_the_next_check_and_is_the_way_to_die():
    code = """
def main():
    interrupt = Interrupt()
    interrupt.check()
    send("SIGINT"), send("SIGTERM")
    print("still here")
    interrupt.check()
    print("never")
run_script(main)
"""
    assert run(SEND + code) == ("still here\n", -signal.SIGINT)


def test_a_request_that_comes_after_the_last_check_lets_the_script_finish():
    assert run(SEND + "run_script(lambda: [Interrupt(), send('SIGTERM'), print('written')])") == ("written\n", 0)


def test_the_same_again_ends_at_once_but_one_request_may_have_several_senders():
    code = """
def main():
    interrupt = Interrupt()
    send("SIGTERM"), send("SIGTERM"), send("SIGUSR1")
    print("one request", flush=True)
    time.sleep(1.1)
    send("SIGINT")
    print("another sender", flush=True)
    send("SIGTERM")
    print("never")
run_script(main)
"""
    assert run(SEND + code) == ("one request\nanother sender\n", -signal.SIGTERM)


def test_what_is_ignored_stays_ignored():
    code = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def main():
    interrupt = Interrupt()
    send("SIGHUP")
    interrupt.check()
    print("under nohup")
run_script(main)
"""
    assert run(SEND + code) == ("under nohup\n", 0)
