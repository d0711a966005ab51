"""Write what each arm of a study cost, time, memory and device, from the records of its runs."""

from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.report.tables import costs
from histobench.study import arguments
from histobench.study.runs import Run


def main() -> None:
    given = arguments.parse(__doc__, "costs", several=["records"])
    records = [(Run.of(str(path)), costs.read(path)) for path in given.records]
    write_csv(given.costs, costs.COLUMNS, costs.table(records))


if __name__ == "__main__":
    run_script(main)
