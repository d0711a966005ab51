"""Reads every image of an archive or folder once and makes the rows of a manifest; all dataset formats use it."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from histobench.datasets.archives import members
from histobench.datasets.decode import decode, pixel_sha256
from histobench.datasets.manifest import Image, ordered
from histobench.io.errors import HistoBenchError

Facts = Mapping[str, str | int]
"""What is known of an image before it is decoded: the fields of :class:`Image` up to `magnification`."""


def scan(
    source: Path, facts: Callable[[str], Facts | None], expected: str, workers: int, total: int | None = None
) -> tuple[list[Image], Counter[str]]:
    """Read every image of an archive or folder once, with a progress bar on stderr.

    Decoding and hashing run in `workers` threads, because both release Python's global lock; at most four images per
    worker are in memory, whatever the size of the archive.

    Args:
        source: tar.gz, tar or zip archive, or folder.
        facts: takes the path of a file inside the source and returns what is known of it; None for a file to skip.
        expected: what an error says that a source without any image should hold.
        workers: number of decoding threads, at least 1.
        total: number of images, for the progress bar.

    Returns:
        The images in manifest order, and how many other files were skipped, by the suffix of their names (by the name
        where there is none).

    Raises:
        HistoBenchError: as :func:`histobench.datasets.archives.members`, `facts` and
            :func:`histobench.datasets.decode.decode`; and when two files have the same image id, or there is no image.
    """
    images: list[Image] = []
    found: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    pending: deque[Future[Image]] = deque()
    with (
        tqdm(total=total, unit=" images") as bar,
        ThreadPoolExecutor(workers) as pool,
        closing(members(source)) as archive,
    ):

        def collect() -> None:
            images.append(pending.popleft().result())
            bar.update()

        for member in archive:
            try:
                known = facts(member.name)
            except HistoBenchError as error:
                raise HistoBenchError(f"{source}, {error}") from None
            if known is None:
                path = PurePosixPath(member.name)
                skipped[path.suffix or path.name] += 1
                continue
            image_id = str(known["image_id"])
            if image_id in found:
                raise HistoBenchError(
                    f"{source}: image {image_id} occurs twice, as {found[image_id]} and as {member.name}, expected "
                    "once; remove one of them"
                )
            found[image_id] = member.name
            pending.append(pool.submit(_row, known, source, member.name, member.read()))
            if len(pending) >= 4 * workers:
                collect()
        while pending:
            collect()
    if not images:
        raise HistoBenchError(
            f"{source}: holds no image among its {sum(skipped.values())} files, expected {expected}; "
            "point the source at the archive or folder that holds them"
        )
    return ordered(images), skipped


def shown(names: list[str], count: int = 5) -> str:
    """Return the first `count` names as text for a message."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def _row(facts: Facts, source: Path, member: str, data: bytes) -> Image:
    pixels = decode(data, f"{source}, {member}")
    height, width, _ = pixels.shape
    return Image(**facts, width=width, height=height, sha256=pixel_sha256(pixels), member=member)  # type: ignore[arg-type]
