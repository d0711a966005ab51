"""What `make` shows of Snakemake: progress with the time left, failed jobs with the end of their logs, and warnings.

This is a logger plugin, `snakemake --logger histobench`. Snakemake's own log, whose path is shown after a failure, has everything.
"""

import re
import shutil
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from histobench.tools.command_line import duration

stopped = threading.Event()
"""Set when the user stops the study: nothing more is shown."""
complete = threading.Event()
"""Set when the study has nothing left to do."""

WANTED = re.compile("Nothing to be done|Will exit after|Trying to restart|Complete log")
"""Snakemake's plain messages that are shown."""
REPEATED = re.compile("CalledProcessError|At least one job did not complete|Exiting because a job execution failed")
"""Its errors that only repeat that a job has failed."""
LAST_LINES = 20
"""of the log of a failed job."""
EVERY_SECONDS = 600.0
"""Between lines of progress where the output is no terminal, unless a tenth of the jobs ends earlier."""
CLEAR = "\r\033[K"
"""Removes what stands in a terminal's line."""


class Estimate:
    """The jobs of a study, and how long they take."""

    def __init__(self, total: dict[str, int]) -> None:
        self.total = total
        self.started: dict[int, tuple[str, float]] = {}
        self.ended: dict[str, list[float]] = defaultdict(list)
        self.began = time.monotonic()

    @property
    def done(self) -> int:
        """Return how many jobs have ended well."""
        return sum(map(len, self.ended.values()))

    @property
    def jobs(self) -> int:
        """Return how many jobs there are."""
        return sum(self.total.values())

    def end(self, job: int) -> None:
        """Note that a job has ended well."""
        rule, since = self.started.pop(job, ("", time.monotonic()))
        self.ended[rule].append(time.monotonic() - since)

    def seconds_left(self, now: float) -> float | None:
        """Return the time that the remaining jobs take, side by side as the others were; None while that is not known.

        A job takes as long as the mean of its rule, or as the median job where none of its rule has ended. That is not known
        before three jobs have ended, or while it is said by the median for a quarter of the jobs, single jobs of a rule aside.
        """
        left = {rule: total - len(self.ended[rule]) for rule, total in self.total.items()}
        unknown = sum(count for rule, count in left.items() if not self.ended[rule] and self.total[rule] > 1)
        if self.done < 3 or unknown > self.jobs / 4:
            return None
        seconds = [took for each in self.ended.values() for took in each]
        median = statistics.median(seconds)
        mean = {rule: statistics.fmean(self.ended[rule] or [median]) for rule in left}
        running = [(rule, now - since) for rule, since in self.started.values()]
        side_by_side = (sum(seconds) + sum(took for _, took in running)) / max(now - self.began, 1e-9)
        work = sum(count * mean[rule] for rule, count in left.items())
        work -= sum(min(took, mean.get(rule, 0.0)) for rule, took in running)
        return work / max(side_by_side, 1.0)


