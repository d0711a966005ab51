"""Downloads that are resumed, checked, and either whole or absent."""

import email.utils
import errno
import fcntl
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from histobench.fetch.progress import Progress
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, sha256_of

_CHUNK = 1 << 20
_HEAD = 512
"""Bytes in which a web page shows itself."""
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!doctype|<html|<head|<\?xml|<!--)", re.IGNORECASE)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of writing; those of connecting come wrapped in a URLError, which has no number."""


@dataclass(frozen=True)
class Patience:
    """How long a download waits and how often it tries again, before it goes on to the next address or gives up."""

    silence: float = 30.0
    """Seconds without a byte after which a connection counts as lost."""
    pause: float = 2.0
    """Seconds before the second attempt, doubled before each one after it."""
    attempts: int = 6
    """How often in a row a server that has answered may fail to send anything new: a minute in all."""
    knocks: int = 2
    """How often a server is asked that has never answered: without network, a study's downloads must not take minutes."""
    longest: float = 300.0
    """Seconds that a server may ask for before the next attempt."""


PATIENCE = Patience()


@dataclass(frozen=True)
class Digest:
    """A way to tell a file by its content."""

    name: str
    of: Callable[[Path], str]
    """From a file to lower-case hex digits."""


SHA256 = Digest("SHA-256", sha256_of)


def fetch(
    url: str,
    path: Path,
    expected: str = "",
    mirrors: Sequence[str] = (),
    patience: Patience | None = None,
    digest: Digest = SHA256,
) -> bool:
    """Make sure that `path` holds the file of `url`; one that is there already, whoever put it there, is only verified.

    A transfer that breaks off or falls silent goes on where it stopped, in this process or the next, as long as the
    server says that the file is still the same or its SHA-256 is known. What has come so far stands beside `path`, as
    `.NAME.part`. Where another process downloads the same file, this one waits for it.

    Args:
        url: http or https address.
        path: where the file stands when it is whole.
        expected: what the file's digest must begin with, as in :func:`verify`. When there is nothing to begin with, the
            SHA-256 of what comes is written to `PATH.sha256`, so that it is required ever after.
        mirrors: further addresses of the same file, each tried when the one before has failed for good.
        patience: how long to wait for each; :data:`PATIENCE` where absent.
        digest: which digest that is.

    Returns:
        Whether it was downloaded.

    Raises:
        HistoBenchError: no server can be reached or has such a file, the file is not the expected one, or it cannot be
            written.
    """
    path = Path(path)
    addresses = (url, *mirrors)
    if path.exists():
        verify(path, expected, url, digest)
        return False
    for address in addresses:
        if urlsplit(address).scheme not in ("http", "https"):
            raise HistoBenchError(
                f"{address}: downloads need an address that begins with http:// or https://; correct it"
            )
    progress = Progress(path.name)
    with _alone(path, progress):
        if path.exists():  # the process that was waited for has it
            verify(path, expected, url, digest)
            return False
        wanted = expected or _recorded(_record(path))
        with atomic_path(path) as temporary:
            part = _Part(path, wanted, digest, patience or PATIENCE, progress)
            found = part.complete(addresses)
            if not wanted:
                with atomic_path(_record(path)) as record:
                    record.write_text(f"{found}  {path.name}\n", encoding="utf-8")
            part.path.replace(temporary)
            part.origin.unlink()
    return True


def reach(url: str) -> None:
    """Make sure that somebody answers at an address, whatever the answer is.

    Raises:
        ConnectionError: nobody does, as often as :data:`PATIENCE` knocks; its text says why.
    """
    for knock in range(PATIENCE.knocks):
        if knock:
            time.sleep(PATIENCE.pause)
        try:
            with _opener().open(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE.silence):
                return
        except urllib.error.HTTPError:
            return
        except (OSError, http.client.HTTPException) as error:
            reason = _reason(error, PATIENCE)
    raise ConnectionError(reason)


def terms(name: str, licence: str, citation: str) -> list[str]:
    """Return the sentences on licence and citation that are shown once, with a download; none where nothing is known."""
    sentences = [f"{name}: its licence is {licence}"] if licence else []
    return sentences + ([f"{name}: if you publish what you find with it, cite {citation}"] if citation else [])


