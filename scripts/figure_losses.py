"""Draw losses over epochs, per arm (figure6) and of all arms (figure7)."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import losses, style
from histobench.study import arguments, resolved
from histobench.study.outputs import named
from histobench.study.runs import Run


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["histories"])
    study = resolved.load(given.study)
    histories = {Run.of(str(path)): read_csv(path, losses.COLUMNS) for path in given.histories}
    for name, draw in zip(named(study, ["figure6", "figure7"]), (losses.losses, losses.overlay), strict=True):
        style.save(draw(histories, study), given.output_prefix.with_name(name))


if __name__ == "__main__":
    run_script(main)
