"""Download the archive of a dataset."""

import argparse
import sys
from pathlib import Path

from histobench.io.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="http or https address of the archive")
    parser.add_argument("--mirrors", nargs="+", default=[], help="further addresses, tried in order when --url fails")
    parser.add_argument(
        "--sha256", default="", help="expected SHA-256; if empty, that of the first download, which is kept beside it"
    )
    parser.add_argument("--licence", default="", help="shown when the archive has been downloaded")
    parser.add_argument("--citation", default="", help="shown when the archive has been downloaded")
    parser.add_argument("--output", type=Path, required=True, help="path of the archive")
    arguments = parser.parse_args()

    from histobench.fetch.http import fetch, notices

    output = arguments.output
    downloaded = fetch(arguments.url, output, arguments.sha256, arguments.mirrors)
    for line in notices(output.name, arguments.licence, arguments.citation) if downloaded else []:
        print(line, file=sys.stderr)
    print(f"{output}: {output.stat().st_size} bytes, verified")


if __name__ == "__main__":
    run_script(main)
