"""Show a study as a table: what it runs, what of it is done, and what the rest takes in time and on the disk.

`make plan`, or `python -m histobench.tools.plan --configfile config/demo.yaml --gpu H200`.
"""

import argparse
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.io.errors import run_script
from histobench.tools.disk import Need, needs
from histobench.tools.estimate import Estimate, Job
from histobench.tools.rates import Rates, named, present, probed, rates, view_seconds
from histobench.tools.studies import study
from histobench.tools.text import amount, columns, duration, wrapped

SHARED = {
    "tokens": "visual tokens", "features": "embeddings", "predict": "predictions on other datasets"
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Jobs that are shown together."""

    cells: tuple[str, ...]
    """What they are."""
    jobs: list[Job]

    @property
    def open(self) -> list[Job]:
        """Those that are still to do."""
        return [job for job in self.jobs if not job.done]


def main() -> None:
    given = arguments(__doc__ or "").parse_args()
    config = study(given.configfile)
    device = named(given.gpu) if given.gpu else present(probed(), config.device)
    print("\n".join(plan(Estimate(config), rates(config, device))))


def arguments(description: str) -> argparse.ArgumentParser:
    """Return what `plan` and `doctor` may be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configfile", nargs="+", action="extend", type=Path, default=[], metavar="FILE", help="as Snakemake takes it"
    )
    parser.add_argument("--gpu", help="estimate for one GPU of this name, for example H200, not for this machine")
    return parser


def plan(estimate: Estimate, rate: Rates) -> list[str]:
    """Return the lines to print."""
    rows = list(arm_rows(estimate))
    lines = [f"Study {estimate.config.study}: {_runs(estimate)}", ""]
    header = ("model", "mode", "augmentation", "at", "runs", "done", "to do", "image passes", "time")
    lines += columns(header, [[*row.cells, *_numbers(row, rate)] for row in [*rows, _total("all runs", 4, rows)]], 4, 1)
    shared = list(shared_rows(estimate))
    if shared:
        header = ("shared work", "model", "jobs", "done", "to do", "image passes", "time")
        all_of_it = _total("all shared work", 2, shared)
        lines += ["", *columns(header, [[*row.cells, *_numbers(row, rate)] for row in [*shared, all_of_it]], 2, 1)]
    lines += ["", *_time(estimate, rate), "", *disk(needs(estimate, rate.device.kind == "cuda"))]
    return lines


def _runs(estimate: Estimate) -> str:
    to_do = sum(not job.done for job in estimate.training)
    if not to_do:
        return f"{len(estimate.training)} training runs, all done"
    return f"{len(estimate.training)} training runs, {to_do} to do"


def arm_rows(estimate: Estimate) -> Iterable[Row]:
    """Yield a row for each arm: dataset and split are named where the study has several."""
    config = estimate.config
    many = [len({getattr(run, part) for run in config.runs}) > 1 for part in ("dataset", "split")]
    together: dict[tuple[str, ...], list[Job]] = {}
    for job in estimate.training:
        run = job.run
        assert run is not None
        extra = [name for name, several in zip((run.dataset, run.split), many, strict=True) if several]
        key = (run.model, "/".join([run.mode, *extra]), run.augmentation)
        together.setdefault(key, []).append(job)
    for key, jobs in together.items():
        scales = dict.fromkeys(str(job.run.magnification) for job in jobs if job.run)
        yield Row((*key, " ".join(scales)), jobs)


def shared_rows(estimate: Estimate) -> Iterable[Row]:
    """Yield a row for each kind of shared work and model."""
    together: dict[tuple[str, ...], list[Job]] = {}
    for job in estimate.shared:
        what = SHARED[job.kind] if job.kind != "predict" else f"predictions on {job.dataset}"
        together.setdefault((what, job.model), []).append(job)
    for key, jobs in together.items():
        yield Row(key, jobs)


def _total(name: str, columns: int, rows: Sequence[Row]) -> Row:
    return Row((name, *[""] * (columns - 1)), [job for row in rows for job in row.jobs])


def seconds(jobs: Iterable[Job], rate: Rates) -> float | None:
    """Return the time of jobs, one after another; None where that of one of them is not known."""
    each = [rate.seconds(job) for job in jobs]
    return None if None in each else sum(filter(None, each))


def _numbers(row: Row, rate: Rates) -> list[str]:
    todo = row.open
    passes = sum(job.passes for job in todo)
    taken = duration(seconds(todo, rate)) if todo else "-"
    assumed = any(rate.of(job)[1] == "assumed" for job in todo)
    mark = "~" if assumed and not taken.startswith("<") else " "
    return [
        str(len(row.jobs)),
        str(len(row.jobs) - len(todo)),
        str(len(todo)),
        f"{passes:,}" if todo else "-",
        mark + taken,
    ]


def _time(estimate: Estimate, rate: Rates) -> list[str]:
    """Return what the times are of, and where their rates are from."""
    open_jobs = [job for job in estimate.jobs if not job.done]
    if not open_jobs:
        return ["Nothing is left to compute but tables, figures and the page."]
    lines = []
    device, total = rate.device, seconds(open_jobs, rate)
    where = device.name or "this machine"
    if estimate.unknown:
        lines.append("Time: not known before all images are counted.")
    elif total is None:
        lines.append("Time: not known: no runs here have been measured, and this device's speed is not known.")
    else:
        several = f"; on all {device.count} together about {duration(total / device.count)}" if device.count > 1 else ""
        lines.append(f"Time: about {duration(total)} of arithmetic on {where}, one job after another{several}.")
    bases = {rate.of(job)[1] for job in open_jobs}
    if "measured" in bases or "model" in bases:
        lines.append("Rates: by images_per_second in the run.json of runs that were finished on this device.")
    if "assumed" in bases and device.reaches:
        cnn, vlm = (f"{rate.shares[kind]:.0%}" for kind in ("cnn", "vlm"))
        shares = f"{cnn}" if cnn == vlm else f"{cnn} for CNNs and {vlm} for vision-language models"
        lines.append(
            f"{'Else' if bases & {'measured', 'model'} else 'Rates'} (~): assumed, {shares} of what the device reaches by "
            f"{device.source}; and augmenting a view takes {view_seconds(336) * 1000:.1f} ms of a core at 336 px."
        )
    lines.append("Starting jobs, reading images, statistics and figures come on top: seconds for each job.")
    lines += [f"No number here has the images of {name}: {estimate.images[name].source}." for name in estimate.unknown]
    return [part for line in lines for part in wrapped(line)]


def disk(found: Sequence[Need]) -> list[str]:
    """Return what a study needs on the disk as a table, and what is free."""
    rows = [[need.what, need.place, amount(need.size), amount(need.there) if need.there else "-"] for need in found]
    missing = sum(need.missing for need in found)
    rows.append(["in all", "", amount(sum(need.size for need in found)), amount(sum(need.there for need in found))])
    free = shutil.disk_usage(Path()).free
    last = f"Disk: {amount(missing)} to come, {amount(free)} free in this folder."
    return [*columns(("disk", "in", "needs", "there"), rows, 2, 1), "", last]


if __name__ == "__main__":
    run_script(main)
