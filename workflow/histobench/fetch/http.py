"""Downloads over http and https: resumed, verified, and either complete or absent."""

import hashlib
import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_json, sha256_of

_CHUNK = 1 << 20
_SCHEMES = ("http", "https")
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "histobench"}

TIMEOUT = 30.0
"""Seconds without a byte after which an attempt has failed."""
PAUSE = 2.0
"""Seconds before the second attempt; doubled before each further one."""
MAX_ATTEMPTS = 6
"""Attempts without a new byte, one after the other, at a server that has answered before: a minute in all."""
MAX_UNANSWERED = 2
"""Attempts at a server that has never answered. Without network, the downloads of a study must not take minutes."""
_LONGEST_WAIT = 300.0
"""Seconds that a server's Retry-After may ask for at most."""

T = TypeVar("T")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Passes a token on to where a server redirects only if scheme, host and port are the same."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        """Return the next request."""
        request, token = super().redirect_request(req, fp, code, msg, headers, newurl), req.get_header("Authorization")
        if request and token and urlsplit(newurl)[:2] == urlsplit(req.full_url)[:2]:
            request.add_unredirected_header("Authorization", token)
        return request


class Unavailable(Exception):
    """An address has failed for good. The text says why; `status` is the HTTP status if there was one."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(reason)
        self.status = status


class _WrongFile(Unavailable):
    """A server sends another file than the expected one, or no whole one."""


class _Interrupted(Exception):
    """One attempt has failed, and the next one may succeed."""

    def __init__(self, reason: str, answered: bool = True, wait: float = 0.0):
        super().__init__(reason)
        self.answered = answered
        self.wait = wait


def fetch(
    url: str,
    path: Path,
    expected: str = "",
    mirrors: Sequence[str] = (),
    require_whole: Callable[[Path], object] = lambda path: None,
    token: str = "",
) -> bool:
    """Make sure that `path` holds the file of `url`. A file that is there already is only verified.

    An interrupted transfer is resumed, in this process or a later one, if the server confirms that the file is unchanged.
    The bytes received so far are kept beside `path` as `.NAME.part`. If another process is downloading the same file, this
    one waits for it. `mirrors` are tried in order after `url`.

    `expected` are the first digits of the file's SHA-256, or all of them; or `git:` and the object id by which git knows
    the content. If empty, the SHA-256 of the first download is written to `PATH.sha256` and required from then on; before
    that, `require_whole` raises HistoBenchError if the file that it is given is not a whole one of its kind. A `token` is sent to
    the host of an address alone.

    Returns:
        Whether the file was downloaded.

    Raises:
        HistoBenchError: no address serves the file, it is not the expected one, or it cannot be written.
    """
    path, addresses = Path(path), (url, *mirrors)
    for address in addresses:
        if address.partition("://")[0] not in _SCHEMES:
            raise HistoBenchError(f"{address}: a download address begins with http:// or https://; correct it")
    if not path.exists():
        with _locked(path):
            if not path.exists():  # another process may have downloaded it in the meantime
                wanted = expected or _recorded(path)
                with atomic_path(path) as temporary:
                    part = _Part(path, wanted, require_whole, token)
                    found = part.complete(addresses)
                    if not wanted:
                        with atomic_path(_record(path)) as record:
                            record.write_text(f"{found}  {path.name}\n", encoding="utf-8")
                    part.path.replace(temporary)
                part.origin.unlink()
                return True
    verify(path, expected, url)
    return False


def get(url: str, token: str = "") -> bytes:
    """Return the body of a small http or https resource; a `token` is sent to its host alone.

    Raises:
        Unavailable: it cannot be had.
    """

    def attempt() -> bytes:
        with _opened(url, _HEADERS, token) as response:
            _require_plain(response)
            return b"".join(_chunks(response))

    return _with_retries(attempt, lambda: 0, lambda message: None)


def show_terms(path: Path, licence: str, citation: str) -> None:
    """Show licence and citation, as far as they are known, on standard error: once, after a download."""
    if licence:
        _say(path, f"its licence is {licence}")
    if citation:
        _say(path, f"if you publish results obtained with it, cite {citation}")


