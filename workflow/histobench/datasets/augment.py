"""Augmented views of images: a view is a pure function of (seed, epoch, image id).

Order, number of workers, processes and resuming therefore do not matter, and a view can be computed once and
shared by all folds. Transforms are those of Albumentations 2.0.8; it is imported when the first one is needed.
(Without AVX2, OpenCV rotates with other instructions, which changes 3 of 100,000 values by one grey level.)

Each transform of a view has its own random stream. The library's own ``Compose(seed=...)`` gives every transform the same
stream: all those with equal `p` would act together or not at all.
"""

import hashlib
import inspect
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from histobench.io.errors import HistoBenchError


class Augmentation:
    """A list of Albumentations transforms, applied in order; with an empty list images are returned unchanged.

    Instances can be pickled and used in DataLoader workers, but not by two threads at once.

    Args:
        transforms: ``{class name: {argument: value}}`` for each transform. An argument ``size`` that is left out is
            (`size`, `size`). OpenCV's constants are given by name: ``BORDER_REFLECT_101``, ``INTER_CUBIC``.
        size: side in pixels of the square images that come in and go out.

    Raises:
        HistoBenchError: a transform does not exist, or rejects or would silently change an argument.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Mapping[str, Any]]], size: int) -> None:
        self.transforms = [(name, dict(arguments)) for item in transforms for name, arguments in item.items()]
        self.size = size
        names = [name for name, _ in self.transforms]
        self._streams = [f"{name} {names[:index].count(name)}" for index, name in enumerate(names)]
        self._built = [_build(name, arguments, size) for name, arguments in self.transforms]

    def __call__(self, image: np.ndarray, seed: int, epoch: int, image_id: str) -> np.ndarray:
        """Return the view of `image` in `epoch`.

        A transform's draws depend on (seed, epoch, image id), its name and how often the name came before in the list,
        so that taking one transform out of a list leaves the draws of the others as they were.

        Args:
            image: uint8 array (size, size, 3); it is not changed.
            seed: seed of the run.
            epoch: number of the epoch.
            image_id: id of the image in the manifest.

        Returns:
            uint8 array (size, size, 3): a new one, or `image` itself where there is no transform.

        Raises:
            HistoBenchError: a transform fails, or the result has another shape or type.
        """
        if not self.transforms:
            return image
        expected = (np.dtype(np.uint8), (self.size, self.size, 3))
        view, culprit = np.array(image), ""
        for (name, _), stream, transform in zip(self.transforms, self._streams, self._built, strict=True):
            key = repr((int(seed), int(epoch), str(image_id), stream)).encode()
            state = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")
            transform.set_random_state(np.random.default_rng(state), random.Random(state))
            try:
                view = transform(image=view)["image"]
            except Exception as error:  # the library has no common class for what its transforms raise
                reason = " ".join(str(error).split())
                raise HistoBenchError(
                    f"transform {name} failed on {image_id} ({type(error).__name__}: {reason}); "
                    "change its arguments or take it out of the list"
                ) from error
            culprit = "" if (view.dtype, view.shape) == expected else culprit or name
        if culprit:
            raise HistoBenchError(
                f"after transform {culprit} the view of {image_id} is {view.dtype} of shape {tuple(view.shape)}, "
                f"expected uint8 of shape {expected[1]}; change its arguments or take it out of the list"
            )
        return view


def check(transforms: Sequence[Mapping[str, Mapping[str, Any]]], size: int) -> list[str]:
    """Try an augmentation: build each transform, then apply all of them, with probability 1, to a small random image.

    Args:
        transforms: as for :class:`Augmentation`.
        size: side of the image in pixels.

    Returns:
        One message for each transform that cannot be built, or for the first one that fails; empty if all is well. The
        caller adds which augmentation it is.
    """
    given = [{name: arguments} for item in transforms for name, arguments in item.items()]
    faults = []
    for transform in given:
        try:
            Augmentation([transform], size)
        except HistoBenchError as error:
            faults.append(str(error))
    if not faults:
        image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
        always = [{name: {**arguments, "p": 1.0}} for item in given for name, arguments in item.items()]
        try:
            Augmentation(always, size)(image, 0, 0, "a test image")
        except HistoBenchError as error:
            faults.append(str(error))
    return faults


def _build(name: str, arguments: Mapping[str, Any], size: int) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # otherwise the import asks a server for a newer version
    import albumentations as library
    import cv2

    cv2.setNumThreads(0)  # one image is too small for several threads, and there is a process per core already
    kind = getattr(library, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, library.BasicTransform)):
        raise HistoBenchError(f"Albumentations {library.__version__} has no transform {name!r}; correct its spelling")
    if "size" in inspect.signature(kind).parameters:
        arguments = {"size": (size, size), **arguments}

    def named(value: Any) -> Any:
        constant = isinstance(value, str) and value.startswith(("BORDER_", "INTER_"))
        return getattr(cv2, value) if constant else value

    try:
        with warnings.catch_warnings():
            # The library only warns about an unknown argument, or one that it replaces by another.
            warnings.simplefilter("error", UserWarning)
            return kind(**{key: named(value) for key, value in arguments.items()})
    except Exception as error:  # the library has no common class for what its constructors raise
        cause: Any = error.__cause__  # what pydantic found, if it is pydantic that refuses
        found = cause.errors()[0] if hasattr(cause, "errors") else {"loc": (), "msg": str(error)}
        reason = " ".join((*map(str, found["loc"]), *found["msg"].split()))
        raise HistoBenchError(
            f"transform {name} of Albumentations {library.__version__} does not take {dict(arguments)} ({reason}); "
            "correct its arguments"
        ) from error
