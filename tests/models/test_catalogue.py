"""The committed names of architectures."""

from pathlib import Path

from histobench.models import catalogue

FILE = Path(__file__).parents[2] / "workflow" / "schemas" / "architectures.json"


def test_the_committed_catalogue_is_what_the_installed_libraries_have():
    renew = f"renew it by `python -m histobench.models.catalogue > {FILE.name}` in {FILE.parent}"
    assert FILE.read_text() == catalogue.text(), renew


def test_it_holds_the_papers_networks_and_no_detectors():
    names = catalogue.catalogue()
    assert {"alexnet", "vgg19", "resnet34"} <= set(names["torchvision"])
    assert "fcn_resnet50" not in names["torchvision"]
    assert "tf_efficientnet_lite0" in names["timm"]
