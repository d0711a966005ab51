"""How far a download is, for a person at a terminal and for one who reads a log."""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

_EVERY = 0.2
"""Seconds between two states of the line in a terminal."""
_FIRST, _LONGEST = 5.0, 60.0
"""Seconds until the first line in a log, and at most between two: the pauses double."""
_WINDOW = 30
"""Samples, a second apart, over which the rate is taken."""


class Progress:
    """Amount, rate and time left of one download, on standard error.

    In a terminal one line is written over and over. Elsewhere (a log, a pipe) whole lines follow each other at growing
    intervals, each with the name of the file, so that those of several downloads can be told apart.
    """

    def __init__(self, name: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.name = name
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._began = clock()
        self._came = 0
        self._pause = _FIRST
        self._due = self._began + (0 if self._terminal else _FIRST)
        self.start(0, None)

    def start(self, done: int, total: int | None) -> None:
        """Begin a transfer, of which `done` bytes of `total` (None: unknown) are there already."""
        self._done, self._total = done, total
        self._samples = deque([(self._clock(), done)], maxlen=_WINDOW)

    def add(self, count: int) -> None:
        """Count bytes that have come."""
        self._done += count
        self._came += count
        now = self._clock()
        if now - self._samples[-1][0] >= 1:
            self._samples.append((now, self._done))
        if now < self._due:
            return
        if self._terminal:
            self._due = now + _EVERY
            self._write(f"\r{self.name}: {self._state(now)}\x1b[K")
        else:
            self._pause = min(2 * self._pause, _LONGEST)
            self._due = now + self._pause
            self._write(f"{self.name}: {self._state(now)}\n")

    def say(self, sentence: str) -> None:
        """Write a line that stays."""
        self._write(("\r\x1b[K" if self._terminal else "") + f"{self.name}: {sentence}\n")

    def finish(self, sentence: str) -> None:
        """Write what has come in all, with its mean rate."""
        seconds = self._clock() - self._began
        self.say(f"{size(self._came)} in {duration(seconds)} ({size(self._came / max(seconds, 0.001))}/s), {sentence}")

    def _state(self, now: float) -> str:
        since, then = self._samples[0]
        rate = (self._done - then) / max(now - since, 0.001)
        if self._total is None:
            return f"{size(self._done)}, {size(rate)}/s"
        left = f", {duration((self._total - self._done) / rate)} left" if rate else ""
        percent = int(100 * self._done / max(self._total, 1))
        return f"{size(self._done)} of {size(self._total)} ({percent} %), {size(rate)}/s{left}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def size(count: float) -> str:
    """Return a number of bytes in decimal units, `4.04 GB`."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = 0
    while count >= 999.5 and power < len(units) - 1:
        count, power = count / 1000, power + 1
    digits = 0 if not power or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f} {units[power]}"


def duration(seconds: float) -> str:
    """Return seconds as a person says them, `2 h 5 min`, `3 min 20 s` or `8 s`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
