"""Augmented views of images: a view is a pure function of (seed, epoch, image id).

Order, number of workers, threads, processes and resuming therefore do not matter, and a view can be computed once and
shared by all folds. Transforms are those of Albumentations 2.0.8; it is imported when the first one is needed.
(Processors of different kinds may round differently: where there is no AVX2, OpenCV rotates with other instructions,
which changes 3 of 100,000 values, by one grey level.)

Each transform of a view draws from a random stream of its own. Seeding the library's ``Compose`` instead, by
``Compose(seed=...)`` or ``set_random_seed``, gives every transform the same stream: all those with equal `p` then act
together or not at all.
"""

import hashlib
import inspect
import json
import os
import random
import re
import threading
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from histobench.io.errors import HistoBenchError

_ONE_AT_A_TIME = threading.Lock()
"""Held while the warning filters, which belong to the whole process, are changed."""


class Augmentation:
    """A list of Albumentations transforms, applied in order; an empty list gives images back as they are.

    May be called from several threads at once, pickled, and used in DataLoader workers.

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
        occurrences: Counter[str] = Counter()
        self._streams: list[str] = []
        for name, _ in self.transforms:
            self._streams.append(f"{name} {occurrences[name]}")
            occurrences[name] += 1
        self._local = threading.local()
        self._built()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ([{name: arguments} for name, arguments in self.transforms], self.size)

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
        view, culprit = np.array(image), ""
        for (name, _), stream, transform in zip(self.transforms, self._streams, self._built(), strict=True):
            key = repr((int(seed), int(epoch), str(image_id), stream)).encode()
            state = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")
            transform.set_random_state(np.random.default_rng(state), random.Random(state))
            try:
                view = transform(image=view)["image"]
            except Exception as error:  # whatever a transform of the user's choice raises
                reason = " ".join(str(error).split())
                raise HistoBenchError(
                    f"augmentation: {name} failed on {image_id} ({type(error).__name__}: {reason}); "
                    "change its arguments or take it out of the list"
                ) from error
            good = isinstance(view, np.ndarray) and view.dtype == np.uint8 and view.shape == (self.size, self.size, 3)
            culprit = "" if good else culprit or name
        if culprit:
            kind, shape = getattr(view, "dtype", type(view).__name__), tuple(getattr(view, "shape", ()))
            raise HistoBenchError(
                f"augmentation: after {culprit} the view of {image_id} is {kind} of shape {shape}, "
                f"expected uint8 of shape ({self.size}, {self.size}, 3); "
                "change its arguments or take it out of the list"
            )
        return view

    def _built(self) -> list[Any]:
        """Return this thread's own transforms: they keep their random state, so threads cannot share them."""
        if not hasattr(self._local, "transforms"):
            self._local.transforms = [_build(name, arguments, self.size) for name, arguments in self.transforms]
        return self._local.transforms


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the transforms of two-dimensional images that Albumentations has, with what each argument may be.

    ``workflow/schemas/transforms.json`` holds it, so that a configuration is checked without the slow import
    (:func:`histobench.study.transforms.check`): ``python -m histobench.datasets.augment > workflow/schemas/transforms.json``.
    An argument's rule is a small part of JSON Schema, with ``ordered`` for a list in rising order and ``required``.
    """
    library = _albumentations()
    bases = (library.ImageOnlyTransform, library.DualTransform)
    return {
        name: _rules(kind)
        for name, kind in sorted(vars(library).items())
        if inspect.isclass(kind)
        and issubclass(kind, bases)
        and kind not in (*bases, library.Transform3D)
        and not issubclass(kind, library.Transform3D)
    }


def _rules(kind: Any) -> dict[str, dict[str, Any]]:
    """Return what each argument of a transform may be, by the model that the library checks it with."""
    from pydantic import PydanticInvalidForJsonSchema

    try:
        schemas = kind.InitSchema.model_json_schema()["properties"]
    except PydanticInvalidForJsonSchema:  # of the three transforms that take functions
        schemas = {"p": {"type": "number", "minimum": 0, "maximum": 1}}
    rules = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        rules[name] = _rule(schemas.get(name, {}))
        field = kind.InitSchema.model_fields.get(name)
        validators = [getattr(item, "func", None) for item in field.metadata] if field else []
        # Those that make a range of a single number put a pair in order, too.
        sorts = any(re.search("_range$", getattr(validator, "__name__", "")) for validator in validators)
        for validator in filter(None, validators):
            if validator.__qualname__.startswith("check_range_bounds."):
                # The bounds are nowhere but in the closure of the function that compares with them.
                _bound(rules[name], **inspect.getclosurevars(validator).nonlocals)
            elif validator.__name__ == "process_non_negative_range":
                _bound(rules[name], 0)
            elif validator.__name__ == "nondecreasing" and not sorts:
                for option in rules[name].get("anyOf", [rules[name]]):
                    option |= {"ordered": True} if option.get("type") == "array" else {}
        if parameter.default is parameter.empty and name != "size":
            rules[name]["required"] = True
    return rules


def _rule(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema without what a check has no use for; of a tuple's items, which are alike, one."""
    kept = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")
    rule: dict[str, Any] = {key: schema[key] for key in kept if key in schema}
    if "anyOf" in schema:
        rule["anyOf"] = [_rule(option) for option in schema["anyOf"]]
    items = schema.get("prefixItems") or [schema.get("items", {})]
    if rule.get("type") == "array" and items[0] and all(item == items[0] for item in items):
        rule["items"] = _rule(items[0])
    return rule


