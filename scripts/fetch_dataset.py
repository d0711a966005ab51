"""Download the archive of a dataset."""

import argparse
from pathlib import Path

from histobench.study.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="http or https address of the archive")
    parser.add_argument(
        "--sha256", default="", help="expected SHA-256; empty: that of the first download, kept beside it"
    )
    parser.add_argument("--output", type=Path, required=True, help="where the archive stands")
    arguments = parser.parse_args()

    from histobench.datasets.download import fetch

    fetch(arguments.url, arguments.output, arguments.sha256)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes, checked")


if __name__ == "__main__":
    run_script(main)
