"""Predict the evaluation images of a run, as they are and altered in five ways at five strengths, with its kept weights.

--specification is what was trained, --trained its weights.safetensors, and --weights the pretrained weights that it started from,
unless they were random. --pixels is the pixel store of the whole --manifest. --reference is the target of stain normalisation where the
run has one: altered images are normalised as those of training were.
"""

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import RunSpec


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("trained", "manifest", "folds", "pixels", "output"),
        optional=["weights", "reference"],
        specification=RunSpec.model_validate_json,
        split_by=str,
        **arguments.HARDWARE,
    )

    import numpy as np

    from histobench.datasets import folds, manifest, normalised, pixels, shifts, stain
    from histobench.io.files import write_csv
    from histobench.study import stress_settings
    from histobench.study.run_files import resampled_with
    from histobench.training import device as devices
    from histobench.training import kept_weights
    from histobench.training.altered import Altered
    from histobench.training.microbatch import MicroBatch

    spec = given.specification
    images = manifest.load(given.manifest)
    split = folds.load(given.folds, images, given.split_by, [spec.magnification])
    _, rows = split.rows(images, spec.fold, spec.magnification)
    store = pixels.load(given.pixels, len(images), spec.model.image_size)
    method, target = normalised.reference(given.reference) if given.reference else ("", np.empty(0))
    device = devices.choose(given.device, given.threads, given.share)
    module = kept_weights.load(spec, given.weights, given.trained, device)
    micro = MicroBatch(given.micro_batch or None, spec.recipe.batch_size, device)
    written = []
    for shift, strength in stress_settings.CONDITIONS:

        def alter(row: int, shift: str = shift, strength: int = strength) -> np.ndarray:
            image = shifts.altered(store[row], shift, strength, (images[row].width, images[row].height))
            return stain.normalise(image, stain.measure(image, method), target) if method else image

        logits = kept_weights.logits(module, Altered(rows, alter, given.threads), micro, given.trained)
        for row, logit in zip(rows, logits, strict=True):
            image = images[row]
            group, label = resampled_with(image, given.split_by), int(image.label == "malignant")
            values = (image.image_id, group, label, shift, strength, f"{logit:.9g}")
            written.append(dict(zip(stress_settings.COLUMNS, values, strict=True)))
    write_csv(given.output, stress_settings.COLUMNS, written)


if __name__ == "__main__":
    run_script(main)
