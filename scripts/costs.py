"""Write what each arm of a study cost, time, memory and device, from the records of its runs."""

import argparse
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.report.tables import costs
from histobench.study.runs import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", nargs="+", required=True, metavar="RUN.JSON", help="run.json of every run")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    records = [(Run.of(path), costs.read(Path(path))) for path in arguments.records]
    write_csv(arguments.output, costs.COLUMNS, costs.table(records))


if __name__ == "__main__":
    run_script(main)