def verify(path: Path, expected: str = "", url: str = "") -> str:
    """Return the digest of a file after checking it; `expected` as in :func:`fetch`, `url` for the message.

    Raises:
        HistoBenchError: the file is not the expected one.
    """
    path = Path(path)
    wanted = expected or _recorded(path)
    found = _digest(path, wanted)
    if not found.startswith(wanted):
        again = f"delete the file to have it downloaded from {url}" if url else "put the right file there"
        right = "correct the expected one" if expected else f"delete {_record(path)}"
        raise HistoBenchError(
            f"{path}: its {_kind(wanted)} is {found}, expected {wanted}; {again} or, if the file is right, {right}"
        )
    return found


def _digest(path: Path, expected: str) -> str:
    """Return the SHA-256 of a file or, where that is expected, `git:` and git's object id."""
    if not expected.startswith("git:"):
        return sha256_of(path)
    content = path.read_bytes()
    return "git:" + hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _kind(expected: str) -> str:
    return "git object id" if expected.startswith("git:") else "SHA-256"


def _say(path: Path, message: str) -> None:
    """Write a line on standard error that begins with the name of the file."""
    print(f"{path.name}: {message}", file=sys.stderr, flush=True)


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded(path: Path) -> str:
    """Return the SHA-256 that an earlier download of `path` left; empty if there was none."""
    record = _record(path)
    if not record.exists():
        return ""
    found = re.match(r"[0-9a-f]{64}\b", record.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise HistoBenchError(f"{record}: does not begin with a SHA-256 of 64 hex digits; correct or delete the file")
    return found[0]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time download a file; the system releases the lock of a process that was killed."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        _say(path, "another process is downloading it; waiting for that process")
        lock.acquire()
    except OSError as error:
        raise HistoBenchError(f"{path}: cannot be written ({error.strerror}); make its folder writable") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


class _Part:
    """The bytes of a file received so far, and which file of which address they belong to."""

    def __init__(self, target: Path, expected: str, require_whole: Callable[[Path], object], token: str):
        self.target, self.expected, self.say = target, expected, partial(_say, target)
        self.require_whole, self.token = require_whole, token
        self.path = target.with_name(f".{target.name}.part")
        self.origin = target.with_name(f".{target.name}.part.json")

    def complete(self, addresses: Sequence[str]) -> str:
        """Download until the part is the complete file; return its digest."""
        failures: dict[str, Unavailable] = {}
        for address in addresses:
            try:
                digest = self._complete_from(address)
            except Unavailable as error:
                failures[address] = error
                if error.status == 416:  # the server's file has become shorter
                    self._discard()
                if len(failures) < len(addresses):
                    self.say(f"{address} failed ({error})")
            else:
                self.say("verified" if self.expected else f"its SHA-256 is {digest}")
                return digest
        reason, place = str(failures[addresses[0]]), addresses[0]
        if len(addresses) > 1:
            reason = "; ".join(f"{address}: {error}" for address, error in failures.items())
            place = "one of these addresses"
        advice = f"download it from {place} on another machine and put it there, or run the same command again later"
        if self.expected and any(isinstance(error, _WrongFile) for error in failures.values()):
            pin = _record(self.target)
            right = f"delete {pin}" if pin.exists() else f"correct the expected {_kind(self.expected)}"
            advice = f"correct the address or put the right file there or, if the file sent is right, {right}"
        raise HistoBenchError(
            f"{self.target} is missing and could not be downloaded ({reason}): {advice}"
        ) from failures[addresses[0]]

    def _complete_from(self, address: str) -> str:
        """Download from one address; return the digest of the file, which is the expected one."""
        self.say(f"downloading from {address}")
        _with_retries(lambda: self._receive(address), self._size, self.say)
        digest, length = _digest(self.path, self.expected), self._known().get("total")
        if not digest.startswith(self.expected):
            self._discard()
            cut = "" if length else "; it may end too early, since the server did not say how long it is"
            raise _WrongFile(f"the file sent has the {_kind(self.expected)} {digest}, expected {self.expected}{cut}")
        if not self.expected:
            try:
                self.require_whole(self.path)
            except HistoBenchError as error:
                self._discard()
                reason = str(error).removeprefix(f"{self.path}: ").partition(";")[0]
                raise _WrongFile(f"the file sent cannot be used: it {reason}") from error
        return digest

    def _receive(self, address: str) -> None:
        """Append what is missing to the part."""
        known = self._known()
        can_resume = (
            known.get("url") == address and known.get("validator") and self._size() <= (known.get("total") or 0)
        )
        offset = self._size() if can_resume else 0
        if offset and offset == known["total"]:
            return  # an earlier process was stopped after the last byte
        headers = dict(_HEADERS)
        if offset:  # a server whose file has changed sends all of it
            headers |= {"Range": f"bytes={offset}-", "If-Range": known["validator"]}
        with _opened(address, headers, self.token) as response:
            kind = response.headers.get_content_type()
            if kind.endswith(("html", "json", "xml")) and not kind.endswith(self.target.suffix[1:] or " "):
                raise Unavailable(f"the server sends a {'web page' if 'html' in kind else kind} instead of the file")
            _require_plain(response, self.target.name)
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            if response.status == 206:
                found = re.match(rf"bytes {offset}-\d+/(\d+)", response.headers.get("Content-Range", ""))
                if not found or int(found[1]) != known.get("total"):
                    self._discard()
                    raise _Interrupted("the server sends a part of another file")
                total = known["total"]
            else:
                offset = 0
            self._remember(address, response, total)
            pause = 0.5 if sys.stderr.isatty() else 30  # a log gets a line every half minute
            bar = tqdm(
                desc=self.target.name, total=total, initial=offset, unit="B", unit_scale=True,
                mininterval=pause, maxinterval=pause, delay=pause,
            )  # fmt: skip
            with bar, self.path.open("ab" if offset else "wb") as file:
                for chunk in _chunks(response):
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and self._size() < total:
            raise _Interrupted(f"the connection closed after {self._size()} of {total} bytes")
        if total is not None and self._size() > total:
            self._discard()
            raise _Interrupted(f"the server sends more than the {total} bytes of the file")
        if not self._size():
            raise Unavailable("the server sends an empty file")

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _known(self) -> dict[str, Any]:
        """Return address, validator and total size of the file that the part belongs to; nothing if unknown."""
        with suppress(HistoBenchError):
            return read_json(self.origin)
        return {}

    def _remember(self, address: str, response: http.client.HTTPResponse, total: int | None) -> None:
        tag = response.headers.get("ETag", "")
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        with atomic_path(self.origin) as temporary:
            temporary.write_text(json.dumps({"url": address, "validator": validator, "total": total}), encoding="utf-8")

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)


