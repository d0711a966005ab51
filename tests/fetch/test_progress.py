"""Progress of a download in a log."""

import io

from histobench.fetch.progress import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def downloaded(seconds: int, total: int | None = 4_000_000_000) -> list[str]:
    """Return the lines of a download that receives 10 MB per second, in eight chunks, after the first 1 GB."""
    clock, stream = Clock(), io.StringIO()
    progress = Progress("a.zip", stream, clock)
    progress.start(1_000_000_000, total)
    for _ in range(8 * seconds):
        clock.now += 0.125
        progress.add(1_250_000)
    progress.finish("verified")
    return stream.getvalue().splitlines()


def test_lines_follow_each_other_at_growing_intervals():
    """After 5 s, and then 10, 20, 40, 60 and 60 s later: 3 GB take 300 s in all."""
    *lines, last = downloaded(200)
    shares = [line.split("%")[0].split()[-1] for line in lines]
    assert shares == ["26", "29", "34", "44", "59", "74"]
    assert lines[0].startswith("a.zip: ")
    assert "1.05G/4.00G [00:05<04:55, 10.0MB/s]" in lines[0]
    assert last == "a.zip: 2.00GB in 03:20 (10.0MB/s), verified"


def test_a_short_download_is_one_line():
    assert downloaded(4) == ["a.zip: 40.0MB in 00:04 (10.0MB/s), verified"]


def test_an_unknown_size_has_no_time_left():
    line, _ = downloaded(6, None)
    assert line == "a.zip: 1.05GB [00:05, 10.0MB/s]"
