"""Names of images in the forms that other people write."""

import pytest

from histobench.audit import names
from histobench.io.errors import HistoBenchError

IMAGE = "SOB_B_A-14-22549AB-40-001"


@pytest.mark.parametrize(
    "text",
    [
        IMAGE,
        f"{IMAGE}.png",
        f"{IMAGE}.PNG\r",
        f"{IMAGE}.jpg",
        "SOB_B_A_14-22549AB-40-001.png",
        "sob_b_a-14-22549ab-40-001.png",
        f"  '{IMAGE}.png' ",
        f"/home/me/BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/{IMAGE}.png",
        rf"C:\Users\me\SOB_B_A_14-22549AB\40X\{IMAGE}.png",
        f"{IMAGE}.png.png",
        f"{IMAGE}_{IMAGE}.png",
        f"40X_{IMAGE}_flipped.png",
        f"{IMAGE}/patch_3.png",
    ],
)
def test_an_image_of_breakhis_is_recognised_however_it_is_written(text: str) -> None:
    assert names.read(text) == names.ImageName(
        "breakhis", IMAGE, "benign", "A", 40, "14-22549AB", "14-22549", official=True
    )


@pytest.mark.parametrize("text", ["SOB_M_A-14-22549AB-40-001.png", "SOB_B_A-14-22549AB-40-999", "SOB_B_A-14-1-40-001"])
def test_names_that_no_image_has_are_of_breakhis_and_not_official(text: str) -> None:
    found = names.read(text)
    assert found is not None
    assert (found.dataset, found.official) == ("breakhis", False)


@pytest.mark.parametrize("text", ["", "x.png", "SOB_B_A-14-22549AB", f"{IMAGE}_SOB_B_A-14-22549AB-40-002.png"])
def test_other_names_mean_no_image(text: str) -> None:
    assert names.read(text) is None


@pytest.mark.parametrize(
    "text", ["b032", "Photos/Benign/b032.tif", r"D:\b032.PNG", "b32.tif", "b032.tif.tif", "b032_7"]
)
def test_an_image_of_bach_is_recognised_with_its_patient(text: str) -> None:
    assert names.read(text) == names.ImageName(
        "bach", "b032", "benign", "benign", accession="patient-11", official=True
    )


def test_a_photograph_of_bach_without_known_patient_is_its_own_group() -> None:
    found = names.read("iv001.tif")
    assert found is not None
    assert (found.accession, found.group, found.label, found.subtype) == ("", "iv001", "malignant", "invasive")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("14-22549AB", "A 14-22549AB"),
        ("22549AB", "A 14-22549AB"),
        ("SOB_B_A_14-22549AB", "A 14-22549AB"),
        ("SOB_B_A-14-22549AB", "A 14-22549AB"),
        ("22549", "A 14-22549AB, A 14-22549CD, A 14-22549G"),
        ("14-22549", "A 14-22549AB, A 14-22549CD, A 14-22549G"),
        ("13412", "DC 14-13412, LC 14-13412"),
        ("SOB_M_LC_14-13412", "LC 14-13412"),
        ("18842", "MC 14-18842"),  # a slide of its own, though 18842D has its accession number
        ("190EF", "PC 15-190EF"),
        ("99999", ""),
        ("train", ""),
    ],
)
def test_slides_and_accession_numbers(text: str, pairs: str) -> None:
    assert ", ".join(" ".join(pair) for pair in names.slides(text)) == pairs


def test_the_images_of_slides() -> None:
    found = names.of_slides(names.slides("22549AB"))
    assert [one.image[-3:] for one in found if one.magnification == 40] == [f"{number:03}" for number in range(1, 30)]


def test_the_dataset_is_recognised_from_most_names() -> None:
    assert names.dataset_of([IMAGE, f"x/{IMAGE}.png", "other.png"]) == "breakhis"
    assert names.dataset_of(["b001.tif", "is034", "iv100.png"]) == "bach"
    assert names.dataset_of(["image_b1.png", "image_b2.png"]) == ""
    assert names.dataset_of([]) == ""


def test_patient_and_class_of_another_dataset_by_expression_and_by_column() -> None:
    by_pattern = names.Naming.of(["P12_3.png"], patient=r"(P\d+)_", label="^[^/]+")
    assert by_pattern.identify(r"tumour\P12_3.png") == names.ImageName(
        "other", "tumour/P12_3.png", label="tumour", accession="P12"
    )
    by_column = names.Naming.of([], "camelyon", patient="Case", label="kind", columns=["case", "kind"])
    found = by_column.identify("3.png", {"case": " 7 ", "kind": "x"})
    assert found is not None
    assert (found.label, found.accession, found.group) == ("x", "7", "7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["a.png"]}, "another dataset say what names the patient"),
        ({"names": ["a.png"], "dataset": "camelyon"}, "'camelyon' is not known by name"),
        ({"names": ["a.png"], "patient": "case", "columns": ["image"]}, "neither a column nor a regular expression"),
        ({"names": ["a.png"], "patient": "(P", "columns": ["image"]}, "neither a column nor a regular expression"),
    ],
)
def test_an_unknown_dataset_needs_a_patient(arguments: dict, message: str) -> None:
    with pytest.raises(HistoBenchError, match=message):
        names.Naming.of(**arguments)
