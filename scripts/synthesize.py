"""Draw a synthetic dataset into one archive: the tree of BreakHis (.tar.gz) or of BACH (.zip)."""

import argparse
from pathlib import Path

from histobench.datasets import synthetic
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.study.synthetic_settings import SyntheticSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--settings", required=True, metavar="JSON", help="histobench.study.synthetic_settings.SyntheticSettings"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; the archive does not depend on it"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="PATH", help="archive to write")
    arguments = parser.parse_args()
    settings = SyntheticSettings.model_validate_json(arguments.settings)

    with atomic_path(arguments.output) as temporary:
        count = synthetic.generate(settings, temporary, arguments.workers)
    print(f"{arguments.output}: {count} synthetic images")


if __name__ == "__main__":
    run_script(main)