def _with_retries(attempt: Callable[[], T], size: Callable[[], int], say: Callable[[str], None]) -> T:
    """Return what `attempt` returns, as soon as it is not interrupted; give up when attempts do not increase `size`."""
    failures, largest, answered = 0, size(), False
    while True:
        try:
            return attempt()
        except _Interrupted as error:
            answered |= error.answered
            failures = 0 if size() > largest else failures + 1
            largest = max(largest, size())
            if failures >= (MAX_ATTEMPTS if answered else MAX_UNANSWERED):
                raise Unavailable(str(error)) from error
            wait = max(error.wait, PAUSE * 2 ** max(0, failures - 1))
            say(f"{error}; trying again in {wait:.0f} s")
            time.sleep(wait)


@contextmanager
def _opened(url: str, headers: dict[str, str], token: str) -> Iterator[http.client.HTTPResponse]:
    try:
        request = urllib.request.Request(url, headers=headers)
        if token:  # other headers would follow a redirect to any host
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        reason = _line(f"{error.code} {error.reason}")
        if error.code < 500 and error.code not in (408, 425, 429):
            raise Unavailable(reason, error.code) from error
        seconds = error.headers.get("Retry-After") or ""
        raise _Interrupted(reason, wait=min(float(seconds), _LONGEST_WAIT) if seconds.isdecimal() else 0.0) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error), answered=False) from error
    except ValueError as error:  # of what cannot be the address of a host or file
        raise Unavailable(_reason(error)) from error
    with response:
        if urlsplit(response.url).scheme not in _SCHEMES:
            raise Unavailable(f"the server redirects to {response.url}")
        yield response


def _require_plain(response: http.client.HTTPResponse, name: str = "") -> None:
    """Require that a server sends a file as it is, as it was asked to; some call a .gz compressed that is only itself."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity" and not (encoding in ("gzip", "x-gzip") and name.endswith((".gz", ".tgz"))):
        raise Unavailable(f"the server sends it compressed (Content-Encoding: {encoding}), which it was not asked for")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(_CHUNK)  # read() would lose the beginning of a chunk whose end does not arrive
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_reason(error)) from error
        if not chunk:
            return
        yield chunk


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no data for {TIMEOUT:g} s"
    return _line(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)


def _line(text: str) -> str:
    """Return what a server may have sent as one short line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]
