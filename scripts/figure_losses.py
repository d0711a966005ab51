"""Draw losses over epochs, per arm (Figure 6) and of all arms (Figure 7): each as PDF, SVG and PNG."""

import argparse
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import losses, style
from histobench.study.runs import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", nargs="+", required=True, metavar="CSV", help="history.csv of each run")
    parser.add_argument("--magnification", type=int, required=True, help="the one that Figure 6 shows")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--per-arm", type=Path, required=True, metavar="PREFIX", help="Figure 6")
    parser.add_argument("--overlay", type=Path, required=True, metavar="PREFIX", help="Figure 7")
    arguments = parser.parse_args()

    histories = {Run.of(path): read_csv(Path(path), losses.COLUMNS) for path in arguments.histories}
    style.save(losses.losses(histories, arguments.magnification, arguments.arms, arguments.note), arguments.per_arm)
    style.save(losses.overlay(histories, arguments.arms, arguments.note), arguments.overlay)


if __name__ == "__main__":
    run_script(main)
