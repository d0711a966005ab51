"""Errors that a user reads, and how a script ends."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from histobench.io.process import end_with_parent

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""Sent by queues, Ctrl-C, a closed terminal, and when Snakemake ends."""


class HistoBenchError(Exception):
    """A fault outside the code. Its message is one sentence: what is wrong, where, what was expected, what to do."""


class Interrupted(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def run_script(main: Callable[[], None]) -> None:
    """Run a script's main function; turn a :class:`HistoBenchError` into one line on stderr and exit status 1.

    A script that receives one of :data:`SIGNALS` removes its temporary files and dies by that signal, without a traceback
    (status 143 in a shell for SIGTERM). A job does not outlive the Snakemake that started it.
    """
    end_with_parent()
    for number in SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:  # not what is ignored, as SIGHUP is under nohup
            signal.signal(number, _interrupt)
    try:
        main()
        return
    except HistoBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        number = signal.SIGINT
    except Interrupted as interrupted:
        number = interrupted.number
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
