"""Write which shares of a score's variance come from seed, fold and groups, for each arm that is trained with several seeds."""

from histobench.evaluation import predictions, variance
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments, resolved
from histobench.study.runs import Run


def main() -> None:
    given = arguments.parse(__doc__, "study", "variance", several=["predictions"])
    runs, _ = predictions.read_runs(given.predictions)
    declared = [Run.of(str(path)) for path in given.predictions]
    rows = variance.variances(declared, runs, resolved.load(given.study).splits)
    write_csv(given.variance, variance.COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
