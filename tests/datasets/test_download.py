"""Downloads against a server on this machine: whole, broken off, false, and not to be had."""

import hashlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from histobench.datasets.download import Patience, fetch
from histobench.study.errors import HistoBenchError

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_dataset.py"
CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(silence=0.3, pause=0, attempts=3)
ONCE = Patience(pause=0, attempts=1, knocks=1)


class Server:
    """Answers every GET by `answer(handler)`, and keeps what was asked: the Range header of each request."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = whole
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
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
    if asked and handler.headers.get("If-Range") == tag:
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


def broken(at: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Promise everything from the start, send `at` bytes, and close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:at])

    return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "resources" / "breakhis" / "archive.tar.gz"


def only(path: Path, *others: str) -> None:
    """Assert that the folder holds the file, `others`, and nothing half-finished."""
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, *others])


def test_a_file_is_downloaded_and_checked_against_its_digest(server, path):
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    only(path)


def test_the_beginning_of_a_digest_is_enough(server, path):
    fetch(server.url, path, DIGEST[:8])
    assert path.read_bytes() == CONTENT


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
    with pytest.raises(HistoBenchError, match=f"expected {DIGEST}"):
        fetch(server.url, path)
    assert not path.exists()
    path.write_bytes(b"other")
    with pytest.raises(HistoBenchError, match=r"correct .*archive\.tar\.gz\.sha256"):
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


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, path):
    answers = [broken(100_000), whole]
    server.answer = lambda handler: answers.pop(0)(handler)
    fetch(server.url, path, DIGEST, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_the_next_process_goes_on_where_the_last_one_stopped(server, path):
    server.answer = broken(100_000)
    with pytest.raises(HistoBenchError, match=f"closed after 100000 of {len(CONTENT)} bytes"):
        fetch(server.url, path, DIGEST, patience=QUICK)
    assert not path.exists()
    server.ranges.clear()
    server.answer = whole
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]
    only(path)


def test_a_part_of_an_older_version_is_not_mixed_with_the_new_one(server, path):
    server.answer = broken(100_000)
    with pytest.raises(HistoBenchError):
        fetch(server.url, path, patience=ONCE)
    newer = CONTENT[::-1]
    server.answer = lambda handler: whole(handler, newer, '"2"')
    fetch(server.url, path)
    assert path.read_bytes() == newer


def test_a_damaged_part_is_thrown_away_and_the_file_downloaded_afresh(server, path):
    server.answer = broken(100_000)
    with pytest.raises(HistoBenchError):
        fetch(server.url, path, DIGEST, patience=ONCE)
    path.with_name(".archive.tar.gz.part").write_bytes(bytes(100_000))
    server.ranges.clear()
    server.answer = whole
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-", None]


def test_a_process_killed_after_the_last_byte_loses_nothing(server, path):
    server.answer = broken(100_000)
    with pytest.raises(HistoBenchError):
        fetch(server.url, path, DIGEST, patience=ONCE)
    path.with_name(".archive.tar.gz.part").write_bytes(CONTENT)
    server.ranges.clear()
    server.answer = whole
    fetch(server.url, path, DIGEST)
    assert server.ranges == [f"bytes={len(CONTENT)}-"]
    only(path)


def test_a_server_that_stumbles_is_asked_again(server, path):
    answers = [lambda handler: handler.send_error(503), broken(0), whole]
    server.answer = lambda handler: answers.pop(0)(handler)
    fetch(server.url, path, DIGEST, patience=QUICK)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_is_asked_for_once(server, path):
    server.answer = lambda handler: handler.send_error(404)
    with pytest.raises(HistoBenchError, match=r"could not be downloaded \(404 Not Found\)"):
        fetch(server.url, path, DIGEST, patience=QUICK)
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("kind", "page"), [("text/html; charset=utf-8", b"please log in"), ("x/y", b"\n<!DOCTYPE HTML>")]
)
def test_a_web_page_instead_of_the_file_is_refused(server, path, kind, page):
    server.answer = lambda handler: whole(handler, page, kind=kind)
    with pytest.raises(HistoBenchError, match="a web page instead of the file"):
        fetch(server.url, path)
    assert list(path.parent.iterdir()) == []


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
        fetch(server.url, path, patience=ONCE)
    assert not path.exists()


def test_without_network_one_sentence_says_what_is_missing_where_to_get_it_and_where_to_put_it(path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/archive.tar.gz"
    with pytest.raises(HistoBenchError) as caught:
        fetch(url, path, patience=QUICK)
    assert str(caught.value) == (
        f"{path} is missing and could not be downloaded (Connection refused): get it from {url} in another way "
        "and put it there, or run the same command again later"
    )


def test_the_script_ends_with_one_line(path, server):
    server.answer = lambda handler: handler.send_error(404)
    command = [sys.executable, SCRIPT, "--url", server.url, "--sha256", "", "--output", path]
    environment = {"PYTHONPATH": str(SCRIPT.parents[1] / "workflow"), "no_proxy": "*"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    begun, error = ended.stderr.splitlines()
    assert begun == f"archive.tar.gz: downloading from {server.url}"
    assert re.fullmatch(rf"error: {path} is missing .*{server.url}.*", error)
    server.answer = whole
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0
    assert path.read_bytes() == CONTENT
