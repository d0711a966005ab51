"""A finished study packed and verified by the true commands; and archives that somebody has changed."""

import csv
import hashlib
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import mlcroissant
import pytest
from rocrate.rocrate import ROCrate

from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.tools import pack, verify
from tests.workflow.conftest import ROOT, TINY_STUDY, tool

pytestmark = pytest.mark.slow

NAMES = {"dataset": "made-up", "model": "small", "mode": "ft", "split": "patient", "magnification": 40}
RUN = TINY_STUDY.path(paths.RUN, augmentation="none", seed=0, fold=1, **NAMES)
KEPT = TINY_STUDY.path(paths.RUN, augmentation="none", seed=0, fold=1, **NAMES | {"mode": "lp-validated"})
"""A run that keeps training groups for choosing."""
FOLDS = TINY_STUDY.path(paths.FOLDS, **NAMES)
STUDY = "results/studies/tiny"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory) -> Path:
    """The archive of the finished tiny study."""
    output = tmp_path_factory.mktemp("packed") / "tiny.tar.gz"
    ended = tool("pack", "--configfile", "config/tiny.yaml", "--output", output, cwd=finished.folder)
    assert ended.returncode == 0, ended.stdout
    assert hashlib.sha256(output.read_bytes()).hexdigest() in ended.stdout
    return output


def members_of(archive: Path, study: str = "tiny") -> Members:
    """Return the members of a study's archive, by their path in the study's folder."""
    with tarfile.open(archive) as tar:
        return {info.name.removeprefix(f"{study}/"): tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def changed(archive: Path, output: Path, *changes: Callable[[Members], None], study: str = "tiny") -> Path:
    """Write a study's archive with changed members and new checksums."""
    members = members_of(archive, study)
    for change in changes:
        change(members)
    del members[pack.CHECKSUMS]
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items())
    pack.write(members | {pack.CHECKSUMS: "".join(lines).encode()}, study, output)
    return output


def edited(name: str, old: str, new: str) -> Callable[[Members], None]:
    """Return a change of the first match of a pattern in a member."""

    def change(members: Members) -> None:
        text, count = re.subn(old, new, members[name].decode(), count=1)
        assert count
        members[name] = text.encode()

    return change


