"""The one exception a user is meant to read."""

import sys
from collections.abc import Callable


class HistoBenchError(Exception):
    """A mistake outside the code: one sentence saying what, where, what was expected, and what to do."""


def run_script(main: Callable[[], None]) -> None:
    """Run a script's main function; turn a :class:`HistoBenchError` into one line on stderr and exit status 1."""
    try:
        main()
    except HistoBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
