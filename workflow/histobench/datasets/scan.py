"""Reads every image of an archive or folder once and makes the rows of a manifest; all dataset formats use it."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tqdm import tqdm

from histobench.datasets.archives import members
from histobench.datasets.decode import FORMATS, IMAGE_NAME, IMAGE_START, decode, pixel_sha256
from histobench.datasets.manifest import Image, ordered
from histobench.io.errors import HistoBenchError

T = TypeVar("T")

Facts = Mapping[str, str | int]
"""What is known of an image before it is decoded: the fields of :class:`Image` up to `magnification`."""


def scan(
    source: Path, facts: Callable[[str], Facts | None], expected: str, workers: int, total: int | None = None
) -> list[Image]:
    """Read every image of an archive or folder once, in threads, with a progress bar on stderr.

    Args:
        source: tar.gz, tar or zip archive, or folder.
        facts: takes the path of a file inside the source and returns what is known of it; None for a file that is no image
            of the dataset; nothing, ``{}``, for one to skip even if it is an image. Files that macOS adds (``._``) are skipped.
        expected: what an error says that a source without any image should hold.
        workers: number of decoding threads, at least 1.
        total: number of images, for the progress bar.

    Returns:
        The images in manifest order. How many other files were skipped is printed, by the suffix of their names.

    Raises:
        HistoBenchError: as :func:`histobench.datasets.archives.members`, `facts` and
            :func:`histobench.datasets.decode.decode`; and when two files have the same image id, there is no image, or there
            are images, by their names or first bytes, of which `facts` knows nothing.
    """
    found: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    unread: list[str] = []

    def files() -> Iterator[tuple[Facts, Path, str, bytes]]:
        for member in archive:
            path = PurePosixPath(member.name)
            try:
                known = {} if path.name.startswith("._") else facts(member.name)
            except HistoBenchError as error:
                raise HistoBenchError(f"{source}, {error}") from None
            if not known:
                skipped[path.suffix or path.name] += 1
                if known is None and (IMAGE_NAME.fullmatch(path.name) or IMAGE_START.match(member.read(132))):
                    unread.append(member.name)
                continue
            if unread:  # only the names of the others are needed
                continue
            image_id = str(known["image_id"])
            if image_id in found:
                raise HistoBenchError(
                    f"{source}: image {image_id} occurs twice, as {found[image_id]} and as {member.name}, expected "
                    "once; remove one of them"
                )
            found[image_id] = member.name
            yield known, source, member.name, member.read()

    with closing(members(source)) as archive:
        images = list(tqdm(in_threads(_row, files(), workers), total=total, unit=" images"))
    if unread:
        kinds = Counter(PurePosixPath(name).suffix or "without suffix" for name in unread)
        raise HistoBenchError(
            f"{source}: {len(unread)} images are not read "
            f"({', '.join(f'{kind} {count}' for kind, count in kinds.most_common(5))}), the first is {unread[0]}; save them as "
            f"{FORMATS}, named so, or remove them"
        )
    if not images:
        raise HistoBenchError(
            f"{source}: holds no image among its {skipped.total()} files, expected {expected}; "
            "point the source at the archive or folder that holds them"
        )
    kinds = ", ".join(f"{name} {count}" for name, count in skipped.most_common(5))
    print(f"{source}: {len(images)} images, and {skipped.total()} other files{f' ({kinds})' if kinds else ''}")
    return ordered(images)


def in_threads(work: Callable[..., T], items: Iterable[tuple], workers: int) -> Iterator[T]:
    """Yield `work(*item)` for each item, in their order, computed in `workers` threads.

    It is for work that releases Python's global lock. At most four items per worker are in memory.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, *item))
                if len(pending) >= 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def shown(names: list[str], count: int = 5) -> str:
    """Return the first `count` names as text for a message."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def _row(facts: Facts, source: Path, member: str, data: bytes) -> Image:
    pixels = decode(data, f"{source}, {member}")
    height, width, _ = pixels.shape
    return Image(**facts, width=width, height=height, sha256=pixel_sha256(pixels), member=member)  # type: ignore[arg-type]
