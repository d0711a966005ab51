"""Compute heat maps of the errors that the figure shows, with the weights that runs kept.

The .npz file has for each of these images its map (h, w) of evidence of malignant, under MODEL/MODE/FOLD/IMAGE, and for each arm
the text that the figure shows beside its name, under MODEL/MODE. Runs whose weights are not there are named on stderr and left out.
"""

import sys

from histobench.io.errors import HistoBenchError, run_script
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("study", "summary", "manifest", "output"),
        several=["predictions", "pixels"],
        **arguments.HARDWARE,
    )

    import numpy as np
    import torch

    from histobench.datasets import manifest, pixels
    from histobench.evaluation import confident_errors, predictions
    from histobench.io.files import read_csv, write_arrays
    from histobench.models import heat_maps
    from histobench.report.overlays import rank_correlation, towards_call
    from histobench.report.tables.confident_errors_table import drawn_arms
    from histobench.study import resolved
    from histobench.study.kept_runs import kept_run
    from histobench.study.runs import Run
    from histobench.training import device as devices
    from histobench.training import kept_weights

    study = resolved.load(given.study)
    runs, _ = predictions.read_runs(given.predictions)
    folders = {Run.of(str(path)): path.parent for path in given.predictions}
    images = manifest.load(given.manifest)
    rows = {image.image_id: row for row, image in enumerate(images)}
    stores = {path.stem: path for path in given.pixels}
    device = devices.choose(given.device, given.threads, given.share)
    errors = confident_errors.by_arm(runs)
    arrays: dict[str, np.ndarray] = {}
    for arm in drawn_arms(read_csv(given.summary, ("accuracy_mean",)), study):
        own, found, shuffled, logits, method = errors.get(arm.key, []), [], [], [], ""
        for run in sorted({error.run for error in own}):
            part = [error for error in own if error.run == run]
            try:
                kept = kept_run(folders[run])
                module = kept_weights.load(kept.spec, kept.weights, kept.trained, device, kept.tokenizer)
            except HistoBenchError as error:
                print(f"warning: {error}", file=sys.stderr)
                continue
            size = kept.spec.model.image_size
            store = pixels.load(stores[f"{size}px"], len(images), size)
            batch = torch.from_numpy(store[[rows[error.image_id] for error in part]]).to(device)
            with devices.autocast(device):
                method, maps = heat_maps.maps(module, batch)
                heat_maps.shuffle_parameters(module)
                _, others = heat_maps.maps(module, batch)
            arrays |= {error.key: heat for error, heat in zip(part, maps, strict=True)}
            found, shuffled = [*found, *maps], [*shuffled, *others]
            logits += [error.logit for error in part]
        if found:
            pair = (towards_call(np.array(some), np.array(logits)) for some in (found, shuffled))
            text = (
                f"{method}; mean rank correlation with the maps of shuffled parameters: {rank_correlation(*pair):.2f}"
            )
            arrays["/".join(arm.key)] = np.array(text)
    write_arrays(given.output, arrays)


if __name__ == "__main__":
    run_script(main)
