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

from histobench.io.errors import HistoBenchError
from histobench.tools import bundle, pack, verify
from histobench.tools.studies import study

ROOT = Path(__file__).parents[2]
RUN = "results/made-up/runs/small/ft/patient/40x/none/fold1"
NEVER = {"train", "predict", "features", "tokens", "pixels", "manifest", "folds", "synthesize", bundle.SAMPLES}
Members = dict[str, bytes]


def tool(name: str, *arguments: object, cwd: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of this checkout as `make` does, its temporary files in a folder of their own."""
    return subprocess.run(
        [sys.executable, "-m", f"histobench.tools.{name}", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory) -> Path:
    """The archive of the finished tiny study."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "temporary").mkdir()
    before = tree(finished.folder)
    ended = tool(
        *("pack", "--configfile", "config/tiny.yaml", "--output", folder / "tiny.tar.gz"),
        cwd=finished.folder,
        temporary=folder / "temporary",
    )
    assert ended.returncode == 0, ended.stdout
    assert f"SHA-256 {hashlib.sha256((folder / 'tiny.tar.gz').read_bytes()).hexdigest()}" in ended.stdout
    assert " 42 runs, " in ended.stdout
    assert tree(finished.folder) == before
    assert not any((folder / "temporary").iterdir())
    return folder / "tiny.tar.gz"


def tree(folder: Path) -> set[str]:
    """Return the files below a folder; compiled code is nobody's concern."""
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def members_of(archive: Path) -> Members:
    """Read an archive by the standard library; names are as they are in it."""
    with tarfile.open(archive) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def repacked(archive: Path, output: Path, change: Callable[[Members], None], anew: bool = False) -> Path:
    """Write an archive with changed members, names being paths inside the study; with checksums made anew if wanted."""
    members = {name.removeprefix("tiny/"): data for name, data in members_of(archive).items()}
    change(members)
    if anew:
        names = sorted(members.keys() - {"CHECKSUMS.sha256"})
        lines = [f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in names]
        members["CHECKSUMS.sha256"] = "".join(lines).encode()
    pack.write(members, "tiny", output)
    return output


def refusal(archive: Path, folder: Path, monkeypatch) -> str:
    """Return the sentence with which an archive is refused, having checked that it is one and that nothing is left."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(HistoBenchError) as caught:
        verify.verify(archive, lambda line: None)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"{archive}: ")
    assert str(folder) not in sentence
    assert not any(folder.iterdir())
    return sentence.removeprefix(f"{archive}: ")


# ---- the round trip ----


def test_a_packed_study_is_verified_and_its_tables_rebuilt(packed, tmp_path):
    ended = tool("verify", packed, cwd=tmp_path, temporary=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.splitlines()[-1] == (
        "VERIFIED: every table of study tiny, and its page, follow from its predictions."
    )
    assert "14 predict each image of their fold once" in ended.stdout
    rows = re.findall(r"^(\w[\w ]+?) +(\d+) +(\d+) +(\d+) +(\d+)$", ended.stdout, re.MULTILINE)
    counts = {kind: tuple(map(int, numbers)) for kind, *numbers in rows}
    names = [name for name in members_of(packed) if name.startswith("tiny/results/studies/tiny/tables/")]
    assert counts["tables"] == (len(names), len(names), 0, 0)
    assert {"claims", "intervals and comparisons", "scores", "parameters", "costs", "census", "page"} < counts.keys()
    assert all(files == identical for files, identical, _, _ in counts.values())
    assert not any(tmp_path.iterdir())


def test_packing_twice_gives_the_same_bytes(packed, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished.folder)
    monkeypatch.setattr(
        sys, "argv", ["pack", "--configfile", "config/tiny.yaml", "--output", f"{tmp_path}/again.tar.gz"]
    )
    pack.main()
    assert (tmp_path / "again.tar.gz").read_bytes() == packed.read_bytes()
    with tarfile.open(packed) as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos] == sorted(info.name for info in infos)
    assert {(info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) for info in infos} == {
        (315532800, 0, 0, "", "", 0o644)
    }


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_sha256sum_checks_the_unpacked_folder(packed, tmp_path):
    subprocess.run(["tar", "-xzf", packed, "-C", tmp_path], check=True)
    check = ["sha256sum", "--check", "--strict", "--quiet", "CHECKSUMS.sha256"]
    ended = subprocess.run(check, cwd=tmp_path / "tiny", capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    listed = {line.split("  ")[1] for line in (tmp_path / "tiny/CHECKSUMS.sha256").read_text().splitlines()}
    files = {
        path.relative_to(tmp_path / "tiny").as_posix() for path in (tmp_path / "tiny").rglob("*") if path.is_file()
    }
    assert files == listed | {"CHECKSUMS.sha256"}


def test_no_pixels_weights_logs_or_paths_are_inside(packed, finished):
    members = members_of(packed)
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
    for name, data in members.items():
        assert not data.startswith(raster), name
        assert not any(place in data for place in places), name
        if not data.startswith(b"%PDF"):
            data.decode("utf-8")
        assert b"/Subtype /Image" not in data, name
        assert not re.search(rb"data:image/(png|jpe?g|gif|webp|tiff|bmp)[^\"']{40}", data), name
        assert not re.search(r"\.(png|jpe?g|tiff?|npy|pth?|safetensors|log|gz)$|/logs/|/benchmarks/", name)
        assert not re.search(r"figures/figure[12]\.", name)
    page = members["tiny/results/studies/tiny/report.html"].decode()
    assert 'id="figure1"' in page
    assert "not passed on with the results" in page
    shown = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert len(shown) == len([name for name in members if name.endswith(".svg")]) > 5
    assert all(b"<image" not in base64.b64decode(picture) for picture in shown)
    assert not re.search(r'href="figures/[^"]*\.png"|href="figures/figure1', page)


def test_what_is_packed_is_what_the_study_has(packed, finished):
    members = members_of(packed)
    for name in ("metrics.csv", "comparisons.csv", "claims.csv", "tables/table4.tex", "figures/figure5.pdf"):
        path = f"results/studies/tiny/{name}"
        assert members[f"tiny/{path}"] == (finished.folder / path).read_bytes()
    for path in (finished.folder / "results").glob("*/runs/**/*.*"):
        assert members[f"tiny/{path.relative_to(finished.folder)}"] == path.read_bytes()
    assert members["tiny/config/tiny.yaml"] == finished.tiny.read_bytes()
    assert members["tiny/scripts/score.py"] == (ROOT / "scripts/score.py").read_bytes()
    recorded = json.loads(members["tiny/environment.json"])
    assert recorded["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "snakemake"} <= recorded["packages"].keys()


# ---- a study that is not finished ----


@pytest.fixture
def copy(finished, tmp_path, monkeypatch) -> Path:
    """A copy of what the finished study is packed from, as the working directory."""
    for name in ("config", "results"):
        ignored = shutil.ignore_patterns("*.npy", "*.gz", "logs", "benchmarks")
        shutil.copytree(finished.folder / name, tmp_path / name, ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused_to_pack(monkeypatch, capsys, output: str = "out.tar.gz") -> str:
    monkeypatch.setattr(sys, "argv", ["pack", "--configfile", "config/tiny.yaml", "--output", output])
    with pytest.raises(SystemExit):
        pack.run_script(pack.main)
    assert not Path(output).exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_an_unfinished_study_is_not_packed(copy, monkeypatch, capsys):
    (copy / RUN / "history.csv").unlink()
    record = copy / RUN.replace("fold1", "fold2") / "run.json"
    record.write_text(record.read_text().replace('"learning_rate": 0.0001', '"learning_rate": 0.0002'))
    (copy / "results/studies/tiny/tables/table4.tex").unlink()
    (copy / "results/studies/tiny/report.html").unlink()
    sentence = refused_to_pack(monkeypatch, capsys)
    assert sentence.startswith(
        f"study tiny is not finished: 2 of 14 runs (first: {RUN}), 1 of 71 tables (first: results/"
    )
    assert "1 of 17 figures and pages" in sentence
    assert sentence.endswith("run `snakemake --configfile config/tiny.yaml` to the end, then pack it")


def test_a_chart_with_an_image_in_it_is_not_packed(copy, monkeypatch, capsys):
    chart = copy / "results/studies/tiny/figures/cost.svg"
    pixels = base64.b64encode(b"\x89PNG" + bytes(100)).decode()
    chart.write_text(chart.read_text().replace("</svg>", f'<image href="data:image/png;base64,{pixels}"/></svg>'))
    assert refused_to_pack(monkeypatch, capsys).startswith(
        "results/studies/tiny/figures/cost.svg: holds an image in an address, and no archive may; "
    )


def test_a_path_of_the_machine_is_not_packed(copy, monkeypatch, capsys):
    gaps = copy / "results/studies/tiny/gaps.csv"
    gaps.write_text(gaps.read_text() + f"somewhere,{copy}/results/x.csv: is missing\n")
    assert refused_to_pack(monkeypatch, capsys).startswith(f"results/studies/tiny/gaps.csv: names {copy}, a folder of")


def test_paths_that_lead_out_of_the_project_are_packed_as_file_names(copy):
    (copy / "config/mine.yaml").write_text(
        "datasets:\n  mine: {source: /home/me/slides/Gewebe 1.tar.gz}  # and /home/me/slides\n"
        "  near: {source: resources/near/near.zip}\n"
    )
    config = study([Path("config/tiny.yaml"), Path("config/mine.yaml")])
    members = pack.contents(config, bundle.made(config), [Path("config/tiny.yaml"), Path("config/mine.yaml")])
    assert json.loads(members["configuration.json"])["datasets"]["mine"] == {"source": "Gewebe 1.tar.gz"}
    assert members["config/mine.yaml"].decode().splitlines()[1:] == [
        "  mine: {source: Gewebe 1.tar.gz}  # and /home/me/slides",
        "  near: {source: resources/near/near.zip}",
    ]


# ---- archives that were changed, with checksums made anew ----


def test_a_changed_prediction_changes_the_tables_that_are_named(packed, tmp_path):
    """One logit gets the other sign: one image of twelve is called otherwise."""
    columns: dict[str, str] = {}

    def change(members: Members) -> None:
        lines = members[f"{RUN}/predictions.csv"].decode().splitlines()
        image, patient, fold, label, logit, best = lines[1].split(",")
        flipped = logit.removeprefix("-") if logit.startswith("-") else f"-{logit}"
        lines[1] = ",".join((image, patient, fold, label, flipped, best))
        members[f"{RUN}/predictions.csv"] = ("\n".join(lines) + "\n").encode()
        scores = csv.DictReader(io.StringIO(members["results/studies/tiny/metrics.csv"].decode()))
        columns.update(next(scores))
        right = (float(logit) >= 0) == (label == "1")
        columns["changed"] = str(float(columns["accuracy"]) + (-1 if right else 1) / 12)

    archive = repacked(packed, tmp_path / "changed.tar.gz", change, anew=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ended = tool("verify", archive, cwd=tmp_path, temporary=temporary)
    assert ended.returncode == 1
    found = re.search(
        r"studies/tiny/metrics.csv, line 2 \((.*?)\), column (\w+): packed (\S+), rebuilt (\S+)", ended.stdout
    )
    assert found, ended.stdout
    assert found[1] == "made-up small ft patient 40 none 1 last"
    assert (found[2], found[3]) == ("accuracy", columns["accuracy"])
    assert float(found[4]) == pytest.approx(float(columns["changed"]))
    for name in ("tables/table4.csv", "intervals.csv", "report.html"):
        assert f"  studies/tiny/{name}, line " in ended.stdout
    assert "tables/table2.csv" not in ended.stdout
    assert "small/ft/patient/40x/none/fold1/history.csv, line 2, column accuracy: " in ended.stdout
    assert re.match(r"DIFFERENT: \d+ files of study tiny do not follow ", ended.stdout.splitlines()[-1])
    assert not any(temporary.iterdir())


def edited(name: str, old: str, new: str) -> Callable[[Members], None]:
    """Return a change of a text's first occurrence in a member."""

    def change(members: Members) -> None:
        text = members[name].decode()
        assert old in text
        members[name] = text.replace(old, new, 1).encode()

    return change


def reconfigured(**changes: object) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members["configuration.json"] = json.dumps(json.loads(members["configuration.json"]) | changes).encode()

    return change


def without(name: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        del members[name]

    return change


def regrouped(members: Members) -> None:
    """Let one patient evaluate in both folds, and sign the folds anew."""
    name = "results/made-up/folds/patient.csv"
    lines = members[name].decode().splitlines()
    lines[1] = lines[1].replace("train", "test")
    members[name] = ("\n".join(lines) + "\n").encode()
    members[f"{name}.sha256"] = f"{hashlib.sha256(members[name]).hexdigest()}  patient.csv\n".encode()


def relabelled(members: Members) -> None:
    """Give an image the other label."""
    name = f"{RUN}/predictions.csv"
    lines = members[name].decode().splitlines()
    image, patient, fold, label, *logits = lines[3].split(",")
    lines[3] = ",".join((image, patient, fold, "10"[int(label)], *logits))
    members[name] = ("\n".join(lines) + "\n").encode()


def shortened(members: Members) -> None:
    name = f"{RUN}/predictions.csv"
    members[name] = b"\n".join(members[name].splitlines()[:-1]) + b"\n"


def exchanged(members: Members) -> None:
    """Give a run the predictions of another fold."""
    members[f"{RUN}/predictions.csv"] = members[f"{RUN.replace('fold1', 'fold2')}/predictions.csv"]


BLOCK = {"dataset": "made-up", "models": ["small"] * 1000, "modes": ["ft"] * 1000, "splits": ["patient"]}
ARMS = BLOCK | {"magnifications": [40], "augmentations": ["none"]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (regrouped, "results/made-up/folds/patient.csv: group .* is test in 2 folds instead of 1; "),
        (edited("results/made-up/folds/patient.csv", "train", "test"), "results/made-up/folds/patient.csv: was edited after"),
        (relabelled, f"{RUN}/predictions.csv, line 4: is image .*, label [01], but the fold and the manifest say image"),
        (shortened, f"{RUN}/predictions.csv, line 13: is no row, but the fold and the manifest say image "),
        (exchanged, f"{RUN}/predictions.csv, line 2: is image .* but the fold and the manifest say image "),
        (
            edited(f"{RUN}/run.json", '"seed": 0', '"seed": 1'),
            f"{RUN}/run.json: is of other settings than the configuration",
        ),
        (edited(f"{RUN}/run.json", '"training": 12', '"training": 13'), f"{RUN}/run.json: counts the images "),
        (
            edited(f"{RUN}/run.json", '"training images": "', '"training images": "0'),
            f"{RUN}/run.json: its training images are not those of fold and manifest",
        ),
        (reconfigured(seed=5), "results/.*/run.json: is of other settings than the configuration"),
        (reconfigured(study="other"), "its folder is called tiny, but its configuration is that of study other"),
        (reconfigured(grid=[ARMS]), "configuration.json: is a grid of 10000[0-9]{2} arms, more than an archive can hold"),
        (reconfigured(grid=3), "configuration.json: is no configuration of a study"),
        (reconfigured(comparisons={"draws": 10**9}), "comparisons.draws: expected at most 1000000, found 1000000000"),
        (reconfigured(surprise=1), "surprise: unknown key"),
        (without("configuration.json"), "configuration.json: is missing"),
        (without("results/studies/tiny/tables/table4.csv"), "of the files .* results/studies/tiny/tables/table4.csv is missing"),
        (without(f"{RUN}/history.csv"), f"of the files that study tiny is made of, {RUN}/history.csv is missing"),
        (lambda members: members.update({"results/more.csv": b"a\n"}), "results/more.csv is no part of study tiny"),
        (
            lambda members: members.update({f"{RUN}/photo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256))}),
            f"member tiny/{RUN}/photo.png is no text; ",
        ),
    ],
)  # fmt: skip
def test_a_changed_archive_with_new_checksums_is_refused(packed, tmp_path, monkeypatch, change, sentence):
    archive = repacked(packed, tmp_path / "changed.tar.gz", change, anew=True)
    assert re.match(sentence, refusal(archive, tmp_path / "temporary", monkeypatch))


def test_a_changed_page_or_chart_is_named(packed, tmp_path, monkeypatch):
    """Nothing is rebuilt for it here: the comparison is given what the rebuilding would give."""
    page = members_of(packed)["tiny/results/studies/tiny/report.html"]
    digit = re.search(rb'<data value="0\.(\d)', page)
    assert digit
    wrong = page[: digit.start(1)] + bytes([(digit[1][0] - 47) % 10 + 48]) + page[digit.end(1) :]
    found = verify.compare(verify._comparable(wrong, {}), verify._comparable(page, {}), "report.html")
    assert found.outcome == "differing"
    assert "line " in found.where
    other = re.sub(rb"<dt>Code</dt><dd>.*?</dd>", b"<dt>Code</dt><dd>commit 12ab</dd>", page)
    assert other != page
    assert verify._comparable(other, {}) == verify._comparable(page, {})


# ---- archives that are none ----


def test_a_changed_digit_is_found_by_its_checksum(packed, tmp_path, monkeypatch):
    archive = repacked(packed, tmp_path / "a.tar.gz", edited(f"{RUN}/predictions.csv", "0.", "1."))
    sentence = refusal(archive, tmp_path / "temporary", monkeypatch)
    assert sentence == f"of the files in CHECKSUMS.sha256, {RUN}/predictions.csv is changed; get an unchanged copy"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without(f"{RUN}/run.json"), f"of the files in CHECKSUMS.sha256, {RUN}/run.json is missing; "),
        (
            lambda members: members.update({"results/b.csv": b"a\n", "results/a.csv": b"a\n"}),
            "of the files in CHECKSUMS.sha256, results/a.csv and 1 other are in no line of it; ",
        ),
        (without("CHECKSUMS.sha256"), "CHECKSUMS.sha256 is missing; "),
        (edited("CHECKSUMS.sha256", "  ", " "), "CHECKSUMS.sha256, line 1: found "),
        (lambda members: members.update({"../../evil.csv": b"a\n"}), "member tiny/../../evil.csv leads out of its folder by "),
        (lambda members: members.update({"README.md/inside": b"a\n"}), "member tiny/README.md/inside cannot be written "),
    ],
)  # fmt: skip
def test_members_that_no_checksum_covers_are_refused(packed, tmp_path, monkeypatch, change, sentence):
    archive = repacked(packed, tmp_path / "a.tar.gz", change)
    assert refusal(archive, tmp_path / "temporary", monkeypatch).startswith(sentence)
    assert not (tmp_path / "evil.csv").exists()
    assert not (tmp_path.parent / "evil.csv").exists()


