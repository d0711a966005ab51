"""Findings on machines that are made up."""

from pathlib import Path

import pytest

from histobench.fetch.downloads import Download
from histobench.tools import checks
from histobench.tools.checks import AGAIN, SET_UP, Line
from histobench.tools.disk import Need
from histobench.tools.machine import Card, Leftovers, Memory, Package, Place
from histobench.tools.rates import Device

CARD = Card("NVIDIA H200", 150e9, 149e9, "580.1")


def probe(number: int = 1, free: float = 149e9, **changes) -> dict:
    gpus = [{"name": "NVIDIA H200", "memory": 150e9, "free": free}] * number
    kind = "cuda" if number else "cpu"
    return {"torch": "2.15.0", "cuda_build": "13.2", "gpus": gpus, "kind": kind, "reaches": {}} | changes


def statuses(lines: list[Line]) -> list[str]:
    return [line.status for line in lines]


def only(lines: list[Line], status: str) -> Line:
    """Return the one line of a status."""
    (found,) = [line for line in lines if line.status == status]
    return found


@pytest.mark.parametrize(("version", "status"), [((3, 10, 14), "problem"), ((3, 11, 0), "ok"), ((3, 14, 1), "ok")])
def test_python(version, status):
    assert checks.python(version).status == status


def test_packages():
    right, missing, other = (
        Package(name, "1.0", installed) for name, installed in zip("abc", ("1.0", None, "1.1"), strict=True)
    )
    assert statuses(checks.packages([right])) == ["ok"]
    lines = checks.packages([right, missing, other], ["albumentationsx"])
    assert statuses(lines) == ["problem", "note", "note"]
    assert (lines[0].text, lines[0].remedy) == ("1 of 3 in requirements.lock are missing: b", SET_UP)
    assert "c 1.1 (locked 1.0)" in lines[1].text
    assert "under another licence" in lines[2].text
    many = checks.packages([Package(str(number), "1", None) for number in range(9)])
    assert many[0].text.endswith("missing: 0, 1, 2, 3 and 5 more")


def test_a_pytorch_that_fails_is_a_problem_and_no_judgement_on_gpus():
    assert checks.torch(probe()).status == "ok"
    assert checks.torch({"error": "no libcudart"}).status == "problem"
    (line,) = checks.gpus({"error": "no libcudart"}, [CARD], "auto")
    assert (line.status, "NVIDIA H200" in line.text) == ("note", True)


@pytest.mark.parametrize(
    ("found", "cards", "wanted", "status", "says"),
    [
        (probe(), [CARD], "auto", "ok", "NVIDIA H200, 149 GB of 150 GB free; driver 580.1"),
        (probe(3), [CARD] * 3, "auto", "ok", "3 GPUs: NVIDIA H200, 149 GB"),
        (probe(), [CARD], "cpu", "ok", "the configuration says `device: cpu`"),
        (probe(0), [], "auto", "note", "everything is computed on the processor"),
        (probe(0), [], "cpu", "ok", "asks for none"),
        (probe(0), [], "cuda:0", "problem", "the configuration says `device: cuda:0`"),
        (probe(0), [CARD], "auto", "problem", "the driver is too old for that, or CUDA_VISIBLE_DEVICES hides it"),
        (probe(0, cuda_build=""), [CARD], "auto", "problem", "this PyTorch is built without CUDA"),
        (probe(0, kind="mps"), [], "auto", "ok", "Apple's"),
    ],
)
def test_gpus(found, cards, wanted, status, says):
    (line,) = checks.gpus(found, cards, wanted)
    assert line.status == status
    assert says in line.text
    assert (status == "problem") == bool(line.remedy)


def test_gpus_that_others_use_that_are_hidden_or_too_small():
    assert "less than half of their memory free" in only(checks.gpus(probe(free=10e9), [CARD], "auto"), "note").text
    assert "2 are in this machine, 1 can be used" in only(checks.gpus(probe(), [CARD] * 2, "auto"), "note").text
    assert "takes 160 GB without activations" in only(checks.gpus(probe(), [CARD], "auto", need=160e9), "problem").text
    assert statuses(checks.gpus(probe(), [CARD], "cpu", need=160e9)) == ["ok"]


@pytest.mark.parametrize(("need", "status"), [(0, "ok"), (3e9, "ok"), (5e9, "note"), (9e9, "problem")])
def test_memory(need, status):
    assert checks.memory(Memory(8e9, 4e9, 2), need).status == status


NEEDS = [
    Need("archives", "resources", 14e9),
    Need("stores", "results", 30e9, 10e9),
    Need("packages", ".venv", 6e9, 6e9),
]


def place(name: str, device: int = 1, free: float = 40e9, writable: bool = True, locks: bool = True) -> Place:
    return Place(name, device, "ext4", free, writable, locks)


def test_disks_hold_what_is_still_to_come():
    together = [place("results"), place("resources")]
    assert checks.disks(together, NEEDS) == [
        Line("ok", "disk", "resources and results (ext4): 40 GB free, the study still needs 34 GB")
    ]
    tight = [place("results", free=30e9), place("resources", free=30e9)]
    assert only(checks.disks(tight, NEEDS), "problem").remedy == "# free 4.0 GB, or move the project to a larger disk"
    apart = [place("results", 1, 25e9), place("resources", 2, 13e9)]
    lines = checks.disks(apart, NEEDS)
    assert statuses(lines) == ["ok", "problem"]
    assert "resources (ext4): 13 GB free, the study still needs 14 GB" in lines[1].text


def test_disks_that_cannot_be_used():
    lines = checks.disks([place("results", writable=False, locks=False), place("resources", locks=False)], [])
    assert statuses(lines) == ["problem", "problem", "ok"]
    assert "results cannot be written" in lines[0].text
    assert "locks of files do not work" in lines[1].text