class LogHandler(LogHandlerBase):
    """Shows progress in one line of a terminal, which is written again and again; in a file, in a line now and then."""

    writes_to_stream = has_filter = has_formatter = property(lambda _: True)  # type: ignore[assignment]
    writes_to_file = needs_rulegraph = property(lambda _: False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self.is_terminal = self.stream.isatty()
        self.estimate = Estimate({})
        self.wildcards: dict[int, str] = {}
        self.writers: set[int] = set()  # jobs that write to the terminal themselves, as downloads do
        self.shown = (0, time.monotonic())  # how many jobs had ended when a line was last written, and when
        self.statistics, self.failed = "", False

    def emit(self, record: LogRecord) -> None:
        """Show a message of Snakemake, if it is one for people."""
        try:
            if not stopped.is_set():
                self.show(getattr(record, "event", None), record.getMessage(), vars(record))
        except BrokenPipeError:  # as of `| head`
            pass
        except Exception:
            self.handleError(record)

    def show(self, event: LogEvent | None, text: str, details: dict[str, Any]) -> None:
        """Show a message: its kind, its text, and what the record says beside them."""
        dry_run = self.common_settings.dryrun
        if event == LogEvent.RUN_INFO:
            self.estimate = Estimate({rule: count for rule, count in details["stats"].items() if rule != "total"})
            self.statistics = text
            if not dry_run:
                self.write(f"{self.estimate.jobs} jobs; Ctrl-C stops them, and the same command goes on")
        elif event == LogEvent.JOB_INFO and not dry_run:
            job = details["jobid"]
            self.wildcards[job] = " ".join(map(str, details["wildcards"].values()))
            self.estimate.started[job] = (details["rule_name"], time.monotonic())
            if "tee -a" in (details["shellcmd"] or ""):
                self.writers.add(job)
            self.progress()
        elif event == LogEvent.JOB_FINISHED and not dry_run:
            self.estimate.end(details["job_id"])
            self.progress()
            if {"all", "default"} & set(self.estimate.total) and self.estimate.done == self.estimate.jobs:
                complete.set()
        elif event == LogEvent.JOB_ERROR:
            self.show_failure(details)
        elif details["levelno"] >= WARNING and event in (None, LogEvent.ERROR) and not REPEATED.search(text):
            self.failed = self.failed or event == LogEvent.ERROR
            self.write(text)
        elif text.startswith("This was a dry-run"):
            self.write(self.statistics + text)
        elif event is None and WANTED.match(text) and (self.failed or not text.startswith("Complete log")):
            self.write(text)
            if text.startswith("Nothing to be done") and not dry_run:
                complete.set()

    def show_failure(self, details: dict[str, Any]) -> None:
        """Show a failed job and its log, and the end of this unless the job has written it to the terminal too."""
        time.sleep(0.3)  # jobs receive Ctrl-C too: until then it is certain whether this is the reason
        if stopped.is_set():
            return
        self.failed = True
        job = details["jobid"]
        self.estimate.started.pop(job, None)
        logs = [Path(log) for log in details["log"] if Path(log).is_file()]
        name = f"{details['rule_name']} {self.wildcards.get(job, '')}".rstrip()
        self.write(f"error: the job {name} has failed; its log is {' and '.join(map(str, logs)) or 'missing'}")
        for log in logs if job not in self.writers else []:
            lines = log.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")[-LAST_LINES:]
            self.write("\n".join("    " + line.rpartition("\r")[2] for line in lines))

    def progress(self) -> None:
        """Show how many jobs have ended, which are running, and about how long the rest takes."""
        now, done, jobs = time.monotonic(), self.estimate.done, self.estimate.jobs
        in_place = self.is_terminal and self.writers.isdisjoint(self.estimate.started)
        if not in_place and done < self.shown[0] + jobs / 10 and now < self.shown[1] + EVERY_SECONDS:
            self.stream.write(CLEAR if self.is_terminal else "")
            self.stream.flush()
            return
        left = self.estimate.seconds_left(now) if done < jobs else None
        running = Counter(rule for rule, _ in self.estimate.started.values() if rule not in ("all", "default"))
        text = f"{done} of {jobs} jobs are done" + (f", about {duration(left)} left" if left is not None else "")
        names = [f"{rule} ({count})" if count > 1 else rule for rule, count in running.items()]
        text += f"; running: {', '.join(names)}" if names else ""
        if in_place:
            self.stream.write(CLEAR + text[: shutil.get_terminal_size().columns - 1])
            self.stream.flush()
        else:
            self.shown = (done, now)
            self.write(text)

    def write(self, text: str) -> None:
        """Write lines in place of the line of progress."""
        self.stream.write(f"{CLEAR if self.is_terminal else ''}{text}\n")
        self.stream.flush()

    def close(self) -> None:
        """Remove the line of progress."""
        if self.is_terminal and not stopped.is_set():
            self.stream.write(CLEAR)
            self.stream.flush()
        super().close()
