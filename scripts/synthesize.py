"""Draw a synthetic dataset into one tar.gz archive: the tree of BreakHis or of BACH."""

from histobench.datasets import synthetic
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.study import arguments
from histobench.study.synthetic_settings import SyntheticSettings


def main() -> None:
    given = arguments.parse(__doc__, "output", settings=SyntheticSettings.model_validate_json, workers=1)
    with atomic_path(given.output) as temporary:
        count = synthetic.generate(given.settings, temporary, given.workers)
    print(f"{given.output}: {count} synthetic images")


if __name__ == "__main__":
    run_script(main)
