"""Requests to end, as true processes: what a handler does shows only in how a process dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from histobench.training import interrupt

LIBRARY = Path(interrupt.__file__).parents[2]
HEAD = """
import os, signal, time
from histobench.io.errors import run_script
from histobench.training.interrupt import Interrupt
send = lambda name: os.kill(os.getpid(), signal.Signals[name])
# Tests may run with these ignored (`make test &`, `nohup make test`), which this process inherits.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


def run(code):
    """Run a script; return what it printed and how it ended."""
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    result = subprocess.run([sys.executable, "-c", HEAD + code], env=environment, capture_output=True, text=True)
    assert result.stderr == ""
    return result.stdout, result.returncode


def test_a_request_waits_for_the_next_check_and_decides_how_the_process_dies():
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
    assert run(code) == ("still here\n", -signal.SIGINT)


def test_a_request_that_comes_after_the_last_check_lets_the_script_finish():
    assert run("run_script(lambda: [Interrupt(), send('SIGTERM'), print('written')])") == ("written\n", 0)


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
    assert run(code) == ("one request\nanother sender\n", -signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_what_is_ignored_stays_ignored_and_sigterm_still_ends_the_script(name):
    code = f"""
signal.signal(signal.{name}, signal.SIG_IGN)
def main():
    interrupt = Interrupt()
    send("{name}")
    interrupt.check()
    print("ignored")
    send("SIGTERM")
    interrupt.check()
    print("never")
run_script(main)
"""
    assert run(code) == ("ignored\n", -signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_a_job_asked_to_end_before_it_trains_ends_at_once(name):
    assert run(f"run_script(lambda: send('{name}'))") == ("", -signal.Signals[name])