def test_a_packed_study_is_verified(packed, tmp_path):
    ended = tool("verify", packed, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("VERIFIED ")
    assert re.search(r"^Runs +20 of 20 predict each image", ended.stdout, re.MULTILINE)
    assert "different" not in ended.stdout
    assert not any(tmp_path.iterdir())


def test_what_is_packed_is_what_the_study_has_without_images_and_paths(packed, finished):
    members = members_of(packed)
    for name in ("metrics.csv", "comparisons.csv", "claims.csv", "tables/table4.tex", "figures/figure5.pdf"):
        assert members[f"{STUDY}/{name}"] == (finished.folder / STUDY / name).read_bytes()
    assert members[f"{RUN}/history.csv"] == (finished.folder / RUN / "history.csv").read_bytes()
    assert not re.search(r"\.(npy|pt|safetensors|log|gz)\n|/logs/|figures/figure[12]\.", "\n".join(members) + "\n")
    folders = (finished.folder, finished.made_in, ROOT, Path.home())
    places = [str(place).encode() for place in folders if len(place.parts) > 2]
    for name, data in members.items():
        assert not any(place in data for place in places), name
        assert b"/Subtype /Image" not in data, name
    page = members[f"{STUDY}/report.html"].decode()
    assert "not passed on with the results" in page
    assert not re.search('<figure id="figure[12]">[^<]*<(?!p>)', page)
    assert json.loads(members[pack.ENVIRONMENT])["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.fixture(scope="module")
def opened(packed, tmp_path_factory) -> Path:
    """The folder of the archive's content."""
    folder = tmp_path_factory.mktemp("opened")
    for name, data in members_of(packed).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_the_crate_describes_every_file(opened, packed):
    crate = ROCrate(opened)
    files = {entity.id: entity for entity in crate.get_entities() if entity.type == "File"}
    assert files.keys() == members_of(packed).keys() - {pack.CHECKSUMS, "ro-crate-metadata.json"}
    for name, entity in files.items():
        assert entity["sha256"] == hashlib.sha256((opened / name).read_bytes()).hexdigest()
        assert entity["encodingFormat"] != "application/octet-stream" or name.endswith((".sha256", ".npz")), name
    assert "The images are SYNTHETIC." in crate.description
    (action,) = (entity for entity in crate.get_entities() if entity.type == "CreateAction")
    assert f"{STUDY}/report.html" in {file.id for file in action["result"]}
    assert sum(file.id.endswith("predictions.csv") for file in action["object"]) == 20
    commit = json.loads((opened / pack.ENVIRONMENT).read_text())["commit"]
    assert action["instrument"]["version"] == (commit or "not known")


def test_croissant_loads_the_manifest_and_the_folds(opened):
    for path in opened.glob("results/*/croissant.json"):
        dataset = mlcroissant.Dataset(jsonld=path)
        assert not dataset.metadata.ctx.issues.errors
        for records, file in (("images", "manifest.csv"), ("folds-patient", "folds/patient-*.csv")):
            (table,) = path.parent.glob(file)
            with table.open() as lines:
                wanted = [list(row.values()) for row in csv.DictReader(lines)]
            found = [
                [value.decode() if isinstance(value, bytes) else str(value) for value in row.values()]
                for row in dataset.records(records)
            ]
            assert found == wanted


def test_the_checklists_say_what_the_study_tells(opened):
    text = (opened / "CHECKLIST.md").read_text()
    items = {guideline: re.findall(r"^\| (\d+)\w? \|", part, re.MULTILINE) for guideline, part in
             (part.split("\n", 1) for part in text.split("## ")[1:])}  # fmt: skip
    assert items["CLAIM"] == [str(number) for number in range(1, 43)]
    assert list(dict.fromkeys(items["TRIPOD+AI"])) == [str(number) for number in range(1, 28)]
    assert "| 21 | Level at which partitions are disjoint | patient: no patient is on both sides of a fold." in text
    assert "made-up: " in text
    assert "The images are SYNTHETIC." in text
    assert not re.search(r"[{}]", text)


def test_studies_become_one_table(packed, tmp_path):
    """The same study twice is there once; a table that does not follow from its predictions is refused."""
    ended = tool("leaderboard", packed, packed, "--output", tmp_path, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    with (tmp_path / "leaderboard.csv").open() as file:
        table = list(csv.DictReader(file))
    summary = csv.DictReader(io.StringIO(members_of(packed)[f"{STUDY}/summary.csv"].decode()))
    wanted = {(row["dataset"], row["model"], row["mode"], row["split"], row["augmentation"]): row["accuracy_mean"]
              for row in summary if row["selection"] == "last"}  # fmt: skip
    found = {
        (row["dataset"], row["model"], row["mode"], row["split"], row["augmentation"]): row["accuracy"] for row in table
    }
    assert {key: pytest.approx(float(value)) for key, value in wanted.items()} == {
        key: float(value) for key, value in found.items()
    }
    assert len(table) == len(found)
    for key in {row["images_key"] for row in table}:
        accuracies = [float(row["accuracy"]) for row in table if row["images_key"] == key]
        assert accuracies == sorted(accuracies, reverse=True)
    # Two splits and two datasets: three sets of images and folds.
    assert len({row["images_key"] for row in table}) == len({(row["dataset"], row["split"]) for row in table}) == 3
    assert "Study tiny: The images are SYNTHETIC." in ended.stdout

    def lie(members: Members) -> None:
        rows = list(csv.DictReader(io.StringIO(members[f"{STUDY}/intervals.csv"].decode())))
        next(row for row in rows if (row["selection"], row["metric"]) == ("last", "accuracy"))["fold_mean"] = "0.99"
        written = io.StringIO()
        writer = csv.DictWriter(written, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        members[f"{STUDY}/intervals.csv"] = written.getvalue().encode()

    lying = changed(packed, tmp_path / "b.tar.gz", lie)
    ended = tool("leaderboard", lying, "--output", tmp_path / "none", cwd=tmp_path)
    assert ended.returncode == 1
    assert re.match(
        rf"error: {lying}: results/studies/tiny/intervals.csv: accuracy of .* is 0.99, by the pred", ended.stdout
    )
    assert not (tmp_path / "none").exists()


def test_changed_numbers_are_found(packed, tmp_path):
    """One logit with the other sign, so that one image of twelve is called otherwise; a table; the loss that chose an epoch."""
    expected: dict[str, float] = {}

    def flip(members: Members) -> None:
        lines = members[f"{RUN}/predictions.csv"].decode().splitlines()
        *names, label, logit, best = lines[1].split(",")
        lines[1] = ",".join((*names, label, f"-{logit}".replace("--", ""), best))
        members[f"{RUN}/predictions.csv"] = ("\n".join(lines) + "\n").encode()
        before = next(csv.DictReader(io.StringIO(members[f"{STUDY}/metrics.csv"].decode())))
        expected["before"] = float(before["accuracy"])
        expected["after"] = expected["before"] + (-1 if (float(logit) >= 0) == (label == "1") else 1) / 12

    table = edited(f"{STUDY}/tables/table3.csv", r"\d(?=\d*\n)", "x")

    def lower(members: Members) -> None:
        """Give the epoch that was not chosen the lowest loss on the validation groups."""
        chosen = json.loads(members[f"{KEPT}/run.json"])["chosen"]["epoch"]
        rows = list(csv.DictReader(io.StringIO(members[f"{KEPT}/history.csv"].decode())))
        rows[2 - chosen]["kept_loss"] = "0"
        lines = [rows[0].keys(), *(row.values() for row in rows)]
        members[f"{KEPT}/history.csv"] = "".join(",".join(line) + "\n" for line in lines).encode()

    archive = changed(packed, tmp_path / "a.tar.gz", flip, table, lower)
    ended = tool("verify", archive, cwd=tmp_path)
    assert ended.returncode == 1, ended.stdout
    found = re.search(r"studies/tiny/metrics.csv, line 2, column accuracy: packed (\S+), rebuilt (\S+)", ended.stdout)
    assert found, ended.stdout
    assert [float(number) for number in found.groups()] == pytest.approx([expected["before"], expected["after"]])
    for name in ("tables/table3.csv", "tables/table4.csv", "intervals.csv", "report.html"):
        assert f"  studies/tiny/{name}, line " in ended.stdout
    assert "tables/table2.csv" not in ended.stdout
    assert f"{RUN.removeprefix('results/')}/history.csv, line 2, column accuracy: " in ended.stdout
    assert "which run.json calls chosen, has not the lowest kept_loss" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("DIFFERENT ")


def test_a_changed_number_on_the_page_is_found(packed):
    """The comparison is given what making the page again would give."""
    page = members_of(packed)[f"{STUDY}/report.html"]
    digit = re.search(rb'<data value="0\.(\d)', page)
    assert digit
    wrong = page[: digit.start(1)] + bytes([(digit[1][0] - 47) % 10 + 48]) + page[digit.end(1) :]
    assert pack.difference(verify.comparable("report.html", wrong), verify.comparable("report.html", page))
    other = re.sub(rb"<dt>Code</dt><dd>.*?</dd>", b"<dt>Code</dt><dd>commit 12ab</dd>", page)
    assert verify.comparable("report.html", other) == verify.comparable("report.html", page)


def regrouped(members: Members) -> None:
    """Let one patient evaluate in both folds, and write the digest of the folds anew."""
    edited(FOLDS, "train", "test")(members)
    members[f"{FOLDS}.sha256"] = f"{hashlib.sha256(members[FOLDS]).hexdigest()}  {Path(FOLDS).name}\n".encode()


def shortened(members: Members) -> None:
    lines = members[f"{RUN}/predictions.csv"].splitlines()[:-1]
    members[f"{RUN}/predictions.csv"] = b"\n".join(lines) + b"\n"


def unchosen(members: Members) -> None:
    """Leave out the last column of the predictions, the logits of the chosen epoch."""
    lines = members[f"{KEPT}/predictions.csv"].decode().splitlines()
    members[f"{KEPT}/predictions.csv"] = "".join(line.rpartition(",")[0] + "\n" for line in lines).encode()


def exchanged(members: Members) -> None:
    members[f"{RUN}/predictions.csv"] = members[f"{RUN.replace('fold1', 'fold2')}/predictions.csv"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (regrouped, rf"{FOLDS} \(split by patient\): group .* is test in 2 folds instead of 1; "),
        (edited(FOLDS, "train", "test"), f"{FOLDS}: was edited"),
        (edited(f"{RUN}/predictions.csv", ",0,", ",1,"), f"{RUN}/predictions.csv, line .*: has .*, but fold and manifest"),
        (shortened, f"{RUN}/predictions.csv, line 13: has None, but fold and manifest have "),
        (exchanged, f"{RUN}/predictions.csv, line 2: fold is '2', expected 1; "),
        (edited(f"{RUN}/run.json", '"seed": 0', '"seed": 1'), f"{RUN}/run.json: has other settings than the config"),
        (edited(f"{RUN}/run.json", '"training": 12', '"training": 13'), f"{RUN}/run.json: has other numbers of images"),
        (
            edited(f"{RUN}/run.json", '"training images": "', '"training images": "0'),
            f"{RUN}/run.json: its training images are not those of fold and manifest",
        ),
        (
            edited(f"{KEPT}/run.json", r'("groups": \{\s*"benign": )1', r"\g<1>2"),
            f"{KEPT}/run.json: its validation groups are not those that the seed and the fold give",
        ),
        (unchosen, f"{KEPT}/predictions.csv: `validation` of its mode and the columns of its predictions do not agree"),
        (edited(pack.CONFIGURATION, '"study": "tiny"', '"study": "other"'), "its folder is tiny, but its configuration"),
        (edited(pack.CONFIGURATION, '"study"', '"surprise": 1, "study"'), "surprise: unknown key"),
        (lambda members: members.pop(f"{RUN}/history.csv"), f"{RUN}/history.csv is missing"),
    ],
)  # fmt: skip
def test_an_archive_that_contradicts_itself_is_refused(packed, tmp_path, change, sentence):
    archive = changed(packed, tmp_path / "a.tar.gz", change)
    with pytest.raises(HistoBenchError) as caught:
        verify.verify(archive, lambda line: None)
    assert re.match(sentence, str(caught.value).removeprefix(f"{archive}: ")), caught.value


def test_an_unfinished_study_is_not_packed(restored):
    (restored.folder / RUN / "predictions.csv").unlink()
    ended = tool("pack", "--configfile", "config/tiny.yaml", "--output", "out.tar.gz", cwd=restored.folder)
    assert ended.returncode == 1
    assert ended.stdout == (
        f"error: {RUN}: is missing or was made with other settings; run the workflow to the end, then pack the study\n"
    )
    assert not (restored.folder / "out.tar.gz").exists()
