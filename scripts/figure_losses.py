"""Draw losses over epochs, per arm (figure6) and of all arms (figure7)."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import losses, style
from histobench.study import arguments, resolved
from histobench.study.runs import Run


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["histories"])
    study = resolved.load(given.study)
    histories = {Run.of(str(path)): read_csv(path, losses.COLUMNS) for path in given.histories}
    style.save(losses.losses(histories, study), given.output_prefix.with_name("figure6"))
    style.save(losses.overlay(histories, study), given.output_prefix.with_name("figure7"))


if __name__ == "__main__":
    run_script(main)