@pytest.mark.parametrize(("quota", "status"), [(40e9, "ok"), (20e9, "problem")])
def test_quota(quota, status):
    assert checks.disks([], NEEDS, quota)[0].status == status


def download(name: str, path: Path, present: bool = False, *addresses: str, sha256: str = "") -> Download:
    return Download(name, path, addresses or (f"https://{name.split()[-1]}.org/file",), sha256, "", present)


def test_data_and_weights(tmp_path):
    (tmp_path / "here").touch()
    here = download("dataset a", tmp_path / "here", True, sha256="0123456789")
    unknown = download("dataset b", tmp_path / "here", True)
    joined = download("weights of c", tmp_path / "gone", True)
    missing = download("weights of d", tmp_path / "d")
    lines = checks.sources([here, unknown, joined, missing], [], [], "make fetch")
    assert statuses(lines) == ["ok", "ok", "ok", "note"]
    assert "SHA-256 01234567..., checked when it is read" in lines[0].text
    assert "is here (checked when it is read)" in lines[1].text
    assert "what is made of it is here" in lines[2].text
    assert (lines[3].topic, lines[3].remedy) == ("weights", "make fetch")
    own = checks.sources([], ["my/images"], ["models.x.weights: f: no such weights file"], "make fetch")
    assert statuses(own) == ["problem", "problem"]
    assert statuses(checks.sources([], [], [], "make fetch")) == ["ok"]


def test_network():
    a, b = (
        download("dataset a", Path("a")),
        download("weights of b", Path("b"), False, "https://x.org/b", "https://y.org/b"),
    )
    there = download("weights of c", Path("c"), True)
    assert checks.network([there], {}, "make fetch") == [Line("ok", "network", "not needed")]
    good = {"https://a.org/file": "", "https://x.org/b": "answers 404", "https://y.org/b": ""}
    assert checks.network([a, b, there], good, "make fetch") == [Line("ok", "network", "a.org, y.org answer")]
    half = checks.network([a, b], good | {"https://y.org/b": "refused"}, "make fetch")
    assert statuses(half) == ["ok", "problem"]
    assert half[1].text == "weights of b cannot be had from here (x.org: answers 404; y.org: refused)"
    none = checks.network([a, b], dict.fromkeys(good, "no name"), "make fetch")
    assert none[0].text == "what is missing cannot be had from here (a.org, x.org, y.org: no name)"
    assert none[0].remedy.startswith("make fetch ")


def test_programs():
    assert statuses(checks.programs({"snakemake": "9.27", "git": "/g", "chromium": "/c"})) == ["ok", "ok"]
    lines = checks.programs({"snakemake": None, "git": None, "chromium": None, "sbatch": "/s"})
    assert statuses(lines) == ["problem", "note", "note", "ok"]
    assert "Slurm is here" in lines[2].text


def test_leftovers():
    assert statuses(checks.leftovers(Leftovers(0, [], [], 0, []))) == ["ok"]
    lines = checks.leftovers(Leftovers(1, [], ["results/a", "results/b"], 3, ["resources/x"]))
    assert [line.text.split()[0] for line in lines] == ["a", "2", "3", "the"]
    assert "2 runs were interrupted and go on from the last finished epoch: results/a and 1 more" in lines[1].text
    working = checks.leftovers(Leftovers(1, [4711], [], 3, []))
    assert [line.text for line in working] == ["Snakemake is at work here (process 4711); it holds the folder"]


CPU, GPU = Device("cpu (EPYC, 2 cores)", "cpu"), Device("NVIDIA H200", "cuda")


@pytest.mark.parametrize(
    ("to_do", "taken", "device", "status", "says"),
    [
        (0, 0.0, CPU, "ok", "all 280 runs are done"),
        (280, 2.9 * 3600, GPU, "ok", "about 2.9 GPU-hours of arithmetic on NVIDIA H200, by assumed rates"),
        (280, 90.0, GPU, "ok", "about 1.5 min of arithmetic"),
        (9, None, CPU, "note", "9 of 280 runs to do; how long they take cannot be said yet"),
        (280, 30 * 86400.0, CPU, "note", "about 30 days of arithmetic on cpu"),
        (280, 30 * 86400.0, GPU, "ok", "about 720.0 GPU-hours"),
    ],
)
def test_the_study(to_do, taken, device, status, says):
    line = checks.study("paper", 280, to_do, taken, device, assumed=True)
    assert line.status == status
    assert says in line.text


FINE = Line("ok", "Python", "3.11")


@pytest.mark.parametrize(
    ("lines", "done", "page", "steps"),
    [
        ([FINE], False, "", ["make reproduce"]),
        ([FINE, Line("note", "weights", "not here", "make fetch")], False, "", ["make fetch", "make reproduce"]),
        ([FINE, Line("note", "packages", "differ", SET_UP)], False, "", ["make reproduce"]),
        ([FINE], True, "results/report.html", ["# open results/report.html in a browser"]),
        ([FINE], True, "", ["make reproduce"]),
        ([FINE, Line("problem", "disk", "full", "# free 4 GB")], False, "", ["# free 4 GB", AGAIN]),
        ([Line("problem", "packages", "gone", SET_UP), Line("problem", "disk", "full", "# free")], False, "", [SET_UP]),
        ([Line("problem", "x", "y", str(number)) for number in (1, 1, 2, 3)], False, "", ["1", "2", AGAIN]),
    ],
)  # fmt: skip
def test_advice_is_one_to_three_steps(lines, done, page, steps):
    assert checks.advice(lines, "make reproduce", done, page) == steps