def verify(path: Path, expected: str = "", url: str = "", digest: Digest = SHA256) -> str:
    """Return the digest of a file after checking it.

    Args:
        path: the file.
        expected: what the file's digest must begin with: all of it, or the part that a publisher gives. When empty, what
            `PATH.sha256` says, if it is there, as `sha256sum` writes it.
        url: where another copy can be had, if anywhere.
        digest: which digest that is.

    Raises:
        HistoBenchError: the file is not the expected one.
    """
    path = Path(path)
    wanted = expected or _recorded(_record(path))
    found = digest.of(path)
    if not found.startswith(wanted):
        again = f"delete the file to have it downloaded from {url}" if url else "put the right file there"
        raise HistoBenchError(
            f"{path}: its {digest.name} is {found}, expected {wanted}; {again} or, if you know it to be right, correct "
            f"{'the expected one' if expected else _record(path)}"
        )
    return found


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded(record: Path) -> str:
    """Return the digest that an earlier download left; empty where there was none."""
    try:
        digest = record.read_text(encoding="utf-8").split()[0]
    except FileNotFoundError:
        return ""
    except (IndexError, UnicodeDecodeError):
        digest = ""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise HistoBenchError(
            f"{record}: does not begin with a SHA-256 of 64 hex digits; correct the file or delete it"
        )
    return digest


@contextmanager
def _alone(path: Path, progress: Progress) -> Iterator[None]:
    """Let one process at a time download a file. The lock is the kernel's and dies with its process."""
    lock = path.with_name(f".{path.name}.lock")
    descriptor = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while descriptor is None:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say("another process downloads it; waiting for that one")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not lock.exists() or not os.path.samestat(os.fstat(descriptor), lock.stat()):
                os.close(descriptor)  # its last owner has removed it
                descriptor = None
    except (
        OSError
    ):  # a file system without locks, or one that cannot be written, of which the download itself will tell
        pass
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                lock.unlink(missing_ok=True)
            os.close(descriptor)


class _Refused(Exception):
    """An address has failed for good; its text says why."""


class _Other(_Refused):
    """An address sends another file than the expected one."""


