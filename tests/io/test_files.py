"""Writing where it cannot be done: every writer's own way to fail becomes one sentence, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from histobench.io import files
from histobench.io.errors import HistoBenchError
from tests.disks import small_disk

LIBRARY = Path(files.__file__).parents[2]
NUMBERS = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)

WRITERS = {
    "text": lambda path: path.write_bytes(NUMBERS.tobytes()),
    "numpy": lambda path: np.save(path.open("wb"), NUMBERS),
    "numpy, unbuffered": lambda path: NUMBERS.tofile(path),
    "PyTorch": lambda path: torch.save({"a": torch.from_numpy(NUMBERS)}, path),
    "PyTorch, many tensors": lambda path: torch.save([torch.arange(500) for _ in range(200)], path),
    "safetensors": lambda path: save_file({"a": torch.from_numpy(NUMBERS)}, path),
    "Pillow": lambda path: PIL.Image.fromarray(NUMBERS).save(path, "png"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_a_sentence_and_the_old_file_survives(tmp_path, writer):
    with small_disk(tmp_path / "disk", 256) as disk:
        path = disk / "folder" / "file"
        path.parent.mkdir()
        path.write_text("old")
        with pytest.raises(HistoBenchError) as caught, files.atomic_path(path) as temporary:
            WRITERS[writer](temporary)
        assert str(caught.value) == f"{path}: the disk or quota is full; free some space and run the same command again"
        assert [each.name for each in path.parent.iterdir()] == ["file"]
        assert path.read_text() == "old"


def test_an_error_that_is_none_of_the_disk_is_passed_on(tmp_path):
    for error in (ValueError("wrong"), OSError("strange"), HistoBenchError("known"), KeyboardInterrupt()):

        def write(error=error):
            with files.atomic_path(tmp_path / "file") as temporary:
                temporary.write_text("half")
                raise error

        with pytest.raises(type(error)) as caught:
            write()
        assert caught.value is error
    assert not list(tmp_path.iterdir())


def test_a_limit_of_the_files_size_is_a_sentence(tmp_path):
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
def main():
    with atomic_path(Path("file")) as temporary:
        np.zeros(1_000_000).tofile(temporary)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
run_script(main)
"""
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == (
        "error: file: is larger than files may be here; raise the limit (ulimit -f) or use another file system\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sigint", "number"),
    [
        ("--default-signal=INT,HUP", signal.SIGTERM),
        ("--default-signal=INT,HUP", signal.SIGHUP),
        ("--default-signal=INT,HUP", signal.SIGUSR1),
        ("--default-signal=INT,HUP", signal.SIGINT),
        ("--ignore-signal=INT", signal.SIGTERM),
    ],
)
def test_a_script_that_is_asked_to_end_leaves_no_temporary_file(tmp_path, sigint, number):
    code = """
import time
from pathlib import Path
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
def main():
    with atomic_path(Path("file")) as temporary:
        temporary.write_text("half")
        print("began", flush=True)
        time.sleep(60)
run_script(main)
"""
    command = ["env", sigint, sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == -number
    assert not list(tmp_path.iterdir())
