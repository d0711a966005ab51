"""A user's regular expressions, with a limit to their time."""

import re
import signal

from histobench.io.errors import HistoBenchError

SECONDS = 1
"""CPU time that an expression may take on one name."""


def timed_search(pattern: re.Pattern[str], path: str) -> re.Match[str] | None:
    """Return the first match; an expression such as ``(a+)+$`` can take years, and is refused after :data:`SECONDS`.

    Only the main thread can search, because only there Python interrupts one.
    """

    def end(*_: object) -> None:
        raise HistoBenchError(
            f"the regular expression {pattern.pattern!r:.100} takes more than {SECONDS} s on the name {path!r:.100}; simplify its "
            "repetitions: (a+)+ is a+"
        )

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return pattern.search(path)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