def _bound(
    rule: dict[str, Any],
    min_val: float,
    max_val: float | None = None,
    min_inclusive: bool = True,
    max_inclusive: bool = True,
) -> None:
    """Write bounds into the numbers of a rule, also those in its lists."""
    if rule.get("type") in ("integer", "number"):
        rule["minimum" if min_inclusive else "exclusiveMinimum"] = min_val
        if max_val is not None:
            rule["maximum" if max_inclusive else "exclusiveMaximum"] = max_val
    for part in (*rule.get("anyOf", []), *([rule["items"]] if "items" in rule else [])):
        _bound(part, min_val, max_val, min_inclusive, max_inclusive)


def _albumentations() -> ModuleType:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else the import asks a server for news
    import albumentations
    import cv2

    # One image is too small to share out, and the caller already has a thread or process per core.
    cv2.setNumThreads(0)
    return albumentations


def _build(name: str, arguments: Mapping[str, Any], size: int) -> Any:
    library = _albumentations()
    kind = getattr(library, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, library.BasicTransform)):
        raise HistoBenchError(
            f"augmentation: Albumentations {library.__version__} has no transform {name!r}; correct its spelling"
        )
    if "size" in inspect.signature(kind).parameters:
        arguments = {"size": (size, size), **arguments}
    try:
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            # The library only warns of an unknown argument, or one that it replaces by another.
            warnings.simplefilter("error", UserWarning)
            return kind(**{key: _constant(value) for key, value in arguments.items()})
    except (TypeError, ValueError, AttributeError, UserWarning) as error:
        cause: Any = error.__cause__  # what pydantic found, where it is pydantic that rejects
        found = cause.errors()[0] if hasattr(cause, "errors") else {"loc": (), "msg": str(error)}
        reason = " ".join((*map(str, found["loc"]), *found["msg"].split()))
        raise HistoBenchError(
            f"augmentation: {name} of Albumentations {library.__version__} does not take {dict(arguments)} ({reason}); "
            "correct its arguments"
        ) from error


def _constant(value: Any) -> Any:
    """Return the OpenCV constant that a string names; any other value as it is."""
    if isinstance(value, str) and value.startswith(("BORDER_", "INTER_")):
        import cv2

        return getattr(cv2, value)
    return value


def _catalogue_text() -> str:
    """Return the catalogue as JSON, a line per transform."""
    lines = (f"  {json.dumps(name)}: {json.dumps(arguments)}" for name, arguments in catalogue().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    print(_catalogue_text(), end="")
