"""How far a download is, as a terminal and as a log show it."""

import io

import pytest

from histobench.fetch.progress import Progress, duration, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def downloaded(stream: io.StringIO, seconds: int, total: int | None = 4_000_000_000) -> str:
    """Return what is shown when 10 MB come in each second, eight chunks a second."""
    clock = Clock()
    progress = Progress("a.zip", stream, clock)
    progress.start(1_000_000_000, total)
    for _ in range(8 * seconds):
        clock.now += 0.125
        progress.add(1_250_000)
    progress.finish("checked")
    return stream.getvalue()


def test_a_log_has_whole_lines_at_growing_intervals():
    assert downloaded(io.StringIO(), 200).splitlines() == [
        "a.zip: 1.05 GB of 4.00 GB (26 %), 10.0 MB/s, 4 min 55 s left",
        "a.zip: 1.15 GB of 4.00 GB (28 %), 10.0 MB/s, 4 min 45 s left",
        "a.zip: 1.35 GB of 4.00 GB (33 %), 10.0 MB/s, 4 min 25 s left",
        "a.zip: 1.75 GB of 4.00 GB (43 %), 10.0 MB/s, 3 min 45 s left",
        "a.zip: 2.35 GB of 4.00 GB (58 %), 10.0 MB/s, 2 min 45 s left",
        "a.zip: 2.95 GB of 4.00 GB (73 %), 10.0 MB/s, 1 min 45 s left",
        "a.zip: 2.00 GB in 3 min 20 s (10.0 MB/s), checked",
    ]


def test_a_short_download_is_one_line_in_a_log():
    assert downloaded(io.StringIO(), 4) == "a.zip: 40.0 MB in 4 s (10.0 MB/s), checked\n"


def test_a_terminal_has_one_line_that_changes():
    shown = downloaded(Terminal(), 2)
    *states, last, end = shown.split("\r")
    assert (len(states), end) == (8, "\x1b[Ka.zip: 20.0 MB in 2 s (10.0 MB/s), checked\n")
    assert last == "a.zip: 1.02 GB of 4.00 GB (25 %), 10.0 MB/s, 4 min 58 s left\x1b[K"
    assert "\n" not in "".join(states)


def test_an_unknown_size_has_no_time_left():
    assert downloaded(io.StringIO(), 6, None).startswith("a.zip: 1.05 GB, 10.0 MB/s\n")


def test_the_rate_is_that_of_the_last_half_minute():
    """A hundred seconds at 10 MB/s, then thirty-five at 1 MB/s; 963 MB are left."""
    clock, stream = Clock(), io.StringIO()
    progress = Progress("a.zip", stream, clock)
    progress.start(2_000_000, 2_000_000_000)
    for second in range(135):
        clock.now += 1
        progress.add(10_000_000 if second < 100 else 1_000_000)
    last = stream.getvalue().splitlines()[-1]
    assert last == "a.zip: 1.04 GB of 2.00 GB (51 %), 1.00 MB/s, 16 min 3 s left"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
        (10_400_000_000, "10.4 GB"),
    ],
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (7505, "2 h 5 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text
