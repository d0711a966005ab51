"""What the user provides, checked before any job starts: images, tables, weights, hashes, fold lists and published scores."""

from pathlib import Path

from histobench.datasets.folds import check_unedited
from histobench.fetch import snapshot
from histobench.io.errors import HistoBenchError
from histobench.study import paths, published_rows
from histobench.study.config import Config


def check_given(config: Config) -> None:
    """Require that a study's images, tables and weights are there, and that hashes and fold lists are as expected.

    Snakemake deletes the outputs of a job before it starts it, so that a job's own check comes too late for these.

    Raises:
        HistoBenchError: one is missing or different.
    """
    for name in config.used_datasets:
        _check_there(config, name)
    for name in dict.fromkeys(run.dataset for run in config.runs):
        _check_pin(config, name)
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in config.runs):
        folds = Path(config.path(paths.FOLDS, dataset=dataset, split=split))
        if folds.exists() and Path(config.path(paths.FOLDS_DIGEST, dataset=dataset, split=split)).exists():
            check_unedited(folds)
        for file in config.splits[split].lists:
            if not folds.exists() and not Path(file).is_file():
                raise HistoBenchError(f"{file}: there is no such file; put it there, or correct it in splits.{split}")
    for name in dict.fromkeys(run.model for run in config.runs):
        _check_weights(config, name)
    for number, published in enumerate(config.published):
        if not Path(published.file).is_file():
            raise HistoBenchError(
                f"{published.file}: there is no such file; put it there, or correct published.{number}.file"
            )
        published_rows.read(Path(published.file), published.column)


def _check_there(config: Config, name: str) -> None:
    dataset = config.datasets[name]
    if dataset.synthetic or dataset.url:
        return
    if not Path(config.source(name)).exists():
        raise HistoBenchError(
            f"{config.source(name)}: there is no such archive or folder; put the images there, "
            f"or set datasets.{name}.source to where they are"
        )
    if dataset.table and not Path(dataset.table).exists():
        raise HistoBenchError(
            f"{dataset.table}: there is no such table; put it there, or correct datasets.{name}.table"
        )


def _check_pin(config: Config, name: str) -> None:
    """Require that a pinned hash is that of the archive, as far as it has been read since it last changed."""
    pinned, source = config.datasets[name].sha256, Path(config.source(name))
    if not pinned:
        return
    if source.is_dir():
        raise HistoBenchError(
            f"datasets.{name}.sha256: {source} is a folder, which has no SHA-256; leave the key out, or give an archive"
        )
    record = Path(config.path(paths.ARCHIVE_DIGEST, dataset=name))
    if not record.exists() or (source.exists() and source.stat().st_mtime_ns > record.stat().st_mtime_ns):
        return
    found, _, of = record.read_text(encoding="utf-8").strip().partition("  ")
    if of == str(source) and found != pinned:
        raise HistoBenchError(
            f"datasets.{name}.sha256: {source} has the SHA-256 {found}, not {pinned}; "
            "correct the key, or put the right archive there"
        )


def _check_weights(config: Config, name: str) -> None:
    """Require that a model's own weights, and the tokenizer that its text needs, are there, unless converted ones are."""
    model, text = config.models[name], config.text_files(name)
    if not all(Path(file).exists() for file in (config.path(paths.WEIGHTS, model=name), *text.values())):
        try:
            snapshot.check_own(model.weights, model.family == "encoder", bool(text))
        except HistoBenchError as error:
            raise HistoBenchError(f"models.{name}.weights: {error}") from None
