"""Write the report page of a study: one HTML file that needs nothing else."""

from pathlib import Path

from histobench.io import checkout
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.report.page.page import PageInput, build
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "page", several=["tables", "figures", "captions", "results"])
    commit, clean = checkout.commit(Path(__file__).parents[1])
    content = PageInput(
        study=resolved.load(given.study),
        tables=given.tables,
        figures=given.figures,
        results={path.stem: path for path in given.results},
        captions=given.captions[0].parent,
        commit=f"{commit}{'' if clean else '-modified'}" if commit else "",
    )
    page = build(content, given.page)
    with atomic_path(given.page) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