class _Part:
    """What has come of a file so far, and where it came from."""

    def __init__(self, target: Path, expected: str, digest: Digest, patience: Patience, progress: Progress):
        self.target = target
        self.expected = expected
        self.digest = digest
        self.patience = patience
        self.progress = progress
        self.path = target.with_name(f".{target.name}.part")
        self.origin = target.with_name(f".{target.name}.part.json")
        self.pieced = False
        """Whether the part is made of more than one answer."""
        self.answered = False
        """Whether the present server has ever answered."""

    def complete(self, addresses: Sequence[str]) -> str:
        """Download until the part is the whole file; return its digest."""
        failures: list[tuple[str, _Refused]] = []
        for address in addresses:
            try:
                digest = self._whole_from(address)
            except _Refused as error:
                failures.append((address, error))
                if len(failures) < len(addresses):
                    self.progress.say(f"{address} failed ({error})")
            else:
                self.progress.finish("checked" if self.expected else f"SHA-256 {digest}")
                return digest
        if len(addresses) == 1:
            reason, place = str(failures[0][1]), addresses[0]
        else:
            reason = "; ".join(f"{address}: {error}" for address, error in failures)
            place = "one of these addresses"
        advice = f"get it from {place} in another way and put it there, or run the same command again later"
        if any(isinstance(error, _Other) for _, error in failures):
            advice = f"correct the address or the expected {self.digest.name}, or put the right file there by hand"
        raise HistoBenchError(f"{self.target} is missing and could not be downloaded ({reason}): {advice}")

    def _whole_from(self, address: str) -> str:
        """Download from one address; return the digest of what came, which is the expected one."""
        self.answered = False
        self.pieced = self._size() > 0
        self.progress.say(f"downloading from {address}")
        self._transfer(address)
        digest = self.digest.of(self.path)
        if self.pieced and not digest.startswith(self.expected):
            self.progress.say("the pieces that came do not make the expected file; beginning again")
            self._discard()
            self._transfer(address)
            digest = self.digest.of(self.path)
        if not digest.startswith(self.expected):
            self._discard()
            raise _Other(f"what it sends has the {self.digest.name} {digest}, expected {self.expected}")
        return digest

    def _transfer(self, address: str) -> None:
        """Receive until nothing is missing, trying again after a break."""
        failures, most = 0, self._size()
        while True:
            try:
                return self._receive(address)
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in _DISK:
                    raise
                wait = 0.0
                reason = _reason(error, self.patience)
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                    self.answered = True
                    if error.code == 416:
                        if error.headers.get("Content-Range", "").endswith(f"/{self._size()}"):
                            return None  # an earlier process was killed after the last byte
                        self._discard()  # longer than the file itself
                    elif error.code < 500 and error.code not in (408, 425, 429):
                        raise _Refused(reason) from error
                    wait = _retry_after(error)
                failures = 0 if self._size() > most else failures + 1
                most = max(most, self._size())
                if failures >= (self.patience.attempts if self.answered else self.patience.knocks):
                    raise _Refused(reason) from error
                if wait > self.patience.longest:
                    raise _Refused(f"{reason}, and asks to come back in {wait:.0f} s") from error
                wait = max(wait, self.patience.pause * 2 ** max(0, failures - 1))
                self.progress.say(f"{reason}; trying again in {wait:.0f} s")
                time.sleep(wait)

    def _receive(self, address: str) -> None:
        """Append what is missing; raise an OSError or HTTPException when the transfer breaks off."""
        request = urllib.request.Request(address, headers={"Accept-Encoding": "identity", "User-Agent": "histobench"})
        offset, known = self._size(), self._known()
        same = known.get("url") == address
        validator = known.get("validator", "") if same else ""
        if offset and (validator or self.expected):
            request.add_header("Range", f"bytes={offset}-")
            if validator:
                request.add_header("If-Range", validator)  # a server whose file has changed sends it from the start
        with _opener().open(request, timeout=self.patience.silence) as response:
            self.answered = True
            if response.status == 206:
                total = self._total_of(response, offset)
                changed = validator and _validator(response) not in ("", validator)
                if changed or (known.get("total") and total != known["total"]):
                    self._discard()
                    raise ConnectionError("the file is another one than that of which a part is here")
            elif response.status == 200:
                offset, total = 0, _length(response)
            else:
                raise _Refused(f"the server answers with status {response.status}")
            head = _head(response)
            if _is_page(response, head, offset):
                raise _Refused("the server sends a web page instead of the file")
            if not head and not offset and not total:
                raise _Refused("the server sends an empty file")
            if head:
                self._describe(address, response, total)
                self.pieced = bool(offset)
                self.progress.start(offset, total)
                with self.path.open("ab" if offset else "wb") as file:
                    chunk = head
                    while chunk:
                        file.write(chunk)
                        self.progress.add(len(chunk))
                        # Not read(), which would keep back what has come of a chunk when the rest does not.
                        chunk = response.read1(_CHUNK)
        if total is not None and self._size() < total:
            raise ConnectionError(f"the connection closed after {self._size()} of {total} bytes")

    def _total_of(self, response: http.client.HTTPResponse, offset: int) -> int | None:
        """Return the size of the whole file by an answer that must continue the part."""
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != offset:
            self._discard()
            raise ConnectionError("the server sends another part of the file than the one asked for")
        length = _length(response)
        return int(found[2]) if found[2] != "*" else None if length is None else offset + length

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _known(self) -> dict[str, Any]:
        """Return address, version and size of the file that the part is of; nothing where no record tells."""
        with suppress(OSError, ValueError, TypeError):
            return dict(json.loads(self.origin.read_text(encoding="utf-8")))
        return {}

    def _describe(self, address: str, response: http.client.HTTPResponse, total: int | None) -> None:
        with atomic_path(self.origin) as temporary:
            known = {"url": address, "validator": _validator(response), "total": total}
            temporary.write_text(json.dumps(known), encoding="utf-8")

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https, and nothing else that a redirection might lead to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _reason(error: Exception, patience: Patience) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came for {patience.silence:g} s"
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return f"{error.code} {text}" if isinstance(error, urllib.error.HTTPError) else text


def _head(response: http.client.HTTPResponse) -> bytes:
    """Return the first bytes of an answer, enough to tell a web page."""
    head = b""
    while len(head) < _HEAD and (chunk := response.read1(_CHUNK)):
        head += chunk
    return head


def _is_page(response: http.client.HTTPResponse, start: bytes, offset: int) -> bool:
    """Tell a login, consent or error page by its type or by how it begins."""
    return response.headers.get_content_type() == "text/html" or (not offset and bool(_PAGE.match(start)))


def _length(response: http.client.HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _validator(response: http.client.HTTPResponse) -> str:
    """Return what tells one version of a file from another; empty where the server gives no such thing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Return the seconds after which a server asks to be tried again, by number or by date; 0 where it does not."""
    value = (error.headers.get("Retry-After") or "").strip()
    if value.isdecimal():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0
