"""A finished study packed and verified by the true commands; and archives that somebody has changed, each refused."""

import base64
import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from histobench.io.errors import run_script
from histobench.tools import pack, verify

ROOT = Path(__file__).parents[2]
RUN = "results/made-up/runs/small/ft/patient/40x/none/fold1"
Members = dict[str, bytes]
Change = Callable[[Members], None]


def tool(name: str, *arguments: object, cwd: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of this checkout as `make` does, its temporary files in a folder of their own."""
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", f"histobench.tools.{name}", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def refusal(module, monkeypatch, capsys, *arguments: object) -> str:
    """Run a tool in this process, which must fail with one line; return that line."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    with pytest.raises(SystemExit):
        run_script(module.main)
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Verify an archive that must be refused, with nothing left behind; return the message without the file's name."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def refused(archive: Path) -> str:
        message = refusal(verify, monkeypatch, capsys, archive)
        assert message.startswith(f"{archive}: ")
        assert str(temporary) not in message
        assert not any(temporary.iterdir())
        return message.removeprefix(f"{archive}: ")

    return refused


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory) -> Path:
    """The archive of the finished tiny study."""
    folder = tmp_path_factory.mktemp("packed")
    before = set(finished.folder.rglob("results/**/*"))
    arguments = ("pack", "--configfile", "config/tiny.yaml", "--output", folder / "tiny.tar.gz")
    ended = tool(*arguments, cwd=finished.folder, temporary=folder / "temporary")
    assert ended.returncode == 0, ended.stdout
    assert hashlib.sha256((folder / "tiny.tar.gz").read_bytes()).hexdigest() in ended.stdout
    assert set(finished.folder.rglob("results/**/*")) == before
    assert not any((folder / "temporary").iterdir())
    return folder / "tiny.tar.gz"


