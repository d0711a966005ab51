"""Metadata of a packed study in the forms that archives and search engines read.

`ro-crate-metadata.json` describes every file of the archive as an RO-Crate with the profile Process Run Crate: which software made
the results of which inputs. `croissant.json` beside each manifest describes images and folds in Croissant's terms, so that
`mlcroissant` loads them.
"""

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from histobench.study import paths
from histobench.study.outputs import CONTENTS, papers

if TYPE_CHECKING:
    from histobench.study.config import Config

CRATE, CROISSANT = "ro-crate-metadata.json", "croissant.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
KINDS = {
    "predictions.csv": "Logit of each evaluation image of a run",
    "history.csv": "Losses and scores of each epoch of a run",
    "run.json": "Settings, software, hardware and time of a run",
    "manifest.csv": "The images of a dataset: label, patient, magnification, SHA-256 of their pixels",
    CROISSANT: "Croissant metadata of the manifest and folds beside it",
    "report.html": "The report: open it in a browser",
    "configuration.json": "The configuration of the study",
    "environment.json": "Commit, Python and packages of the machine that packed the study",
    "study.json": "The resolved study: arms, labels, recipes",
    "CHECKLIST.md": "Reporting checklists, filled in as far as the study tells",
}
"""What a file of this name holds."""


def croissants(config: "Config", members: Mapping[str, bytes], date: str) -> dict[str, bytes]:
    """Return the Croissant metadata of each dataset of a study by their path; `members` have its manifests and folds."""
    splits: dict[str, list[str]] = {name: [] for name in config.used_datasets}
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in config.runs):
        splits[dataset].append(split)
    found = {}
    for dataset, names in splits.items():
        manifest = config.path(paths.MANIFEST, dataset=dataset)
        folds = {name: config.path(paths.FOLDS, dataset=dataset, split=name) for name in names}
        content = _croissant(config, dataset, manifest, folds, members, date)
        found[f"{PurePosixPath(manifest).parent}/{CROISSANT}"] = _json(content)
    return found


def _croissant(
    config: "Config", dataset: str, manifest: str, folds: Mapping[str, str], members: Mapping[str, bytes], date: str
) -> dict[str, Any]:
    import mlcroissant

    folder = PurePosixPath(manifest).parent
    settings = config.datasets[dataset]

    def table(name: str, path: str) -> tuple[Any, Any]:
        """Return a CSV as a file, and its rows as a set of records."""
        place = PurePosixPath(path).relative_to(folder).as_posix()
        file = mlcroissant.FileObject(
            id=place, name=place, content_url=place, encoding_formats=["text/csv"], sha256=_sha256(members[path])
        )
        columns = members[path].decode().partition("\n")[0].split(",")
        integers = ("magnification", "width", "height", "images")
        fields = [
            mlcroissant.Field(
                id=f"{name}/{column}",
                name=column,
                data_types=[mlcroissant.DataType.INTEGER if column in integers else mlcroissant.DataType.TEXT],
                source=mlcroissant.Source(file_object=place, extract=mlcroissant.Extract(column=column)),
            )
            for column in columns
        ]
        return file, mlcroissant.RecordSet(id=name, name=name, key=[f"{name}/{columns[0]}"], fields=fields)

    tables = [table("images", manifest), *(table(f"folds-{split}", path) for split, path in folds.items())]
    files, records = zip(*tables, strict=True)
    count = members[manifest].count(b"\n") - 1
    origin = (
        "They are SYNTHETIC." if settings.synthetic else f"Licence of the images: {settings.licence or 'not stated'}."
    )
    metadata = mlcroissant.Metadata(
        name=dataset,
        description=f"The {count} images of the dataset {dataset}, and the folds of the study {config.study}: a row for each "
        f"image or group. Images are not part of it. {origin}",
        license=["generated" if settings.synthetic else settings.licence or "not stated"],
        url=settings.url,
        cite_as=settings.citation or "not stated",
        date_published=datetime.fromisoformat(date),
        version="1.0.0",
        distribution=list(files),
        record_sets=list(records),
    )
    return metadata.to_json()


def crate(config: "Config", members: Mapping[str, bytes], commit: str, date: str) -> bytes:
    """Return the RO-Crate metadata of an archive of `members`, made with the code of a `commit`; `date` is YYYY-MM-DD."""
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    made = ROCrate()
    made.name = f"Results of the study {config.study}"
    made.description = " ".join([f"{len(config.runs)} training runs of HistoBench and their report.", *config.notes])
    made.datePublished = date
    terms = ContextEntity(
        made, "#licence", {"@type": "CreativeWork", "name": "Licence", "description": licence(config)}
    )
    software = {"@type": "SoftwareApplication", "name": "HistoBench", "version": commit or "not known"}
    made.license = made.add(terms)
    files = {
        name: made.add_file(
            dest_path=name,
            properties={
                "name": described(name),
                "encodingFormat": mimetypes.guess_type(name)[0] or "application/octet-stream",
                "contentSize": str(len(data)),
                "sha256": _sha256(data),
            },
        )
        for name, data in sorted(members.items())
    }
    results = f"{paths.STUDY.format(study=config.study)}/"
    action = {"@type": "CreateAction", "name": f"The report of the study {config.study}", "endTime": date}
    run = ContextEntity(made, "#report", action)
    made.add(run)
    run["instrument"] = made.add(ContextEntity(made, "#histobench", software))
    run["object"] = [
        file for name, file in files.items() if PurePosixPath(name).name in ("predictions.csv", "manifest.csv")
    ]
    run["result"] = [file for name, file in files.items() if name.startswith(results)]
    made.root_dataset["mentions"] = run
    profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    made.root_dataset["conformsTo"] = made.add(ContextEntity(made, PROFILE, profile))
    return _json(made.metadata.generate())


def described(name: str) -> str:
    """Return what a file of an archive holds, in a few words."""
    path = PurePosixPath(name)
    if path.parent.name in ("tables", "figures"):
        kind = path.parent.name.removesuffix("s").capitalize()
        known = CONTENTS.get(papers(path.name.partition(".")[0]), (path.stem, path.stem))
        return f"{kind}: {known[0].replace('-', ' ')}"
    return KINDS.get(path.name, path.stem.replace("_", " ").replace("-", " "))


def licence(config: "Config") -> str:
    """Return what is known of the terms under which a study's files may be used."""
    own = {name: config.datasets[name] for name in config.used_datasets}
    terms = (
        f"{name}: {'synthetic images' if one.synthetic else one.licence or 'not stated'}" for name, one in own.items()
    )
    return f"Its owner has not stated a licence for these results. Licences of the images, which are not in it: {'; '.join(terms)}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode()
