"""Train one classifier on one fold and predict the fold's evaluation images.

A job that was stopped continues when it is started again: after SIGTERM, SIGINT, SIGHUP or SIGUSR1 from the step at which
the signal came, after SIGKILL from its last checkpoint, which is written at most once every --checkpoint-seconds. The state is in
checkpoint.pt beside the output, which is removed when the job succeeds. A job that is asked to end finishes its step, writes
the checkpoint and dies by the signal (status 143 in a shell for SIGTERM); asked again, or before training has begun, it ends at
once.

--specification is a RunSpec as JSON, --split-by the policy of the folds. It trains from --pixels, the pixel store of the whole
manifest, or from --features: embeddings for a head or a CLIP's captions, visual tokens for LoRA; --evaluation-features are the plain ones,
when --features are augmented, and --scale-features those at the other magnifications of `scales`, ascending. --weights are
pretrained ones, unless they are random or a head is trained. A model with them needs a --tokenizer for text and, where it is not
trained but asked, the --text-weights that belong to it: a language-model head, or a CLIP's text tower.
--code is the fingerprint of the code that the workflow tracks. Without it the script computes one itself, which can take longer than
training a linear head.
--gradient-checkpointing 1 saves memory: activations of a vision-language model are computed again in the backward pass.
--compile 1 compiles the layers of its decoder.
--micro-batch is the most images on the device at once. Where the memory of a GPU holds fewer, the number that it holds is kept
in a small file in the folder --found-sizes, for later jobs.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import RunSpec

STARTED = time.perf_counter()


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("manifest", "folds", "output", "history", "run"),
        optional=["pixels", "features", "evaluation_features", "weights", "found_sizes", "tokenizer", "text_weights"],
        specification=RunSpec.model_validate_json,
        split_by=str,
        code="",
        gradient_checkpointing=0,
        compile=0,
        scale_features=[],
        checkpoint_seconds=30,
        **arguments.HARDWARE,
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    import numpy as np
    import torch

    from histobench import metrics
    from histobench.io.files import atomic_path, write_csv
    from histobench.io.fingerprint import fingerprint
    from histobench.models import build, vlm
    from histobench.models.feature_heads import feature_head
    from histobench.study import class_files, run_files
    from histobench.training import at_once, inputs, zero_shot
    from histobench.training import device as devices
    from histobench.training.checkpoint import Checkpoint
    from histobench.training.fit import fit
    from histobench.training.interrupt import Interrupt
    from histobench.training.microbatch import FoundSize
    from histobench.training.record import run_record

    spec = given.specification
    names = ("manifest", "folds", "split_by", "pixels", "features", "evaluation_features")
    scales = [Path(path) for path in given.scale_features]
    files = inputs.Files(**{name: getattr(given, name) for name in names}, scale_features=scales)
    device = devices.choose(given.device, given.threads, given.share)
    sides = inputs.load(spec, files, given.workers)

    code = given.code or fingerprint(Path(__file__))
    versions = {"code": code, "version of torch": str(torch.__version__)}
    identity = {"specification": spec.canonical(), **sides.digests, **versions}
    how = {
        "tokens": files.features is not None,
        "recompute": bool(given.gradient_checkpointing),
        "compiled": bool(given.compile),
    }
    checkpoint = Checkpoint(given.output.with_name("checkpoint.pt"), identity, given.checkpoint_seconds)

    def make() -> torch.nn.Module:
        precision = devices.precision(device)
        if spec.recipe.trainable == "head":
            return feature_head(spec.recipe, spec.seed, sides.embeddings(), sides.training.labels, spec.outputs)
        if spec.recipe.trainable == "none":
            return build.zero_shot(spec, given.weights, precision, how["tokens"], given.tokenizer, given.text_weights)
        return build.build(spec, given.weights, precision, **how, tokenizer=given.tokenizer)

    def score(logits: np.ndarray) -> dict[str, float]:
        if spec.classes:
            return metrics.class_epoch_scores(sides.labels, logits)
        return metrics.epoch_scores(sides.labels, logits[sides.unit], sides.groups)

    micro_batch, check = given.micro_batch or None, Interrupt().check
    of_prompts: Any = [()] * len(sides.images)
    if spec.recipe.classifier != "linear":
        module, fitted = at_once.evaluate(make, sides.evaluation, score, device)
    elif spec.recipe.trainable == "none":
        module = make()
        fitted, of_prompts = zero_shot.evaluate(
            module, sides.evaluation, score, spec.recipe, device, micro_batch=micro_batch, check=check
        )
    else:
        module = make()
        with vlm.compiler_errors():
            fitted = fit(
                module,
                sides.training,
                sides.evaluation,
                score,
                recipe=spec.recipe,
                seed=spec.seed,
                device=device,
                checkpoint=checkpoint,
                micro_batch=micro_batch,
                # Until the script ends: once the last epoch is done, its results are written first.
                check=check,
                validation=sides.validation,
                found=FoundSize(given.found_sizes, spec, how, device) if given.found_sizes else None,
            )

    if spec.recipe.keep_weights:
        from histobench.io.state_dicts import save_trained

        save_trained(given.output.with_name("weights.safetensors"), module, spec.canonical())
    chose = fitted.chosen is not None
    chosen = fitted.chosen.logits if fitted.chosen else [None] * len(sides.images)
    images = zip(sides.images, sides.groups, strict=True)
    last, best = fitted.logits[sides.unit], fitted.best_logits[sides.unit]
    if spec.classes:
        each = zip(images, last, best, strict=True)
        rows = (class_files.prediction_row(*of, spec.fold, spec.classes, *own) for of, *own in each)
        columns, history = class_files.prediction_columns(spec.classes), class_files.HISTORY
    else:
        logits = zip(last, best, chosen, of_prompts, strict=True)
        rows = (run_files.prediction_row(*of, spec.fold, *own) for of, own in zip(images, logits, strict=True))
        columns, history = run_files.prediction_columns(chose, len(of_prompts[0])), run_files.history_columns(chose)
    write_csv(given.output, columns, rows)
    write_csv(given.history, history, map(run_files.epoch_row, fitted.history))
    hardware = given.share, given.threads, given.workers, how["compiled"]
    record = run_record(spec, code, sides, module, fitted, device, hardware, STARTED)
    with atomic_path(given.run) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    checkpoint.remove()


if __name__ == "__main__":
    run_script(main)
