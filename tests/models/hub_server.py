"""A small Hugging Face Hub on this machine: one commit of one repository, as the true client asks for it."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = "someone/tiny"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked for."""

    files: dict[str, bytes]
    """Content by path; safetensors are kept in LFS, the rest in git, as on the true Hub."""
    url: str = ""
    broken_at: int | None = None
    """Byte of each safetensors file at which its transfer breaks off."""
    pages: set[str] = field(default_factory=set)
    """Paths in whose place a web page is sent, with status 200; `tree` stands for the listing."""
    silent_at: int | None = None
    """Byte of each safetensors file after which nothing more comes, and the connection stays open."""
    stumbles: dict[str, int] = field(default_factory=dict)
    """How often each path (`tree` for the listing) is answered with status 503 before it is sent."""
    elsewhere: bool = False
    """Whether safetensors are redirected to another address, as the true Hub does."""
    listed: dict[str, bytes] = field(default_factory=dict)
    """Listed in addition."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set to end the silence."""
    requests: list[str] = field(default_factory=list)
    """Every request: method, file or `tree`, and where it begins."""

    @property
    def bodies(self) -> list[str]:
        """The files whose content was asked for."""
        return [request.removeprefix("GET ") for request in self.requests if request.startswith("GET ")]

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        """Return a file as the listing shows it."""
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_id(content)}
        if path.endswith(".safetensors"):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return entry


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve `files` on the loopback interface."""
    hub = Hub(dict(files))

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            with suppress(ConnectionError):
                self.answer()

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            if match := re.fullmatch(f"/api/models/{REPOSITORY}/tree/(.+)", path):
                hub.requests.append(f"{self.command} tree")
                if match[1] != REVISION:
                    return self.missing("RevisionNotFound")
                listing = [hub.entry(*file) for file in {**hub.files, **hub.listed}.items()]
                listing.append({"type": "directory", "path": "onnx", "oid": "0" * 40})
                return self.send("tree", json.dumps(listing).encode(), {"Content-Type": "application/json"})
            if not (match := re.fullmatch(f"/{REPOSITORY}/resolve/{REVISION}/(.+)", path)):
                return self.missing("RepoNotFound")
            name = match[1]
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            hub.requests.append(f"{self.command} {name}" + (f" from {start}" if start else ""))
            if name not in hub.files:
                return self.missing("EntryNotFound")
            content = hub.files[name]
            entry = hub.entry(name, content)
            headers = {"X-Repo-Commit": REVISION, "ETag": f'"{entry["oid"]}"'}
            if lfs := entry.get("lfs"):
                headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{lfs["oid"]}"'}  # type: ignore[index]
                headers["ETag"] = headers["X-Linked-Etag"]
            return self.send(name, content, headers, start)

        def missing(self, code: str) -> None:
            self.empty(404, "X-Error-Code", code)

        def empty(self, status: int, name: str, value: str) -> None:
            self.send_response(status)
            self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, name: str, content: bytes, headers: dict[str, str], start: int = 0) -> None:
            if hub.stumbles.get(name, 0) and self.command == "GET":
                hub.stumbles[name] -= 1
                return self.empty(503, "Retry-After", "1")
            if hub.elsewhere and name.endswith(".safetensors") and "?signed" not in self.path:
                return self.empty(302, "Location", f"{hub.url}{self.path}?signed")
            if name in hub.pages:
                content, headers, start = b"<!DOCTYPE html><html>log in</html>", {"Content-Type": "text/html"}, 0
            self.send_response(206 if start else 200)
            for key, value in headers.items():
                self.send_header(key, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.command == "GET":
                end = (hub.silent_at or hub.broken_at) if name.endswith(".safetensors") else None
                self.wfile.write(content[start:end])
                if end and hub.silent_at:
                    hub.released.wait(10)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            server.shutdown()
            thread.join()
