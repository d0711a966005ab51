"""Hold every claim of the paper against a study, beside what its own tables say.

PREFIX.csv, PREFIX.md and PREFIX.tex are written. A result file that is not given, or not there, leaves the claims that
need it `not run`.
"""

import argparse
import json
from pathlib import Path

from histobench.claims import evidence
from histobench.io.errors import run_script
from histobench.io.files import read_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=Path, required=True, help="the ledger, claims.yaml")
    parser.add_argument("--published", type=Path, required=True, help="claims_published.csv")
    for name in evidence.FILES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=f"{name}.csv of the study")
    parser.add_argument("--dataset", required=True, help="dataset of Tables 4 and 5")
    parser.add_argument("--split", required=True, help="split policy of Tables 4 and 5")
    parser.add_argument("--without-augmentation", required=True, help="augmentation of Table 4")
    parser.add_argument("--with-augmentation", required=True, help="augmentation of Table 5")
    parser.add_argument("--table6", type=json.loads, default={}, help="JSON: the columns that say what Table 6 shows")
    parser.add_argument("--names", type=json.loads, default={}, help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    from histobench.claims import ledger
    from histobench.report import render
    from histobench.report.tables.claims_table import study_table
    from histobench.report.tables.paper_tables import Context

    study = evidence.Study(
        names=arguments.names,
        dataset=arguments.dataset,
        split=arguments.split,
        augmentations={4: arguments.without_augmentation, 5: arguments.with_augmentation},
        table6=arguments.table6,
        **{name: evidence.read_optional(getattr(arguments, name), columns) for name, columns in evidence.FILES.items()},
    )
    published = read_csv(arguments.published, ledger.PUBLISHED_COLUMNS)
    rows = ledger.on_study(ledger.load(arguments.claims), published, study)
    context = Context(arguments.study, arguments.names, arguments.note)
    render.write(study_table(rows, context), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
