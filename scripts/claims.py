"""Compare every claim of the paper with a study, beside what the paper's own tables say.

A result file that is not given, or not there, leaves the claims that need it `not run`.
"""

from histobench.claims import evidence, ledger
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.claims_table import study_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(
        __doc__,
        "study",
        "claims",
        "published",
        "output_prefix",
        optional=[*evidence.FILES, *evidence.DRAWS],
        histories=[],
    )
    study = resolved.load(given.study)
    published = read_csv(given.published, ledger.PUBLISHED_COLUMNS)
    results = evidence.read_results(study, vars(given), given.histories)
    rows = ledger.on_study(ledger.load(given.claims), published, results)
    render.write(study_table(rows, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
