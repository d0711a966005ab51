"""Settings of the synthetic datasets: everything that decides their images, and nothing else."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from histobench.study.values import Settings

SHARED_ACCESSION = 4
"""With `breakhis`, each slide of a class whose number is a multiple of this has the accession number of the one before."""


class SyntheticSettings(Settings):
    """One synthetic dataset with known truth, drawn by :mod:`histobench.datasets.synthetic`."""

    kind: Literal["breakhis", "bach"] = "breakhis"
    """Tree, file names and optics: BreakHis (PNG) or BACH (TIFF)."""
    patients_per_class: int = Field(default=12, ge=1, le=9999)
    """Patients in each class: benign and malignant, or Normal, Benign, InSitu and Invasive. With `breakhis` each is a slide,
    and every fourth of a class has the accession number of the one before."""
    images_per_patient: int = Field(default=4, ge=1, le=250)
    """Images per patient and magnification; with `breakhis` the number varies by up to a quarter between patients."""
    magnifications: Annotated[tuple[Literal[40, 100, 200, 400], ...], Field(min_length=1)] = (40, 200)
    """Magnifications of the images. BACH has one scale, near BreakHis's 40X: [40]."""
    width: int = Field(default=140, ge=32, le=4096)
    """Width in pixels. The field of view in micrometres does not depend on it: fewer pixels are larger pixels."""
    height: int = Field(default=92, ge=24, le=4096)
    """Height in pixels; with `breakhis` a small share of images is shorter (456:460), as in BreakHis."""
    class_effect: float = Field(default=1.0, ge=0, le=4)
    """Distance between the classes. At 0 the class of a patient leaves no trace in the images."""
    patient_effect: float = Field(default=1.0, ge=0, le=3)
    """How much stain, texture and cells differ between patients of the same type."""
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _bach_defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("kind") == "bach":
            return {"magnifications": (40,), "width": 128, "height": 96} | data
        return data

    @model_validator(mode="after")
    def _possible(self) -> "SyntheticSettings":
        if len(set(self.magnifications)) != len(self.magnifications):
            raise ValueError(f"`magnifications` names one twice: {list(self.magnifications)}; name each once")
        if self.kind == "bach" and self.magnifications != (40,):
            raise ValueError("BACH has one scale; leave `magnifications` out, or give [40]")
        if self.kind == "bach" and self.patients_per_class * self.images_per_patient > 899:
            raise ValueError(
                "BACH names number images, here 101 to 999; lower patients_per_class or images_per_patient"
            )
        return self
