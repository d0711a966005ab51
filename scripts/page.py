"""Write the report page of a study: one HTML file that needs nothing else."""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.report.page.page import Study, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the first line; may be repeated")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--configuration", required=True, help="JSON: the resolved configuration")
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="CSVs, each with its Markdown beside it")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="SVGs, each with its PNG beside it")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="other CSVs, known by their names")
    parser.add_argument("--captions", type=Path, required=True, help="folder with a caption NAME.rst for each figure")
    parser.add_argument("--commit", default="", help="git commit of the code, where it is known")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    study = Study(
        name=arguments.study,
        notes=arguments.note,
        names=json.loads(arguments.names),
        configuration=json.loads(arguments.configuration),
        tables=arguments.tables,
        figures=arguments.figures,
        results={path.stem: path for path in arguments.results},
        captions=arguments.captions,
        commit=arguments.commit,
    )
    page = build(study, arguments.output)
    with atomic_path(arguments.output) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
