"""Archives that are none, or hostile: each refused in one sentence, with nothing written outside of a temporary folder."""

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.tools import pack, verify
from histobench.tools.command_line import study

GRID = {"dataset": "breakhis", "splits": ["patient"], "magnifications": [40], "augmentations": ["none"]}


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """Where a test writes its archive; temporary files go to a folder that must be empty afterwards."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "a.tar.gz"


def refusal(archive: Path) -> str:
    with pytest.raises(HistoBenchError) as caught:
        verify.verify(archive, lambda line: None)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{archive}: ")
    assert {path.name for path in archive.parent.iterdir()} <= {"a.tar.gz", "temporary"}
    assert not any((archive.parent / "temporary").iterdir())
    return str(caught.value).removeprefix(f"{archive}: ")


def sealed(**files: bytes) -> dict[str, bytes]:
    """Return files with their checksums."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return files | {pack.CHECKSUMS: "".join(lines).encode()}


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("tiny/link.csv", tarfile.SYMTYPE, "member tiny/link.csv is a link"),
        ("tiny/hard.csv", tarfile.LNKTYPE, "member tiny/hard.csv is a link"),
        ("tiny/null", tarfile.CHRTYPE, "member tiny/null is a device or special file"),
        ("tiny/../../evil.csv", tarfile.REGTYPE, "member tiny/../../evil.csv leads out of its folder"),
        ("/etc/evil.csv", tarfile.REGTYPE, "member /etc/evil.csv has an absolute"),
        ("tiny/a.csv", tarfile.REGTYPE, "member tiny/a.csv occurs twice"),
        ("elsewhere/a.csv", tarfile.REGTYPE, "member elsewhere/a.csv occurs twice, or is not in the one folder"),
        ("tiny/a.csv/inside", tarfile.REGTYPE, "member tiny/a.csv/inside is a file and a folder at once"),
    ],
)
def test_hostile_members(archive, name, kind, fault):
    with tarfile.open(archive, "w:gz") as tar:
        for each, of in (("tiny/a.csv", tarfile.REGTYPE), (name, kind)):
            info = tarfile.TarInfo(each)
            info.type, info.linkname = of, "/etc/passwd" if of != tarfile.REGTYPE else ""
            tar.addfile(info, io.BytesIO())
    assert refusal(archive).startswith(fault)


def test_what_is_no_whole_archive(archive):
    pack.write({"a.csv": bytes(range(256)) * 40}, "tiny", archive)
    data = archive.read_bytes()
    for content in (data[: len(data) // 2], data[:-1], data[:60] + bytes([data[60] ^ 1]) + data[61:], b"PK", b""):
        archive.write_bytes(content)
        assert refusal(archive)
    archive.write_bytes(gzip.compress(bytes(10240)))
    assert refusal(archive).startswith("holds no file; ")
    archive.unlink()
    assert refusal(archive).startswith("no such archive; ")


def test_a_bomb_is_not_unpacked(archive, monkeypatch):
    pack.write({"zeros.csv": bytes(70 * 10**6)}, "tiny", archive)
    assert "70000000 bytes" in refusal(archive)
    pack.write({f"{number}.csv": bytes(10**6) for number in range(3)}, "tiny", archive)
    monkeypatch.setattr(verify, "MAX_BYTES", 2 * 10**6)
    assert refusal(archive).startswith("has more than 2000000 bytes")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"a": b"1"}, "CHECKSUMS.sha256 is missing"),
        (sealed(a=b"1") | {"a": b"2"}, "a is changed by CHECKSUMS.sha256"),
        (sealed(a=b"1") | {"b": b"2"}, "b is not listed by CHECKSUMS.sha256"),
        ({key: data for key, data in sealed(a=b"1", b=b"2").items() if key != "b"}, "b is missing by CHECKSUMS.sha256"),
        (sealed(a=b"1") | {pack.CHECKSUMS: b"\xff"}, "a file has another form than `make pack` writes"),
        (sealed(a=b"1"), "configuration.json: is not the configuration of a study"),
        (sealed(**{pack.CONFIGURATION: b'{"grid": 3}'}), "configuration.json: is not the configuration of a study"),
        (sealed(**{pack.CONFIGURATION: b"[" * 10**5}), "configuration.json: is not the configuration of a study"),
        (
            sealed(**{pack.CONFIGURATION: json.dumps({"grid": [GRID | {"models": ["a"] * 999, "modes": ["b"] * 999}]}).encode()}),
            "configuration.json: has a grid of 998001 arms, more than an archive can hold",
        ),
        (
            sealed(**{pack.CONFIGURATION: json.dumps({"grid": [], "stress": [GRID | {"models": ["a"] * 999, "modes": ["b"] * 999}]}).encode()}),
            "configuration.json: has a grid of 998001 arms, more than an archive can hold",
        ),
    ],
)  # fmt: skip
def test_files_that_are_not_as_they_were_packed(archive, files, fault):
    pack.write(files, "tiny", archive)
    assert refusal(archive).startswith(fault)


def test_the_workflow_gets_no_path_or_address_of_an_archive(folder):
    hostile = {
        "device": "cuda",
        "datasets": {
            "breakhis": {"source": "resources/breakhis/x.gz", "url": "http://127.0.0.1:1/x", "sha256": "a" * 64},
            "bach": {"source": "/", "url": None},
            "other": {"format": "csv", "source": "/etc", "table": "/etc/passwd"},
        },
        "splits": {"official": {"by": "official", "folds": 2, "files": ["/etc/passwd", "../../secret"]}},
    }
    Path("hostile.json").write_text(json.dumps(hostile))
    given = pack.harmless(study([Path("hostile.json")])).model_dump(mode="json", exclude_unset=True)
    assert {dataset["source"] for dataset in given["datasets"].values()} == {"absent"}
    assert given["device"] == "cpu"
    for word in ("/etc", "passwd", "secret", "cuda", "http", "a" * 64):
        assert word not in json.dumps([given["datasets"], given["splits"]])
    never = ("train", "predict", "features", "tokens", "pixels", "manifest", "folds", "synthesize")
    never += ("figure_samples", "figure_errors", "heat_maps")
    assert {"score", "compare", "table_results", "figure_accuracy", "claims", "page"} < pack.rules()
    assert not pack.rules() & set(never)
    assert not [rule for rule in pack.rules() if rule.startswith("fetch")]


def test_only_charts_and_the_lines_on_code_and_software_may_differ():
    page = b'<h1>Best: VGG19</h1><img src="data:image/png;base64,AAAA"><dt>Code</dt><dd>commit <code>12ab</code></dd>'
    other = page.replace(b"AAAA", b"BBBB/+=").replace(b"12ab", b"34cd")
    assert verify.comparable("report.html", other) == verify.comparable("report.html", page)
    for forged in (
        page.replace(b"VGG19", b'VGG19src="data:<script>1</script><h1>ResNet34</h1>"'),
        page.replace(b"12ab</code>", b"12ab</code><script>1</script>"),
    ):
        assert verify.comparable("report.html", forged) != verify.comparable("report.html", page)
