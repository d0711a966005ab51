"""The command line of the scripts that make the report: named files, and nothing else."""

import argparse
from collections.abc import Iterable
from pathlib import Path


def parse(
    description: str | None, *required: str, several: Iterable[str] = (), optional: Iterable[str] = ()
) -> argparse.Namespace:
    """Return the files of a command line, each a `Path` under the name of its option.

    Args:
        description: docstring of the script.
        required: options of one file each; `output_prefix` is `--output-prefix`.
        several: options of one file or more.
        optional: options of one file, None where it is not given.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in (*required, *several, *optional):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=Path,
            required=name not in optional,
            nargs="+" if name in several else None,
            metavar="PREFIX" if name == "output_prefix" else "FILE",
        )
    return parser.parse_args()
