"""Draw how images become a decision, for CNNs (figure3) and vision-language models (figure4), where the study has them.

--configs are the MODEL-KEY.config.json of the models with published weights.
"""

from dataclasses import replace
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv, read_json
from histobench.report.figures import methods, style
from histobench.study import arguments, paths, resolved
from histobench.study.outputs import figures, named


def main() -> None:
    given = arguments.parse(__doc__, "study", "parameters", "output_prefix", configs=[])
    study = resolved.load(given.study)
    configs = {paths.model_of(file): {"config": read_json(Path(file))} for file in given.configs}
    study = replace(study, models={name: {**model, **configs.get(name, {})} for name, model in study.models.items()})
    parameters = read_csv(given.parameters, methods.COLUMNS)
    for name, draw in zip(named(study, ["figure3", "figure4"]), (methods.cnn, methods.vlm), strict=True):
        if name in figures(study):
            style.save(draw(study, parameters), given.output_prefix.with_name(name))


if __name__ == "__main__":
    run_script(main)
