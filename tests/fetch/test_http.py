"""Downloads from a server on this machine: complete, interrupted, wrong, and unavailable."""

import gzip
import hashlib
import io
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from histobench.datasets.archives import require_whole
from histobench.fetch import http
from histobench.fetch.http import Unavailable, fetch, get
from histobench.io.errors import HistoBenchError

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_dataset.py"
CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers every GET by `answer(handler)`, and keeps the Range header and the path of each request."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = whole
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
                server.paths.append(self.path)
                with suppress(ConnectionError):
                    server.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/folder/archive.tar.gz"


def whole(handler: BaseHTTPRequestHandler, content: bytes = CONTENT, tag: str = '"1"', kind: str = "x/y") -> None:
    """Send everything, or the part asked for if the client's version is this one."""
    start = 0
    asked = handler.headers.get("Range")
    if asked and handler.headers.get("If-Range") in (None, tag):
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("ETag", tag)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


def broken(
    at: int, then: Callable[[], object] = lambda: None, tag: str = '"1"'
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Promise everything from the start, send `at` bytes, do what comes `then`, and close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:at])
        then()

    return answer


def error(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a status and headers, `Retry_After` for Retry-After."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*answers: Callable[[BaseHTTPRequestHandler], None]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Give each answer once; the last one ever after."""
    waiting = list(answers)
    return lambda handler: (waiting.pop(0) if len(waiting) > 1 else waiting[0])(handler)


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with running() as server:
        yield server


@pytest.fixture
def mirror(server):
    with running() as mirror:
        yield mirror


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/archive.tar.gz"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses between attempts, which are not waited for."""
    pauses = []
    monkeypatch.setattr(http, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    return pauses


@pytest.fixture
def path(tmp_path):
    return tmp_path / "resources" / "breakhis" / "archive.tar.gz"


def only(path: Path, *others: str) -> None:
    """Assert that the folder holds the file, `others`, and nothing half-finished."""
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, *others])


def test_a_file_is_downloaded_and_verified_by_the_first_digits_of_its_digest(server, path):
    fetch(server.url, path, DIGEST[:8])
    assert path.read_bytes() == CONTENT
    only(path)


def test_a_file_put_there_by_hand_is_checked_and_no_server_is_asked(server, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    fetch(server.url, path, DIGEST)
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(HistoBenchError, match=f"archive.tar.gz: its SHA-256 is .*, expected {DIGEST}"):
        fetch(server.url, path, DIGEST)
    assert server.ranges == []


def test_without_a_digest_that_of_the_first_download_is_kept_and_required_ever_after(server, path):
    fetch(server.url, path)
    record = path.with_name("archive.tar.gz.sha256")
    checked = subprocess.run(["sha256sum", "--check", record.name], cwd=path.parent, capture_output=True, text=True)
    assert checked.stdout == "archive.tar.gz: OK\n"
    only(path, record.name)
    path.unlink()
    server.answer = lambda handler: whole(handler, CONTENT[:-1] + b"!")
    with pytest.raises(HistoBenchError, match=rf"expected {DIGEST}.* if the file sent is right, delete {record}$"):
        fetch(server.url, path)
    assert not path.exists()
    path.write_bytes(b"other")
    with pytest.raises(HistoBenchError, match=rf"if the file is right, delete {record}$"):
        fetch(server.url, path)


def test_a_digest_beside_the_file_that_is_none_is_named(server, path):
    path.parent.mkdir(parents=True)
    path.with_name("archive.tar.gz.sha256").write_text("tbd\n")
    with pytest.raises(HistoBenchError, match=r"archive\.tar\.gz\.sha256: does not begin with a SHA-256"):
        fetch(server.url, path)


def test_another_file_than_the_expected_one_is_not_kept(server, path):
    with pytest.raises(HistoBenchError, match=f"SHA-256 {DIGEST}, expected {'0' * 64}"):
        fetch(server.url, path, "0" * 64)
    assert list(path.parent.iterdir()) == []
    server.answer = in_turn(lambda handler: whole(handler, b"another file"), whole)
    fetch(server.url, path, DIGEST, [f"{server.url}.mirror"])  # the next address takes over
    assert path.read_bytes() == CONTENT


@pytest.fixture
def part(server, path) -> Path:
    """The first 100,000 bytes of the file, which an earlier process received."""
    server.answer = broken(100_000)
    with pytest.raises(HistoBenchError, match=f"closed after 100000 of {len(CONTENT)} bytes"):
        fetch(server.url, path)
    assert not path.exists()
    server.ranges.clear()
    server.answer = whole
    return path.with_name(".archive.tar.gz.part")


def test_a_later_process_resumes_an_interrupted_transfer(server, path, part):
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]
    only(path)


