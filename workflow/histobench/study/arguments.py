"""The command lines of the scripts: files, and a few values."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

HARDWARE = {"device": "auto", "share": 1, "threads": 1, "workers": 0, "micro_batch": 0}
"""Options of the scripts that compute with a model: auto, cpu, cuda, cuda:N or mps; jobs that may share a GPU, 0 where none is
needed; processor threads; processes that augment images, 0 for none but the job itself; the most images on the device at once, 0
for a whole batch."""


def parse(
    description: str | None,
    *required: str,
    several: Iterable[str] = (),
    optional: Iterable[str] = (),
    **values: bool | int | str | list[str] | Callable[[str], object],
) -> argparse.Namespace:
    """Return what a command line gives, each under the name of its option.

    Args:
        description: docstring of the script.
        required: options of one file each, a `Path`; `output_prefix` is `--output-prefix`.
        several: options of one file or more.
        optional: options of one file, None where it is not given.
        values: options of other types. Each is its default, of the same type (a flag where it is False), or a function that
            reads a required value.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name: str, **settings: object) -> None:
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)  # type: ignore[arg-type]

    for name in (*required, *several, *optional):
        metavar = "PREFIX" if name == "output_prefix" else "FILE"
        add(name, type=Path, required=name not in optional, nargs="+" if name in several else None, metavar=metavar)
    for name, value in values.items():
        if value is False:
            add(name, action="store_true")
        elif isinstance(value, list):
            add(name, nargs="*", default=value)
        elif isinstance(value, str | int):
            add(name, type=type(value), default=value)
        else:
            add(name, type=value, required=True)
    return parser.parse_args()
