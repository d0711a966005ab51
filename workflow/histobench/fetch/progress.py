"""The progress of a download, as lines of a log."""

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

_FIRST, _LONGEST = 5.0, 60.0
"""Seconds until the first line, and at most between two lines: the intervals double."""


class Progress:
    """Amount, rate and time left of one download, on standard error, as whole lines at growing intervals.

    Each line begins with the name of the file, so that several downloads in one log can be told apart.
    """

    def __init__(self, name: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.name = name
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began = clock()
        self._received = 0
        self._interval = _FIRST
        self._next = self._began + _FIRST
        self.start(0, None)

    def start(self, done: int, total: int | None) -> None:
        """Begin a transfer: `done` bytes of `total` (None if unknown) are there already."""
        self._initial = self._done = done
        self._total = total
        self._started = self._clock()

    def add(self, count: int) -> None:
        """Count received bytes; write a line when it is time."""
        self._done += count
        self._received += count
        now = self._clock()
        if now >= self._next:
            self._interval = min(2 * self._interval, _LONGEST)
            self._next = now + self._interval
            meter: dict[str, Any] = {
                "total": self._total,
                "initial": self._initial,
            }  # tqdm also takes None as the total
            meter |= {"unit": "B", "unit_scale": True, "ncols": 0}
            self.say(tqdm.format_meter(self._done, elapsed=now - self._started, **meter).strip())

    def say(self, message: str) -> None:
        """Write a line."""
        self._stream.write(f"{self.name}: {message}\n")
        self._stream.flush()

    def finish(self, message: str) -> None:
        """Write the amount received, the duration and the mean rate."""
        seconds = self._clock() - self._began
        amount, rate = (
            tqdm.format_sizeof(value, "B") for value in (self._received, self._received / max(seconds, 1e-3))
        )
        self.say(f"{amount} in {tqdm.format_interval(seconds)} ({rate}/s), {message}")
