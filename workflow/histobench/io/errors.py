"""The one exception a user is meant to read, and the end of a script."""

import signal
import sys
from collections.abc import Callable


class HistoBenchError(Exception):
    """A mistake outside the code: one sentence saying what, where, what was expected, and what to do."""


class Interrupted(BaseException):
    """A signal asked this process to end, and what it had done is safe."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def run_script(main: Callable[[], None]) -> None:
    """Run a script's main function; turn a :class:`HistoBenchError` into one line on stderr and exit status 1.

    A script that was interrupted dies by the very signal, without a traceback (143 in a shell for SIGTERM). One that
    Snakemake started does not outlive it.
    """
    from histobench.study import lifetime

    lifetime.follow()
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
