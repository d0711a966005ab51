"""The study that Snakemake would run, by the same configuration files."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.study.config import Config, load

DEFAULT = Path("config/config.yaml")
"""What the workflow's `configfile:` names, from the working directory like every other path of the workflow."""


def study(configfiles: Sequence[Path] = ()) -> Config:
    """Return the study of config/config.yaml with `configfiles` laid over it, as `--configfile` lays them.

    Raises:
        HistoBenchError: a file is missing or cannot be read, or the configuration is not usable.
    """
    from snakemake.utils import update_config

    given: dict = {}
    for path in configfiles:
        update_config(given, _read(Path(path)))
    # In Snakemake's own order, which decides that of the keys: names of what is given come before the default's.
    merged = deepcopy(given)
    update_config(merged, _read(DEFAULT))
    update_config(merged, given)
    return load(merged)


def _read(path: Path) -> dict:
    """Return the mapping in a YAML or JSON file."""
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    if not path.is_file():
        raise HistoBenchError(f"{path}: there is no such configuration file; correct the path of --configfile")
    try:
        return load_configfile(path)
    except (OSError, UnicodeDecodeError, WorkflowError) as error:
        reason = " ".join(str(error).split())
        raise HistoBenchError(f"{path}: cannot be read as YAML ({reason}); correct the file") from error