def test_a_part_of_an_older_version_is_not_mixed_with_the_new_one(server, path, part):
    newer = CONTENT[::-1]
    server.answer = lambda handler: whole(handler, newer, '"2"')
    fetch(server.url, path)
    assert path.read_bytes() == newer


def test_a_damaged_part_is_discarded_and_the_next_download_begins_again(server, path, part):
    part.write_bytes(bytes(100_000))
    with pytest.raises(HistoBenchError, match=f"expected {DIGEST}"):
        fetch(server.url, path, DIGEST)
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-", None]


def test_a_process_killed_after_the_last_byte_loses_nothing(server, path, part):
    part.write_bytes(CONTENT)
    fetch(server.url, path, DIGEST)
    assert server.ranges == []
    only(path)


@pytest.mark.parametrize("at", [0, 1, 100_000])
def test_a_transfer_without_data_times_out_and_is_resumed(server, path, at):
    released = threading.Event()
    server.answer = in_turn(broken(at, lambda: released.wait(10)), whole)
    fetch(server.url, path, DIGEST)
    released.set()
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={at}-" if at else None]


def test_a_server_that_never_answers_is_given_up(server, path):
    released = threading.Event()
    server.answer = lambda handler: released.wait(10)
    with pytest.raises(HistoBenchError, match=r"could not be downloaded \(no data for 0.3 s\)"):
        fetch(server.url, path, DIGEST)
    released.set()
    assert len(server.ranges) == http.MAX_UNANSWERED


def forgetting(header: str, content: bytes = CONTENT) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer as a server that does not know a header of requests."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        del handler.headers[header]
        whole(handler, content)

    return answer


def ranged(start: str, content: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send `content` as what begins at `start`, whatever was asked for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.mark.parametrize(
    ("first", "second", "content", "ranges"),
    [
        (broken(100_000), forgetting("Range"), CONTENT, [None, "bytes=100000-"]),
        (broken(100_000), forgetting("If-Range", CONTENT + b"!"), CONTENT + b"!", [None, "bytes=100000-", None]),
        (broken(100_000, tag=""), whole, CONTENT, [None, None]),
        (broken(100_000), in_turn(ranged("100000", CONTENT), whole), CONTENT, [None, "bytes=100000-", None]),
        (broken(100_000), in_turn(ranged("0", CONTENT), whole), CONTENT, [None, "bytes=100000-", None]),
        (ranged("0", CONTENT), whole, CONTENT, [None, None]),
    ],
    ids=[
        "no ranges",
        "a file that has grown, and no conditions",
        "no validator",
        "more than was asked for",
        "another part",
        "a part that was not asked for",
    ],
)
def test_the_complete_file_is_sent_again_by_a_server_with(server, path, first, second, content, ranges):
    server.answer = in_turn(first, second)
    fetch(server.url, path)
    assert path.read_bytes() == content
    assert server.ranges == ranges


def test_a_server_that_has_answered_gets_more_attempts_than_one_that_never_has(server, path, nowhere, pauses):
    server.answer = error(503)
    with pytest.raises(HistoBenchError, match=r"\(503 Service Unavailable\)"):
        fetch(server.url, path, DIGEST)
    assert pauses == [2, 4, 8, 16, 32]
    pauses.clear()
    with pytest.raises(HistoBenchError) as caught:
        fetch(nowhere, path, DIGEST)
    assert pauses == [2]
    assert str(caught.value) == (
        f"{path} is missing and could not be downloaded (Connection refused): download it from {nowhere} on another "
        "machine and put it there, or run the same command again later"
    )


def test_a_server_that_asks_for_a_pause_gets_it_up_to_five_minutes(server, path, pauses):
    server.answer = in_turn(error(429, Retry_After="77"), error(503, Retry_After="3600"), error(503), whole)
    fetch(server.url, path, DIGEST)
    assert pauses == [77, 300, 8]


def test_a_small_resource_is_read_with_the_same_retries(server, nowhere, pauses):
    server.answer = in_turn(error(503), whole)
    assert get(server.url) == CONTENT
    server.answer = error(404)
    with pytest.raises(Unavailable, match="404 Not Found") as caught:
        get(server.url)
    assert caught.value.status == 404
    with pytest.raises(Unavailable, match="Connection refused"):
        get(nowhere)


def test_a_redirection_is_followed_also_when_a_transfer_is_resumed(server, mirror, path):
    server.answer = error(302, Location=mirror.url)
    mirror.answer = in_turn(broken(100_000), whole)
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == mirror.ranges == [None, "bytes=100000-"]


def test_mirrors_are_tried_in_order_and_send_the_complete_file(server, mirror, path, nowhere, capsys):
    server.answer = in_turn(broken(100_000), error(404))
    fetch(server.url, path, DIGEST, [nowhere, mirror.url])
    assert path.read_bytes() == CONTENT
    assert mirror.ranges == [None]
    said = capsys.readouterr().err
    assert f"archive.tar.gz: {server.url} failed (404 Not Found)\n" in said
    assert f"archive.tar.gz: {nowhere} failed (Connection refused)\n" in said
    assert f"archive.tar.gz: downloading from {mirror.url}\n" in said


def test_if_every_address_fails_one_message_gives_all_reasons(server, mirror, path):
    server.answer, mirror.answer = error(404), error(403)
    with pytest.raises(HistoBenchError) as caught:
        fetch(server.url, path, DIGEST, [mirror.url])
    assert str(caught.value) == (
        f"{path} is missing and could not be downloaded ({server.url}: 404 Not Found; {mirror.url}: 403 Forbidden): download "
        "it from one of these addresses on another machine and put it there, or run the same command again later"
    )
    with pytest.raises(HistoBenchError, match="begins with http"):
        fetch(server.url, path, DIGEST, ["/archive.tar.gz"])


def test_one_process_downloads_and_the_others_wait_for_it(server, path, capsys):
    server.answer = broken(len(CONTENT) - 1, lambda: time.sleep(0.2))
    path.parent.mkdir(parents=True)
    path.with_name(".archive.tar.gz.lock").touch()  # of a process that was killed
    server.answer = in_turn(server.answer, whole)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(fetch, server.url, path, DIGEST) for _ in range(4)]
    downloaded = [future.result() for future in asked]
    assert sorted(downloaded) == [False, False, False, True]
    assert server.ranges == [None, f"bytes={len(CONTENT) - 1}-"]
    assert capsys.readouterr().err.count("another process is downloading it; waiting for that process") >= 3
    only(path)


