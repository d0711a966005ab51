"""Images per second into the pixel store, and peak memory, through the workflow's own scripts."""

import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

from benchmarks import ROOT, cores, say
from tests.datasets.standin import paths, write_files, write_standin

SIZE = 336


def run(folder: Path, originals: Path | None, _cold: bool) -> None:
    """Measure the stand-in archive and, where there are real images, an archive of about 1,000 of them."""
    say(
        f"scripts/manifest.py and scripts/pixels.py at {SIZE} px, {cores()} workers. Seconds are those of the whole process;\n"
        "memory is the most that it and its children held resident together, looked up in /proc every 20 ms."
    )
    report("stand-in archive, all 7,909 images, of 28x18 px", write_standin(folder / "standin.tar.gz"), "--complete")
    if originals is None:
        say("\nreal images: not run: set HISTOBENCH_SHARED_DATA to the folder that holds breakhis-originals")
        return
    files = sorted(originals.rglob("*.png"))
    members = [(path, file.read_bytes()) for path, file in zip(paths()[::8], cycle(files), strict=False)]
    title = f"{len(files)} real images of 700x460 px, repeated under {len(members)} official names"
    report(title, write_files(folder / "real.tar.gz", members))


def report(title: str, archive: Path, *options: str) -> None:
    """Make manifest and pixel store of an archive, print what each took, and remove all of them."""
    names = ("manifest.csv", "census.csv", "archive.sha256", f"{SIZE}px.npy")
    manifest, census, digest, store = (archive.with_name(name) for name in names)
    say(f"\n{title}, tar.gz of {archive.stat().st_size / 2**20:.0f} MiB")
    common = ["--source", archive, "--workers", cores()]
    outputs = ["--output", manifest, "--census", census, "--digest", digest]
    first = measured("manifest", *common, *options, *outputs)
    second = measured("pixels", *common, "--manifest", manifest, "--size", SIZE, "--output", store)
    both = first[0] + second[0], max(first[1], second[1])
    images = len(manifest.read_text().splitlines()) - 1
    for name, (seconds, peak) in {"manifest": first, "pixel store": second, "both": both}.items():
        memory = f"{peak:5.0f} MiB at most" if peak else "memory not measured: no /proc"
        say(f"  {name:<12}{seconds:7.1f} s  {images / seconds:7.0f} images/s  {memory}")
    for path in (archive, manifest, census, digest, store):
        path.unlink()


def measured(script: str, *arguments: object) -> tuple[float, float]:
    """Run a script; return its wall time in seconds and the peak memory of its process tree in MiB."""
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments)]
    began, peak = time.perf_counter(), 0
    # The output, a summary and a progress bar, is far less than a pipe holds.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    output = process.communicate()[0]
    if process.returncode:
        sys.exit(f"scripts/{script}.py failed\n{output}")
    return seconds, peak / 1024


def resident(process: int) -> int:
    """Return the resident memory of a process and all its descendants in KiB, 0 if it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        children = [file.read_text().split() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return 0
    own = sum(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return own + sum(resident(int(child)) for some in children for child in some)
