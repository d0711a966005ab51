"""Requests to end: a signal is noted when it comes, and acted on between two optimizer steps."""

import signal
import time
from types import FrameType

from histobench.io.errors import SIGNALS, Interrupted

_SAME_REQUEST = 1.0
"""Seconds in which the same signal from several senders (a queue, Snakemake) is one request."""


class Interrupt:
    """Notes a signal to end until the next `check`. The same signal again, more than a second later, ends the process at once.

    What the process ignores, such as SIGHUP under nohup, stays ignored.
    """

    def __init__(self) -> None:
        self._came: dict[int, float] = {}
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def check(self) -> None:
        """Raise :class:`Interrupted` with the first signal that came, if one did."""
        if self._came:
            raise Interrupted(next(iter(self._came)))

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._came.setdefault(number, now) > _SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
