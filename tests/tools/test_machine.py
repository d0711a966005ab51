"""What is gathered of a machine: from texts of its programs, and from made-up folders and servers."""

import fcntl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from histobench.tools import machine


def test_packages_are_those_of_this_platform():
    import pydantic

    lock = (
        "# made by uv\n"
        f"pydantic=={pydantic.VERSION} \\\n    --hash=sha256:00\n    # via x\n"
        "no-such-package==1.0 ; python_version >= '3' \\\n    --hash=sha256:00\n"
        "colorama==0.4.6 ; sys_platform == 'nowhere' \\\n    --hash=sha256:00\n"
    )
    assert machine.packages(lock) == [
        machine.Package("pydantic", pydantic.VERSION, pydantic.VERSION),
        machine.Package("no-such-package", "1.0", None),
    ]


def test_the_projects_own_lock_is_read_whole():
    text = (Path(__file__).parents[2] / "requirements.lock").read_text()
    assert 100 < len(machine.packages(text)) <= text.count("==")


def test_nvidia_smi():
    text = "NVIDIA H200, 143771, 143000, 580.65.06\nNVIDIA H200, 143771, [N/A], 580.65.06\n\nNo devices were found\n"
    assert machine.cards_of(text) == [machine.Card("NVIDIA H200", 143771 * 2**20, 143000 * 2**20, "580.65.06")]


def test_a_program_that_is_not_there_fails_or_hangs_says_nothing():
    assert machine.said(["no-such-program"]) == ""
    assert machine.said(["sh", "-c", "echo no; exit 1"]) == ""
    assert machine.said(["sleep", "60"], limit=0.2) == ""
    assert machine.said(["echo", "yes"]) == "yes\n"


def test_file_systems():
    mounts = "/dev/a / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\ntmpfs /data/my\\040disk tmpfs rw 0 0\n/dev/b /data ext4 ro 0 0\n"
    assert machine.file_system(mounts, Path("/home/me")) == "ext4"
    assert machine.file_system(mounts, Path("/data/my disk/results")) == "tmpfs"
    assert machine.file_system(mounts, Path("/works")) == "ext4"
    assert machine.file_system("server:/x /data nfs4 rw\n", Path("/data/results")) == "nfs4"
    assert machine.file_system("", Path("/data")) == ""


def test_quota():
    text = (
        "Disk quotas for user me (uid 1000):\n"
        "     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace\n"
        "      /dev/sda1   900000  1000000 1100000       0       5       0       0       0\n"
        "      /dev/sdb1  2000000*       0       0       0       5       0       0       0\n"
    )
    assert machine.quota_of(text) == 200_000 * 1024
    assert machine.quota_of(text.replace("900000 ", "1200000*")) == 0
    assert machine.quota_of("Disk quotas for user me (uid 1000): none\n") is None


def test_a_place_is_the_nearest_folder_and_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = machine.place("results")
    assert (found.writable, found.locks, found.device) == (True, True, tmp_path.stat().st_dev)
    assert found.free > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["write", "lock"])
def test_a_place_that_cannot_be_written_or_locked(tmp_path, monkeypatch, broken):
    def refuse(*_arguments, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(*(machine.tempfile, "NamedTemporaryFile") if broken == "write" else (fcntl, "flock"), refuse)
    found = machine.place(str(tmp_path))
    assert (found.writable, found.locks) == (broken == "lock", False)


def test_memory():
    found = machine.memory()
    assert 0 < found.available <= found.total
    assert found.cores >= 1


@pytest.fixture
def server():
    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def test_answers(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert machine.answer(f"{server}/200") == ""
    assert machine.answer(f"{server}/405") == ""  # some servers give no heads
    assert machine.answer(f"{server}/503") == ""
    assert machine.answer(f"{server}/404") == "answers 404 Not Found"
    assert "refused" in machine.answer("http://127.0.0.1:9/file")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert "refused" in machine.answer("http://breakhis.example/file")  # asked by the proxy


def test_what_earlier_runs_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "snakemakes", list)
    assert machine.leftovers([]) == machine.Leftovers(0, [], [], 0, [])
    run = "results/synthetic/runs/vgg19/ft/patient/40x/none/fold1"
    for path in (
        ".snakemake/locks/0.input.lock", ".snakemake/incomplete/abc", f"{run}/checkpoint.pt", "resources/breakhis/.B.tar.gz.part"
    ):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    found = machine.leftovers([Path("resources/breakhis/B.tar.gz"), Path("resources/bach/c.zip")])
    assert found == machine.Leftovers(1, [], [run], 1, ["resources/breakhis/B.tar.gz"])
