"""Downloads that are resumed, checked, and either whole or absent."""

import errno
import http.client
import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from histobench.study.errors import HistoBenchError
from histobench.study.files import atomic_path, sha256_of

_CHUNK = 1 << 20
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of writing; those of connecting come wrapped in a URLError, which has no number."""
_TIMEOUT = 60
"""Seconds without a byte after which a connection counts as lost."""


def fetch(url: str, path: Path, sha256: str = "", attempts: int = 4, pause: float = 2.0) -> None:
    """Make sure that `path` holds the file of `url`; one that is there already, whoever put it there, is only verified.

    A transfer that breaks off goes on where it stopped, in this process or the next, as long as the server says that
    the file is still the same. What has come so far stands beside `path`, as `.NAME.part`.

    Args:
        url: http or https address.
        path: where the file stands when it is whole.
        sha256: what the file's SHA-256 must begin with, as in :func:`verify`. When there is nothing to begin with, the
            digest of what comes is written to `PATH.sha256`, so that it is required ever after.
        attempts: how often in a row the server may fail to send anything new.
        pause: seconds before the second attempt, doubled before each one after it.

    Raises:
        HistoBenchError: the server cannot be reached or has no such file, the file is not the expected one, or it
            cannot be written.
    """
    path = Path(path)
    if path.exists():
        verify(path, sha256, url)
        return
    if urlsplit(url).scheme not in ("http", "https"):
        raise HistoBenchError(f"{url}: downloads need an address that begins with http:// or https://; correct it")
    expected = sha256 or _recorded(_record(path))
    with atomic_path(path) as temporary:
        part = _Part(url, path)
        digest = part.complete(expected, attempts, pause)
        if not expected:
            with atomic_path(_record(path)) as record:
                record.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
        part.path.replace(temporary)
        part.origin.unlink()


def verify(path: Path, sha256: str = "", url: str = "") -> str:
    """Return the SHA-256 of a file after checking it.

    Args:
        path: the file.
        sha256: what the file's SHA-256 must begin with: all 64 hex digits, or the part that a publisher gives. When
            empty, what `PATH.sha256` says, if it is there, as `sha256sum` writes it.
        url: where another copy can be had, if anywhere.

    Raises:
        HistoBenchError: the file is not the expected one.
    """
    path = Path(path)
    expected = sha256 or _recorded(_record(path))
    digest = sha256_of(path)
    if not digest.startswith(expected):
        again = f"delete the file to have it downloaded from {url}" if url else "put the right file there"
        raise HistoBenchError(
            f"{path}: its SHA-256 is {digest}, expected {expected}; {again} or, if you know it to be right, correct "
            f"{'the expected one' if sha256 else _record(path)}"
        )
    return digest


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


class _Part:
    """What has come of a file so far, and where it came from."""

    def __init__(self, url: str, target: Path):
        self.url = url
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self.origin = target.with_name(f".{target.name}.part.json")

    def complete(self, expected: str, attempts: int, pause: float) -> str:
        """Download until the part is the whole file; return its SHA-256."""
        inherited = self._size()
        failures, most = 0, 0
        while True:
            try:
                self._receive()
                break
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in _DISK:
                    raise
                if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                    if error.headers.get("Content-Range", "").endswith(f"/{inherited}"):
                        break  # an earlier process was killed after the last byte
                    self._discard()  # longer than the file itself
                elif isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429):
                    raise self._failure(_reason(error)) from error
                failures = 0 if self._size() > most else failures + 1
                most = max(most, self._size())
                if failures >= attempts:
                    raise self._failure(_reason(error)) from error
                time.sleep(pause * 2 ** max(0, failures - 1))
        digest = sha256_of(self.path)
        if not digest.startswith(expected):
            self._discard()
            if inherited:
                return self.complete(expected, attempts, pause)
            raise HistoBenchError(
                f"{self.target} is missing and what {self.url} sends has the SHA-256 {digest}, expected {expected}; "
                "correct the address or the expected SHA-256, or put the right file there by hand"
            )
        return digest

    def _receive(self) -> None:
        """Append what is missing; raise an OSError or HTTPException when the transfer breaks off."""
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": "identity", "User-Agent": "histobench"})
        offset, validator = self._size(), self._validator()
        if offset and validator:
            request.add_header("Range", f"bytes={offset}-")
            request.add_header("If-Range", validator)  # a server whose file has changed sends it from the start
        with _opener().open(request, timeout=_TIMEOUT) as response:
            if response.status != 206:
                offset = 0
                self._describe(response)
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                self._discard()
                raise ConnectionError("the server sends another part of the file than the one asked for")
            length = response.headers.get("Content-Length")
            total = offset + int(length) if length else None
            with (
                self.path.open("ab" if offset else "wb") as file,
                tqdm(desc=self.target.name, initial=offset, total=total, unit="B", unit_scale=True) as bar,
            ):
                while chunk := response.read(_CHUNK):
                    if file.tell() == 0 and _is_page(response, chunk):
                        self._discard()
                        raise self._failure("the server sends a web page instead of the file")
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and self._size() < total:
            raise ConnectionError(f"the connection closed after {self._size()} of {total} bytes")

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _validator(self) -> str:
        """Return what tells the server which version of the file the part is of; empty where it gave no such thing."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            origin = json.loads(self.origin.read_text(encoding="utf-8"))
            return origin["validator"] if origin["url"] == self.url else ""
        return ""

    def _describe(self, response: http.client.HTTPResponse) -> None:
        tag = response.headers.get("ETag", "")
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        with atomic_path(self.origin) as temporary:
            temporary.write_text(json.dumps({"url": self.url, "validator": validator}), encoding="utf-8")

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    def _failure(self, reason: str) -> HistoBenchError:
        return HistoBenchError(
            f"{self.target} is missing and could not be downloaded ({reason}): get it from {self.url} in another way "
            "and put it there, or run the same command again later"
        )


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


def _is_page(response: http.client.HTTPResponse, start: bytes) -> bool:
    """Tell a login, consent or error page by its type or by how it begins."""
    return response.headers.get_content_type() == "text/html" or start.lstrip()[:14].lower().startswith(
        (b"<!doctype html", b"<html")
    )


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return f"{error.code} {text}" if isinstance(error, urllib.error.HTTPError) else text