def with_member(archive: Path, output: Path, info: tarfile.TarInfo, data: bytes = b"") -> Path:
    """Write an archive with one more member, as it is."""
    with tarfile.open(archive) as tar, tarfile.open(output, "w:gz") as other:
        for each in tar:
            other.addfile(each, tar.extractfile(each))
        info.size = len(data)
        other.addfile(info, io.BytesIO(data))
    return output


def test_links_twins_and_strangers_are_refused(packed, tmp_path, monkeypatch):
    link = tarfile.TarInfo("tiny/results/link.csv")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    twin, stranger, device = (tarfile.TarInfo(name) for name in ("tiny/README.md", "elsewhere/a.csv", "tiny/null"))
    device.type = tarfile.CHRTYPE
    for info, fault in (
        (link, "member tiny/results/link.csv is a link"),
        (twin, "member tiny/README.md occurs twice"),
        (stranger, "member elsewhere/a.csv stands beside the study's one folder"),
        (device, "member tiny/null is a device or special file"),
    ):
        archive = with_member(packed, tmp_path / "a.tar.gz", info)
        assert refusal(archive, tmp_path / "temporary", monkeypatch).startswith(fault)


def test_what_is_no_whole_archive_is_refused(packed, tmp_path, monkeypatch):
    data = packed.read_bytes()
    plain = gzip.decompress(data)
    for content, fault in (
        (data[: len(data) // 2], "is truncated, corrupt or unreadable"),
        (data[:-1], "is truncated, corrupt or unreadable"),
        (data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "is truncated, corrupt or unreadable"),
        (gzip.compress(plain[: len(plain) // 2]), "is truncated, corrupt or unreadable"),
        (b"PK\x03\x04" + data, "is no .tar.gz; "),
        (b"", "is no .tar.gz; "),
        (gzip.compress(bytes(10240)), "holds no file; "),
    ):
        (tmp_path / "a.tar.gz").write_bytes(content)
        assert refusal(tmp_path / "a.tar.gz", tmp_path / "temporary", monkeypatch).startswith(fault)
    assert refusal(tmp_path / "none.tar.gz", tmp_path / "temporary", monkeypatch).startswith("no such archive; ")
    assert refusal(tmp_path, tmp_path / "temporary", monkeypatch).startswith("is truncated, corrupt or unreadable")


def test_a_bomb_is_not_unpacked(packed, tmp_path, monkeypatch):
    """70 MB of zeros in one member; and zeros after the archive's end, of which no more is read than the limit."""
    large = with_member(packed, tmp_path / "a.tar.gz", tarfile.TarInfo("tiny/results/zeros.csv"), bytes(70 * 10**6))
    assert large.stat().st_size < 2 * 10**6
    assert "member tiny/results/zeros.csv declares 70000000 bytes" in refusal(
        large, tmp_path / "temporary", monkeypatch
    )
    monkeypatch.setattr(verify, "MAX_BYTES", 10**7)
    sentence = refusal(large, tmp_path / "temporary", monkeypatch)
    assert sentence == "swells to more than 10000000 bytes, as no study does"


# ---- what is run for an archive that is not trusted ----


def test_nothing_but_tables_and_charts_is_run(tmp_path, monkeypatch):
    """Whatever the configuration names, no rule that reads images, downloads or trains is among those allowed."""
    monkeypatch.chdir(ROOT)
    made = bundle.made(study())
    rules = {*made.tables.values(), *made.figures.values(), bundle.PAGE}
    assert not rules & (NEVER | {rule for rule in rules if rule.startswith("fetch")})
    assert {"score", "compare", "claims", "score_external", "table_results", "figure_accuracy"} <= rules
    assert {Path(path).name for path in made.samples} == {
        f"figure{number}.{form}" for number in (1, 2) for form in ("svg", "pdf", "png")
    }


def test_the_workflow_gets_no_path_of_an_archives(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "hostile.yaml").write_text(
        "device: cuda\n"
        "datasets:\n"
        "  breakhis: {format: breakhis, source: resources/breakhis/x.gz, url: 'http://127.0.0.1:1/x', sha256: "
        f"{'a' * 64}}}\n"
        "  bach: {source: /, url: null}\n"
        "  other: {format: csv, source: /etc, table: /etc/passwd}\n"
        f"models: {{resnet34: {{weights: {{file: /etc/shadow/net.pth, sha256: {'b' * 64}}}}}}}\n"
        "splits: {official: {by: official, folds: 2, files: [/etc/passwd, ../../secret]}}\n"
    )
    config = study([tmp_path / "hostile.yaml"])
    given = json.dumps(bundle._harmless(config, tmp_path))
    for word in ("/etc", "passwd", "shadow", "secret", "cuda"):
        assert word not in given
    sources = {name: dataset["source"] for name, dataset in json.loads(given)["datasets"].items()}
    assert sources == {name: f"resources/{name}/absent" for name in ("breakhis", "bach", "other")}
    # Each is there, so that whatever is asked for, nothing is downloaded.
    summary = bundle.snakemake(tmp_path, config, ["all"], "--summary").stdout
    assert "\tscore\t" in summary
    assert "\tfetch_dataset\t" not in summary
    assert bundle.made(config) == bundle.made(study())


# ---- the parts ----


@pytest.mark.parametrize(
    ("packed", "rebuilt", "outcome", "where"),
    [
        ("a,b\n1,0.5\n", "a,b\n1,0.5\n", "identical", ""),
        ("a,b\n1,0.5\n", "a,b\n1,0.50000000000001\n", "rounding", ""),
        ("a,b\nx,0.5\n", "a,b\nx,0.5001\n", "differing", ", line 2 (x), column b: packed 0.5, rebuilt 0.5001"),
        ("a,b\nx,12\n", "a,b\nx,13\n", "differing", ", line 2 (x 12), column b: packed 12, rebuilt 13"),
        ("a,b\nx,yes\n", "a,b\nx,no\n", "differing", ", line 2 (x yes), column b: packed yes, rebuilt no"),
        ("a,b\nx,1.0\n", "a,b\nx,1.0\ny,2.0\n", "differing", ", line 3: packed [], rebuilt ['y', '2.0']"),
        ("a,b\nx,1\n", "a,c\nx,1\n", "differing", ", line 1: packed 'a,b', rebuilt 'a,c'"),
        ('a,b\n"x",1\n', "a,b\nx,1\n", "differing", """, line 2: packed '"x",1', rebuilt 'x,1'"""),
        ("a,b\r\n", "a,b\n", "differing", ": the ends of its lines"),
    ],
)
def test_the_first_difference_is_named(packed, rebuilt, outcome, where):
    assert verify.compare(packed.encode(), rebuilt.encode(), "t.csv") == verify.Outcome(outcome, where)


def test_a_difference_in_a_text_is_named_by_its_line():
    found = verify.compare(b"**Table**\n| 0.91 |\n", b"**Table**\n| 0.92 |\n", "t.md")
    assert found == verify.Outcome("differing", ", line 2: packed '| 0.91 |', rebuilt '| 0.92 |'")
    assert verify.compare(b"| 0.3000000000000001 |\n", b"| 0.3 |\n", "t.md").outcome == "rounding"


def _address(kind: str, data: bytes) -> bytes:
    return f"<img src='data:{kind};base64,{base64.b64encode(data).decode()}'>".encode()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("Größe,1\n".encode(), None),
        (b"\x89PNG\r\n" + bytes(20), "is no text"),
        (b"text\0", "is no text"),
        (b"%PDF-1.4\n/Type /XObject /Subtype /Image\n", "is a PDF that holds an image"),
        (b"%PDF-1.4\n/Subtype /Type3\n\xff", None),
        (_address("image/svg+xml", b"<svg>a drawing that is longer than 32 bytes</svg>"), None),
        (_address("image/jpeg", b"\xff\xd8\xff" + bytes(60)), "holds an image in an address"),
        (_address("image/svg+xml", b"<svg>" + _address("image/png", bytes(60)) + b"</svg>"), "holds an image in an address"),
        (_address("application/octet-stream", bytes(60)), "holds an image in an address"),
        (b"data:image/png;base64," + b"A" * 41, "holds data in an address that cannot be read"),
        (b'kind, data = "image/png", f"data:{kind};base64,{base64.b64encode(content).decode()}"', None),
    ],
)  # fmt: skip
def test_pixels_are_known_by_their_content(data, fault):
    assert bundle.pixels_in("a", data) == fault


def test_another_code_and_other_packages_are_told(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/score.py").write_text("pass\n")
    (tmp_path / "Snakefile").write_bytes((ROOT / "Snakefile").read_bytes())
    recorded = {"commit": "abc", "tree is clean": False, "python": "3.9.1", "packages": {"numpy": "0.1\x1b[31m"}}
    (tmp_path / "environment.json").write_text(json.dumps(recorded))
    code, environment = verify.surroundings(tmp_path, {"scripts/score.py", "Snakefile"})
    assert re.match(r"Code: LICENSE and \d+ others are not as in this checkout\.", code)
    assert re.match(r"Packed from: abc, modified; python 3\.9\.1 \(.*\) and 1 other are other versions\.", environment)
    assert "\x1b" not in verify._printable(environment)
