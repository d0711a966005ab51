"""What `make` shows of Snakemake's messages."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from histobench.tools import terminal


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, in a list of one number."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(terminal.time, "sleep", lambda _: None)
    return now


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def handler(request, monkeypatch, clock):
    """A handler that writes to a file, or to a terminal, in memory."""
    stream = io.StringIO()
    stream.isatty = lambda: request.param
    monkeypatch.setattr(terminal.sys, "stderr", stream)
    monkeypatch.setattr(terminal.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=60))
    for event in (terminal.stopped, terminal.complete):
        event.clear()
    return terminal.LogHandler(SimpleNamespace(stdout=False, dryrun=False), None)


def send(handler, text: str = "", level: int = logging.INFO, **details) -> None:
    record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    vars(record).update(details)
    handler.emit(record)


def start(handler, job: int, rule: str, shellcmd: str = "", **wildcards) -> None:
    send(handler, event=LogEvent.JOB_INFO, jobid=job, rule_name=rule, wildcards=wildcards, shellcmd=shellcmd)


def fail(handler, job: int, rule: str, log: str, shellcmd: str = "") -> None:
    details = {"jobid": job, "rule_name": rule, "log": [log], "shellcmd": shellcmd}
    send(handler, f"Error in rule {rule}", logging.ERROR, event=LogEvent.JOB_ERROR, **details)
    send(handler, "RuleException:\nCalledProcessError in file x", logging.ERROR, event=LogEvent.ERROR)
    send(handler, "At least one job did not complete successfully.", logging.ERROR, event=LogEvent.ERROR)


def lines(handler) -> list[str]:
    """Return the lines that remain on the screen; the last is the one in which the cursor is."""
    return [line.rpartition("\033[K")[2] for line in handler.stream.getvalue().split("\n")]


def test_time_left_is_that_of_the_rules_whose_jobs_have_ended(clock):
    """Two side by side: 2 manifests of 1 s, 4 of 10 trainings of 8 s at 18 s; 6 more of 8 s, a score of the median, 8 s."""
    estimate = terminal.Estimate({"manifest": 2, "train": 10, "score": 1})
    assert estimate.seconds_left(0.0) is None
    for job, (rule, began, ended) in enumerate(
        [("manifest", 0, 1), ("manifest", 0, 1), ("train", 1, 9), ("train", 1, 9), ("train", 9, 17), ("train", 9, 17)]
    ):
        clock[0] = began
        estimate.started[job] = (rule, clock[0])
        clock[0] = ended
        estimate.end(job)
        if job == 1:
            assert estimate.seconds_left(clock[0]) is None  # the training, most of the work, is not known yet
    assert estimate.seconds_left(17.0) == pytest.approx((6 * 8 + 8) / 2)
    estimate.started[9] = ("train", 17.0)
    estimate.started[10] = ("train", 17.0)
    assert estimate.seconds_left(19.0) == pytest.approx((6 * 8 + 8 - 2 * 2) / 2)
    assert estimate.seconds_left(1000.0) >= 0


def test_progress_is_one_line_of_a_terminal_and_few_lines_of_a_file(handler, clock):
    send(handler, "Building DAG of jobs...")
    send(handler, "Job stats", event=LogEvent.RUN_INFO, stats={"train": 100, "default": 1, "total": 101})
    for job in range(101):
        start(handler, job, "train" if job else "default", fold="1")
        clock[0] += 1
        send(handler, event=LogEvent.JOB_FINISHED, job_id=job)
        assert terminal.complete.is_set() == (job == 100)
    handler.close()
    shown = lines(handler)
    assert shown[0].startswith("101 jobs")
    if handler.is_terminal:
        assert shown[1:] == [""]
        assert "50 of 101 jobs are done, about 51 s left; running: train" in handler.stream.getvalue()
        assert max(map(len, handler.stream.getvalue().split("\r"))) <= 60 + len("\033[K")
    else:
        assert [int(line.split()[0]) for line in shown[1:-1]] == list(range(11, 102, 11))[:9]
        assert "\033" not in handler.stream.getvalue()


def test_a_failed_job_is_shown_once_with_the_end_of_its_log(handler, tmp_path):
    log = tmp_path / "a b.log"
    log.write_text("first\n" + "more\n" * 30 + "1 %\r100 %\nerror: the image is broken\n")
    start(handler, 3, "train", "python x > log 2>&1", model="small", fold=1)
    fail(handler, 3, "train", str(log))
    send(handler, "Complete log(s): x.log")
    text = handler.stream.getvalue()
    assert text.count(f"error: the job train small 1 has failed; its log is {log}") == 1
    assert text.count("    100 %\n    error: the image is broken\n") == 1
    assert "first" not in text
    assert "Exception" not in text
    assert "did not complete" not in text
    assert "Complete log(s): x.log" in text
    assert not terminal.complete.is_set()


def test_what_a_job_has_written_to_the_terminal_is_not_shown_again(handler, tmp_path):
    log = tmp_path / "log"
    log.write_text("error: the archive is broken\n")
    start(handler, 1, "manifest", "python x > log 2> >(tee -a log >&2)", dataset="mine")
    assert lines(handler)[-1] == ""  # no line of progress, in which the job would write
    fail(handler, 1, "manifest", str(log))
    assert "the archive is broken" not in handler.stream.getvalue()
    assert f"the job manifest mine has failed; its log is {log}" in handler.stream.getvalue()


def test_after_ctrl_c_nothing_is_shown(handler, tmp_path):
    start(handler, 3, "train")
    before = handler.stream.getvalue()
    terminal.stopped.set()
    fail(handler, 3, "train", str(tmp_path / "log"), "train --specification '{}'")
    handler.close()
    assert handler.stream.getvalue() == before


def test_errors_and_warnings_of_snakemake_are_shown(handler):
    send(handler, "a warning", logging.WARNING)
    send(handler, "MissingInputException: images.zip", logging.ERROR, event=LogEvent.ERROR)
    send(handler, "Select jobs to execute...")
    assert lines(handler) == ["a warning", "MissingInputException: images.zip", ""]


def test_a_closed_pipe_is_no_error(handler, capfd):
    handler.stream.write = lambda _: (_ for _ in ()).throw(BrokenPipeError)
    send(handler, "a warning", logging.WARNING)
    assert capfd.readouterr() == ("", "")