def test_an_empty_file_is_refused(server, path):
    server.answer = lambda handler: whole(handler, b"")
    with pytest.raises(HistoBenchError, match="the server sends an empty file"):
        fetch(server.url, path)


def test_a_web_page_is_refused_and_the_bytes_received_before_are_kept(server, path, part):
    server.answer = lambda handler: whole(handler, b"log in", '"2"', "text/html; charset=utf-8")
    with pytest.raises(HistoBenchError, match="a web page instead of the file"):
        fetch(server.url, path)
    server.answer = whole
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=100000-"


def archive(kind: str) -> bytes:
    """Return an archive of one file; of a tar the last 1024 bytes, zeros, are its end mark."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as made:
            made.writestr("a.png", CONTENT)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode="w") as made:
        info = tarfile.TarInfo("a.png")
        info.size = len(CONTENT)
        made.addfile(info, io.BytesIO(CONTENT))
    plain = stream.getvalue()[: 512 + len(CONTENT) + 1024]
    return gzip.compress(plain) if kind == "tar.gz" else plain


def sent(content: bytes, how: str = "length", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send a content as a whole answer: with its `length`, in `chunks`, or until the connection is `closed`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1" if how == "chunks" else "HTTP/1.0"
        handler.send_response(200)
        announced = {"length": {"Content-Length": str(len(content))}, "chunks": {"Transfer-Encoding": "chunked"}}
        for name, value in (announced.get(how, {}) | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if how == "chunks" else content)
        handler.close_connection = True

    return answer


ARCHIVES = {kind: archive(kind) for kind in ("tar.gz", "tar", "zip")}
NO_ARCHIVES = {
    **{f"half a {kind}": (kind, content[: len(content) // 2]) for kind, content in ARCHIVES.items()},
    "a tar.gz without its checksum": ("tar.gz", ARCHIVES["tar.gz"][:-8]),
    "a tar without its end mark": ("tar", ARCHIVES["tar"][:-1024]),
    "a zip without the last byte of its directory": ("zip", ARCHIVES["zip"][:-1]),
    "a tar.gz compressed again": ("tar.gz", gzip.compress(ARCHIVES["tar.gz"])),
    "an error in JSON": ("zip", b'{"error": "quota exceeded"}'),
    "a login page": ("tar.gz", b"<!DOCTYPE html><title>Log in</title>"),
}


@pytest.mark.parametrize("how", ["length", "chunks", "closed"])
@pytest.mark.parametrize("case", NO_ARCHIVES)
def test_what_is_no_whole_archive_is_not_kept_and_its_hash_is_not_pinned(server, tmp_path, case, how):
    kind, content = NO_ARCHIVES[case]
    path, url = tmp_path / f"archive.{kind}", f"{server.url}/archive.{kind}"
    server.answer = sent(content, how)
    with pytest.raises(
        HistoBenchError, match=r"\(the file sent cannot be used: it is .*run the same command again"
    ) as caught:
        fetch(url, path, require_whole=require_whole)
    assert ".part" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    server.answer = sent(ARCHIVES[kind], how)
    assert fetch(url, path, require_whole=require_whole)
    assert path.read_bytes() == ARCHIVES[kind]
    only(path, f"{path.name}.sha256")


def test_a_known_hash_and_a_server_that_says_no_length(server, path):
    server.answer = sent(CONTENT[:1000], "closed")
    with pytest.raises(HistoBenchError, match=f"expected {DIGEST}; it may end too early, since the server did not say"):
        fetch(server.url, path, DIGEST)
    server.answer = sent(CONTENT, "closed")
    fetch(server.url, path, DIGEST)
    only(path)


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json", "text/xml", "text/html"])
def test_an_answer_of_another_kind_does_not_replace_the_bytes_received_before(server, path, part, kind):
    server.answer = sent(b'{"error": 1}', Content_Type=kind)
    with pytest.raises(HistoBenchError, match="instead of the file"):
        fetch(server.url, path)
    server.answer = whole
    fetch(server.url, path, DIGEST)
    assert server.ranges[-1] == "bytes=100000-"


def test_json_is_expected_where_the_file_is_json(server, tmp_path):
    server.answer = sent(b"{}", Content_Type="application/json")
    assert fetch(server.url, tmp_path / "config.json", hashlib.sha256(b"{}").hexdigest())


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": bytes}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_what_is_sent_compressed_though_not_asked_for_is_refused(server, tmp_path, encoding):
    path = tmp_path / "archive.zip"
    server.answer = sent(ENCODERS[encoding](ARCHIVES["zip"]), Content_Encoding=encoding)
    with pytest.raises(HistoBenchError, match=f"sends it compressed \\(Content-Encoding: {encoding}\\)"):
        fetch(server.url, path, require_whole=require_whole)
    with pytest.raises(Unavailable, match="sends it compressed"):
        get(server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_tar_gz_that_the_server_calls_gzip_is_taken_as_it_is(server, path):
    server.answer = sent(ARCHIVES["tar.gz"], Content_Encoding="x-gzip")
    fetch(server.url, path, require_whole=require_whole)
    assert path.read_bytes() == ARCHIVES["tar.gz"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: error(302, Location=handler.path)(handler),  # Python's message of it has three lines
        lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n" + bytes(5000)),
        lambda handler: handler.wfile.write(b"HTTP/1.1 404 bad\x1b[31m\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["endless redirection", "no HTTP", "control characters"],
)
def test_what_a_server_says_is_told_in_one_line(server, path, answer):
    server.answer = answer
    with pytest.raises(HistoBenchError, match="could not be downloaded") as caught:
        fetch(server.url, path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("host", ["[::1", "a" * 70 + ".invalid", "127.0.0.1:1/ü.zip", "127.0.0.1:x"])
def test_an_address_that_cannot_be_one_is_told_in_one_line(path, host):
    with pytest.raises(HistoBenchError, match="could not be downloaded"):
        fetch(f"http://{host}/archive.tar.gz", path)
    assert not path.exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/archive.tar.gz"])
def test_other_schemes_are_refused_also_when_redirected_to(server, path, url):
    with pytest.raises(HistoBenchError, match="begins with http"):
        fetch(url, path)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    server.answer = redirect
    with pytest.raises(HistoBenchError, match="could not be downloaded"):
        fetch(server.url, path)
    assert not path.exists()


def test_the_script_ends_with_one_line(path, server):
    server.answer = lambda handler: handler.send_error(404)
    command = [sys.executable, SCRIPT, "--url", server.url, "--sha256", "", "--output", path]
    environment = {"PYTHONPATH": str(SCRIPT.parents[1] / "workflow"), "no_proxy": "*"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    begun, error = ended.stderr.splitlines()
    assert begun == f"archive.tar.gz: downloading from {server.url}"
    assert re.fullmatch(rf"error: {path} is missing .*{server.url}.*", error)
