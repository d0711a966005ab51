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
    pages: set[str] = field(default_factory=set)
    """Paths for which a web page is sent, with status 200; `tree` is the listing."""
    listed: dict[str, bytes] = field(default_factory=dict)
    """Listed in addition."""
    requests: list[str] = field(default_factory=list)
    """Every request: file or `tree`."""
    credentials: list[str] = field(default_factory=list)
    """Values of Authorization headers."""
    token: str = ""
    """What a gated repository asks for."""
    store: str = ""
    """Another server, to which requests for weights are redirected; those for other files then are redirected on this one."""

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        """Return a file as the listing shows it."""
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_id(content)}
        if path.endswith((".safetensors", ".bin")):
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
            if hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
                return self.send("", b"", "text/plain", 401)
            if hub.store and "/resolve/" in self.path and not self.path.startswith("/cache/"):
                host = hub.store if self.path.endswith((".safetensors", ".bin")) else "/cache"
                self.send_response(302)
                self.send_header("Location", host + self.path)
                self.send_header("Content-Length", "0")
                return self.end_headers()
            path = self.path.removeprefix("/cache")
            if path == f"/api/models/{REPOSITORY}/tree/{REVISION}":
                hub.requests.append("tree")
                listing = [hub.entry(*file) for file in {**hub.files, **hub.listed}.items()]
                listing.append({"type": "directory", "path": "onnx", "oid": "0" * 40})
                return self.send("tree", json.dumps(listing).encode(), "application/json")
            match = re.fullmatch(f"/{REPOSITORY}/resolve/{REVISION}/(.+)", path)
            if not match or match[1] not in hub.files:
                return self.send("", b"", "text/plain", 404)
            name = match[1]
            hub.requests.append(name)
            return self.send(name, hub.files[name], "application/octet-stream")

        def send(self, name: str, content: bytes, kind: str, status: int = 200) -> None:
            if name in hub.pages:
                content, kind = b"<!DOCTYPE html><html>log in</html>", "text/html"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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
