"""Stored arrays, mapped into memory."""

from pathlib import Path

import numpy as np


def mapped(path: Path) -> np.memmap:
    """Map a .npy file into memory, read-only. Arrays of Python objects are refused, so no code in the file runs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is no .npy file, or is shorter than its header says.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise
    except Exception as error:  # a malicious header can make numpy's parser raise anything
        reason = " ".join(str(error).split())[:200]
        raise ValueError(reason or type(error).__name__) from error
