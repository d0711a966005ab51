"""Settings of datasets, and of their splits into folds."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from histobench.study import checks
from histobench.study.messages import at
from histobench.study.synthetic_settings import SyntheticSettings
from histobench.study.values import MAGNIFICATIONS, Magnification, Number, PathText, Settings, Sha256, distinct

Micrometres = Annotated[Number, Field(gt=0.001, lt=100)]
"""No microscope has pixels of less than a nanometre; the bounds find other units than micrometres."""
Microns = Annotated[
    Annotated[Micrometres, Tag("number")]
    | Annotated[dict[Annotated[Magnification, BeforeValidator(checks.digits)], Micrometres], Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict) else "number"),
]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/\S+$")]


class Dataset(Settings):
    """One dataset: where its images come from and how its tree is read."""

    format: Literal["breakhis", "bach", "csv", "folders"] = "breakhis"
    """How images are found and labelled: by the trees of BreakHis or BACH, by a `csv` table, or by class `folders`."""
    source: PathText | None = None
    """Archive (.tar.gz, .tar, .zip) or folder. A synthetic dataset has none: it is generated."""
    table: PathText | None = None
    """For `csv`: the table, with columns path (inside `source`), label, patient and, where wanted, magnification, subtype
    and accession."""
    classes: dict[str, Literal["benign", "malignant"]] = {"benign": "benign", "malignant": "malignant"}
    """For `csv` and `folders`: what each label of the table, or each class folder, counts as."""
    patient: str | None = None
    """For `folders`: regular expression with one group, which finds the patient in the path of an image."""
    url: Address | None = None
    """Where `source` is downloaded from when it is not there; `source` must then be resources/DATASET/FILE."""
    mirrors: list[Address] = []
    """Further addresses of the same file, tried in this order when `url` fails for good."""
    licence: str | None = None
    """Licence of the images, shown when they are downloaded or missing."""
    citation: str | None = None
    """What to cite, shown when the images are downloaded."""
    sha256: Sha256 | None = None
    """Pinned SHA-256 of the archive. Without it the hash of a download is recorded beside the file."""
    complete: bool = False
    """Require exactly the official images of the dataset, naming what is missing or surplus."""
    microns_per_pixel: Microns = {}
    """Size of a pixel of the original images in micrometres: one number, or magnification -> number, which every number becomes.
    Empty where it is not known. `scales: [matched]` of `external` needs it, and sample images have a scale bar by it."""
    synthetic: SyntheticSettings | None = None
    """Generate the dataset with these settings instead of reading `source`."""

    @field_validator("microns_per_pixel")
    @classmethod
    def _at_every_magnification(cls, value: float | dict[int, float]) -> dict[int, float]:
        return value if isinstance(value, dict) else dict.fromkeys(MAGNIFICATIONS, value)

    @model_validator(mode="after")
    def _one_origin(self) -> "Dataset":
        if (self.source is None) == (self.synthetic is None):
            raise ValueError("give either `source` (an archive or folder) or `synthetic` (settings of the generator)")
        if self.synthetic and self.synthetic.kind != self.format:
            raise ValueError(f"synthetic.kind {self.synthetic.kind!r} cannot be read with format {self.format!r}")
        for key in ("url", "sha256", "complete"):
            if getattr(self, key) and self.synthetic:
                raise ValueError(f"`{key}` belongs to a dataset with a `source`, not to a synthetic one")
        if self.mirrors and not self.url:
            raise ValueError("`mirrors` are further addresses beside `url`, which is absent; name the first one `url`")
        return self

    @model_validator(mode="after")
    def _keys_of_its_format(self) -> "Dataset":
        formats = {
            "table": ("csv",),
            "patient": ("folders",),
            "classes": ("csv", "folders"),
            "complete": ("bach", "breakhis"),
        }
        for key, allowed in formats.items():
            if key in self.model_fields_set and getattr(self, key) and self.format not in allowed:
                raise ValueError(f"`{key}` belongs to format {' or '.join(allowed)}, not to {self.format}")
        for format, key in (("csv", "table"), ("folders", "patient")):
            if self.format == format and not getattr(self, key):
                raise ValueError(f"format {format} needs `{key}` (config/README.md explains it)")
        if set(self.classes.values()) != {"benign", "malignant"}:
            raise ValueError("`classes` must name at least one benign and one malignant class")
        if "" in self.classes:
            raise ValueError("`classes` holds a class without a name; give it the one in the table or tree")
        if self.patient:
            checks.one_group(self.patient)
        return self


class Split(Settings):
    """A named grouping of images into folds."""

    by: Literal["patient", "accession", "image", "official", "file"]
    """What is never divided: a `patient`, as the dataset's authors number them (slide number), an `accession` number, nothing
    (`image`), or what the `official` lists or a `file` of your own say."""
    folds: int = Field(default=5, ge=1, le=20)
    seed: int = Field(default=0, ge=0, lt=2**32)
    files: Annotated[list[PathText], AfterValidator(distinct)] = []
    """For `official` only: the dsfold1.txt, dsfold2.txt, ... files, one per fold. Without, the authors' five folds are known by name."""
    file: PathText | None = None
    """For `file` only: a CSV table with the columns image or group, and fold or set."""

    @property
    def lists(self) -> list[str]:
        """Return the files that the folds are read from."""
        return [*self.files, *([self.file] if self.file else [])]

    @model_validator(mode="after")
    def _lists_of_its_kind(self) -> "Split":
        if self.by == "official" and self.files and len(self.files) != self.folds:
            raise ValueError(f"`official` needs one file per fold: {self.folds} in `files`, found {len(self.files)}")
        if self.by == "official" and not self.files and self.folds != 5:
            raise ValueError(
                f"`official` without `files` has the authors' 5 folds, found {self.folds}; write 5, or give one file per fold"
            )
        if self.by != "official" and self.files:
            raise ValueError(f"`files` belongs to `by: official`, not to `by: {self.by}`")
        if (self.by == "file") != bool(self.file):
            raise ValueError(f"`file` belongs to `by: file`, and is required there; found `by: {self.by}`")
        if self.folds < 2 and not self.lists:
            raise at("folds", f"expected at least 2, found {self.folds}")
        return self
