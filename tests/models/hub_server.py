"""A small Hugging Face Hub on this machine: one commit of one repository."""

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
    """Paths for which a web page is sent, with status 200; `tree` is the listing."""
    busy: dict[str, int] = field(default_factory=dict)
    """How often each path is answered with status 503 before it is sent."""
    redirects: bool = False
    """Whether requests for safetensors are redirected to another address, as the true Hub does."""
    listed: dict[str, bytes] = field(default_factory=dict)
    """Listed in addition."""
    requests: list[str] = field(default_factory=list)
    """Every request: file or `tree`, and the byte at which it begins."""
    credentials: list[str] = field(default_factory=list)
    """Values of Authorization headers."""

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
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                self.answer()

        def answer(self) -> None:
            hub.credentials += self.headers.get_all("Authorization") or []
            path, _, query = self.path.partition("?")
            if path == f"/api/models/{REPOSITORY}/tree/{REVISION}":
                hub.requests.append("tree")
                listing = [hub.entry(*file) for file in {**hub.files, **hub.listed}.items()]
                listing.append({"type": "directory", "path": "onnx", "oid": "0" * 40})
                return self.send("tree", json.dumps(listing).encode(), "application/json")
            match = re.fullmatch(f"/{REPOSITORY}/resolve/{REVISION}/(.+)", path)
            if not match or match[1] not in hub.files:
                return self.empty(404)
            name = match[1]
            if hub.redirects and name.endswith(".safetensors") and not query:
                return self.empty(302, Location=f"{hub.url}{path}?signed")
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            hub.requests.append(name + (f" from {start}" if start else ""))
            return self.send(name, hub.files[name], "application/octet-stream", start)

        def empty(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, name: str, content: bytes, kind: str, start: int = 0) -> None:
            if hub.busy.get(name, 0):
                hub.busy[name] -= 1
                return self.empty(503)
            if name in hub.pages:
                content, kind, start = b"<!DOCTYPE html><html>log in</html>", "text/html", 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", kind)
            self.send_header("ETag", f'"{git_id(content)}"')
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : hub.broken_at if name.endswith(".safetensors") else None])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
