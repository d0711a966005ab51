"""Write the table of what text after the image changes, and of the answers of models that are not trained."""

from histobench.evaluation.prompt_scores import of_prompts
from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.prompts_table import prompts_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "output_prefix", several=["predictions"])
    study = resolved.load(given.study)
    asked = {arm.key: len(study.recipes[arm.model][arm.mode].get("prompts", [])) for arm in study.arms}
    prompts = of_prompts(given.predictions, asked)
    render.write(prompts_table(read_csv(given.summary, SUMMARY_COLUMNS), prompts, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