def members_of(archive: Path) -> Members:
    """Read an archive; names are relative to the study's one folder."""
    with tarfile.open(archive) as tar:
        return {info.name.partition("/")[2]: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def repacked(archive: Path, output: Path, change: Change, anew: bool = False) -> Path:
    """Write an archive with changed members; with checksums made anew if wanted."""
    members = members_of(archive)
    change(members)
    if anew:
        names = sorted(members.keys() - {"CHECKSUMS.sha256"})
        lines = [f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in names]
        members["CHECKSUMS.sha256"] = "".join(lines).encode()
    with tarfile.open(output, "w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"tiny/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return output


# ---- what is packed ----


def test_packing_twice_gives_the_same_bytes(packed, finished, tmp_path):
    arguments = ("pack", "--configfile", "config/tiny.yaml", "--output", tmp_path / "again.tar.gz")
    tool(*arguments, cwd=finished.folder, temporary=tmp_path / "temporary")
    assert (tmp_path / "again.tar.gz").read_bytes() == packed.read_bytes()


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_sha256sum_checks_the_unpacked_folder(packed, tmp_path):
    subprocess.run(["tar", "-xzf", packed, "-C", tmp_path], check=True)
    check = ["sha256sum", "--check", "--strict", "--quiet", "CHECKSUMS.sha256"]
    ended = subprocess.run(check, cwd=tmp_path / "tiny", capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    listed = {line.split("  ")[1] for line in (tmp_path / "tiny/CHECKSUMS.sha256").read_text().splitlines()}
    assert members_of(packed).keys() == listed | {"CHECKSUMS.sha256"}


def test_no_pixels_weights_logs_or_paths_are_inside(packed, finished):
    places = [str(place).encode() for place in (finished.folder, ROOT, Path.home()) if len(place.parts) > 2]
    raster = (
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"II*\0",
        b"MM\0*",
        b"BM",
        b"RIFF",
        b"PK\3\4",
        b"\x93NUMPY",
        b"\x1f\x8b",
    )
    members = members_of(packed)
    for name, data in members.items():
        assert not data.startswith(raster), name
        assert not any(place in data for place in places), name
        if not data.startswith(b"%PDF"):
            data.decode("utf-8")
        assert b"/Subtype /Image" not in data, name
        assert not re.search(rb"data:image/(png|jpe?g|gif|webp|tiff|bmp)[^\"']{40}", data), name
        assert not re.search(r"\.(png|jpe?g|tiff?|npy|pth?|safetensors|log|gz)$|/logs/|figures/figure[12]\.", name)
    page = members["results/studies/tiny/report.html"].decode()
    shown = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert len(shown) > 5
    assert all(b"<image" not in base64.b64decode(picture) for picture in shown)


def test_what_is_packed_is_what_the_study_has(packed, finished):
    members = members_of(packed)
    for name in ("metrics.csv", "comparisons.csv", "claims.csv", "tables/table4.tex", "figures/figure5.pdf"):
        path = f"results/studies/tiny/{name}"
        assert members[path] == (finished.folder / path).read_bytes()
    for path in (finished.folder / "results").glob("*/runs/**/*.*"):
        assert members[str(path.relative_to(finished.folder))] == path.read_bytes()
    assert members["config/tiny.yaml"] == finished.tiny.read_bytes()
    assert members["scripts/score.py"] == (ROOT / "scripts/score.py").read_bytes()
    assert {"torch", "numpy", "snakemake"} <= json.loads(members["environment.json"])["packages"].keys()


@pytest.fixture
def copy(finished, tmp_path, monkeypatch) -> Path:
    """A copy of what the finished study is packed from, as the working directory."""
    for name in ("config", "results"):
        ignored = shutil.ignore_patterns("*.npy", "*.gz", "logs")
        shutil.copytree(finished.folder / name, tmp_path / name, ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PACK = ("--configfile", "config/tiny.yaml", "--output", "out.tar.gz")


def test_an_unfinished_study_is_not_packed(copy, monkeypatch, capsys):
    (copy / RUN / "history.csv").unlink()
    record = copy / RUN.replace("fold1", "fold2") / "run.json"
    record.write_text(record.read_text().replace('"learning_rate": 0.0001', '"learning_rate": 0.0002'))
    message = refusal(pack, monkeypatch, capsys, *PACK)
    assert message.startswith(f"study tiny is not finished: 2 of 14 runs (first: {RUN})")
    assert not Path("out.tar.gz").exists()


def test_images_and_paths_of_the_machine_are_not_packed(copy, monkeypatch, capsys):
    chart, gaps = (copy / "results/studies/tiny" / name for name in ("figures/cost.svg", "gaps.csv"))
    kept = chart.read_text()
    pixels = base64.b64encode(b"\x89PNG" + bytes(100)).decode()
    chart.write_text(kept.replace("</svg>", f'<image href="data:image/png;base64,{pixels}"/></svg>'))
    assert "results/studies/tiny/figures/cost.svg: holds an image" in refusal(pack, monkeypatch, capsys, *PACK)
    chart.write_text(kept)
    gaps.write_text(gaps.read_text() + f"somewhere,{copy}/results/x.csv: is missing\n")
    assert f"results/studies/tiny/gaps.csv: names {copy}" in refusal(pack, monkeypatch, capsys, *PACK)


# ---- what is verified ----


@pytest.mark.slow
def test_a_packed_study_is_verified_and_its_tables_rebuilt(packed, tmp_path):
    ended = tool("verify", packed, cwd=tmp_path, temporary=tmp_path / "temporary")
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("VERIFIED: ")
    assert "14 predict each image of their fold once" in ended.stdout
    assert not any((tmp_path / "temporary").iterdir())


@pytest.mark.slow
def test_a_changed_prediction_changes_the_tables_that_are_named(packed, tmp_path):
    """One logit gets the other sign: one image of twelve is called otherwise."""
    columns: dict[str, str] = {}

    def change(members: Members) -> None:
        lines = members[f"{RUN}/predictions.csv"].decode().splitlines()
        image, patient, fold, label, logit, best = lines[1].split(",")
        flipped = logit.removeprefix("-") if logit.startswith("-") else f"-{logit}"
        lines[1] = ",".join((image, patient, fold, label, flipped, best))
        members[f"{RUN}/predictions.csv"] = ("\n".join(lines) + "\n").encode()
        columns.update(next(csv.DictReader(io.StringIO(members["results/studies/tiny/metrics.csv"].decode()))))
        right = (float(logit) >= 0) == (label == "1")
        columns["changed"] = str(float(columns["accuracy"]) + (-1 if right else 1) / 12)

    archive = repacked(packed, tmp_path / "changed.tar.gz", change, anew=True)
    ended = tool("verify", archive, cwd=tmp_path, temporary=tmp_path / "temporary")
    assert ended.returncode == 1
    pattern = r"studies/tiny/metrics.csv, line 2 \((.*?)\), column (\w+): packed (\S+), rebuilt (\S+)"
    found = re.search(pattern, ended.stdout)
    assert found, ended.stdout
    assert (found[2], found[3]) == ("accuracy", columns["accuracy"])
    assert float(found[4]) == pytest.approx(float(columns["changed"]))
    for name in ("tables/table4.csv", "intervals.csv", "report.html"):
        assert f"  studies/tiny/{name}, line " in ended.stdout
    assert "tables/table2.csv" not in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("DIFFERENT: ")
    assert not any((tmp_path / "temporary").iterdir())


# ---- archives that were changed ----


def edited(name: str, old: str, new: str) -> Change:
    """Return a change of a text's first occurrence in a member."""

    def change(members: Members) -> None:
        assert old in members[name].decode()
        members[name] = members[name].decode().replace(old, new, 1).encode()

    return change


def reconfigured(**changes: object) -> Change:
    def change(members: Members) -> None:
        members["configuration.json"] = json.dumps(json.loads(members["configuration.json"]) | changes).encode()

    return change


def without(name: str) -> Change:
    return lambda members: members.pop(name) and None


def with_file(name: str, data: bytes) -> Change:
    return lambda members: members.update({name: data})


def regrouped(members: Members) -> None:
    """Let one patient evaluate in both folds, and sign the folds anew."""
    name = "results/made-up/folds/patient.csv"
    members[name] = members[name].replace(b"train", b"test", 1)
    members[f"{name}.sha256"] = f"{hashlib.sha256(members[name]).hexdigest()}  patient.csv\n".encode()


def relabelled(members: Members) -> None:
    """Give an image the other label."""
    name = f"{RUN}/predictions.csv"
    lines = members[name].decode().splitlines()
    image, patient, fold, label, *logits = lines[3].split(",")
    lines[3] = ",".join((image, patient, fold, "10"[int(label)], *logits))
    members[name] = ("\n".join(lines) + "\n").encode()


def exchanged(members: Members) -> None:
    """Give a run the predictions of another fold."""
    members[f"{RUN}/predictions.csv"] = members[f"{RUN.replace('fold1', 'fold2')}/predictions.csv"]


FOLDS, CONFIGURATION = "results/made-up/folds/patient.csv", "configuration.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (regrouped, f"{FOLDS}: group .* is test in 2 folds"),
        (edited(FOLDS, "train", "test"), f"{FOLDS}: was edited after"),
        (relabelled, f"{RUN}/predictions.csv, line 4: is image .*, label [01], but"),
        (exchanged, f"{RUN}/predictions.csv, line 2: is image .* but"),
        (edited(f"{RUN}/run.json", '"seed": 0', '"seed": 1'), f"{RUN}/run.json: is of other settings than"),
        (edited(f"{RUN}/run.json", '"training": 12', '"training": 13'), f"{RUN}/run.json: counts the images"),
        (reconfigured(seed=5), "results/.*/run.json: is of other settings than"),
        (reconfigured(study="other"), "its folder is called tiny, but"),
        (reconfigured(grid=3), f"{CONFIGURATION}: is no configuration"),
        (reconfigured(comparisons={"draws": 10**9}), "comparisons.draws: expected at most 1000000"),
        (reconfigured(surprise=1), "surprise: unknown key"),
        (without(CONFIGURATION), f"{CONFIGURATION}: is missing"),
        (without(f"{RUN}/history.csv"), f".*{RUN}/history.csv is missing"),
        (with_file("results/more.csv", b"a\n"), "results/more.csv is no part of study tiny"),
        (with_file(f"{RUN}/photo.png", b"\x89PNG\r\n\x1a\n" + bytes(99)), f"member tiny/{RUN}/photo.png is no text"),
    ],
)
def test_a_changed_archive_with_new_checksums_is_refused(packed, tmp_path, refused, change, message):
    assert re.match(message, refused(repacked(packed, tmp_path / "changed.tar.gz", change, anew=True)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited(f"{RUN}/predictions.csv", "0.", "1."), f"{RUN}/predictions.csv is changed"),
        (without(f"{RUN}/run.json"), f"{RUN}/run.json is missing"),
        (with_file("results/b.csv", b"a\n"), "results/b.csv"),
        (without("CHECKSUMS.sha256"), "CHECKSUMS.sha256 is missing"),
        (edited("CHECKSUMS.sha256", "  ", " "), "CHECKSUMS.sha256, line 1"),
        (with_file("../../evil.csv", b"a\n"), "member tiny/../../evil.csv leads out of its folder"),
        (with_file("README.md/inside", b"a\n"), "member tiny/README.md/inside"),
    ],
)
def test_members_that_no_checksum_covers_are_refused(packed, tmp_path, refused, change, message):
    assert message in refused(repacked(packed, tmp_path / "a.tar.gz", change))
    assert not list(tmp_path.parent.rglob("evil.csv"))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("tiny/results/link.csv", tarfile.SYMTYPE, "member tiny/results/link.csv is a link"),
        ("tiny/README.md", tarfile.REGTYPE, "member tiny/README.md occurs twice"),
        ("elsewhere/a.csv", tarfile.REGTYPE, "member elsewhere/a.csv "),
        ("tiny/null", tarfile.CHRTYPE, "member tiny/null is a device or special file"),
        ("tiny/results/zeros.csv", tarfile.REGTYPE, "member tiny/results/zeros.csv declares 70000000 bytes"),
    ],
)
def test_links_twins_strangers_and_bombs_are_refused(packed, tmp_path, refused, name, kind, message):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
    info.size = 70 * 10**6 if name.endswith("zeros.csv") else 0
    with tarfile.open(packed) as tar, tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=1) as other:
        for each in tar:
            other.addfile(each, tar.extractfile(each))
        other.addfile(info, io.BytesIO(bytes(info.size)))
    assert refused(tmp_path / "a.tar.gz").startswith(message)


def test_what_is_no_whole_archive_is_refused(packed, tmp_path, refused):
    data = packed.read_bytes()
    plain = gzip.decompress(data)
    for content in (
        data[: len(data) // 2],
        data[:1000] + bytes([data[1000] ^ 1]) + data[1001:],
        gzip.compress(plain[: len(plain) // 2], 1),
    ):
        (tmp_path / "a.tar.gz").write_bytes(content)
        assert refused(tmp_path / "a.tar.gz").startswith("is truncated, corrupt or unreadable")
    for content, message in ((b"PK\x03\x04" + data, "is no .tar.gz"), (gzip.compress(bytes(10240)), "holds no file")):
        (tmp_path / "a.tar.gz").write_bytes(content)
        assert refused(tmp_path / "a.tar.gz").startswith(message)
    assert refused(tmp_path / "none.tar.gz").startswith("no such archive")
