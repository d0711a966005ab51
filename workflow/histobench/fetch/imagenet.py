"""Where the ImageNet weights of an architecture are published."""

import logging
import re
from urllib.parse import urljoin

from histobench.io.errors import HistoBenchError
from histobench.study.spec import CnnSettings

log = logging.getLogger(__name__)


def published(settings: CnnSettings, mirror: str | None) -> tuple[str, str]:
    """Return the address of an architecture's first published ImageNet weights, and how the file's SHA-256 begins.

    Either library publishes the first digits of the digest as the last part of the file's name.
    """
    library, name = settings.architecture.split("/")
    if library == "torchvision":
        from torchvision.models import get_model_weights

        choices = get_model_weights(name)
        if "IMAGENET1K_V1" not in choices.__members__:
            raise HistoBenchError(
                f"{settings.architecture}: torchvision has no IMAGENET1K_V1 weights for it, only "
                f"{', '.join(choices.__members__)}; give `file` and `sha256` of the wanted ones in the model's weights"
            )
        weights = choices["IMAGENET1K_V1"]
        url, normalisation = weights.url, (tuple(weights.transforms().mean), tuple(weights.transforms().std))
        file = url.rpartition("/")[2]
        url = urljoin(mirror.rstrip("/") + "/", file) if mirror else url
    else:
        import timm

        published = timm.get_pretrained_cfg(name, allow_unregistered=True)
        url = published.url if published and isinstance(published.url, str) else ""
        normalisation = (published.mean, published.std) if published else None
        file = url.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,64})\.", file)
    if digest is None:
        raise HistoBenchError(
            f"{settings.architecture}: {library} gives no checksum of its ImageNet weights, which imagenet needs; "
            "give their address as `file`, and their `sha256`, in the model's weights"
        )
    if normalisation != (settings.mean, settings.std):
        log.warning(
            "%s: its ImageNet weights were trained with mean %s and std %s, but the model has %s and %s",
            settings.architecture,
            *normalisation,  # type: ignore[misc]
            settings.mean,
            settings.std,
        )
    return url, digest[1]
