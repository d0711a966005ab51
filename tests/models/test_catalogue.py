"""The committed names of architectures and config keys."""

from pathlib import Path

import pytest

from histobench.models import catalogue

SCHEMAS = Path(__file__).parents[2] / "workflow" / "schemas"


@pytest.mark.parametrize("name", ["architectures", "sizes", "vlm"])
def test_the_committed_catalogue_is_what_the_installed_libraries_have(name):
    renew = f"renew it by `python -m histobench.models.catalogue {name} > {name}.json` in workflow/schemas"
    assert (SCHEMAS / f"{name}.json").read_text() == catalogue.text(name), renew


def test_it_holds_the_papers_networks_and_no_detectors():
    names = catalogue.architectures()
    assert {"alexnet", "vgg19", "resnet34"} <= set(names["torchvision"])
    assert "fcn_resnet50" not in names["torchvision"]
    assert "tf_efficientnet_lite0" in names["timm"]


def test_it_holds_what_tells_sizes_of_vision_language_models_apart():
    names = catalogue.vlm()["families"]
    assert {"qwen2-vl", "smolvlm"} <= names.keys()
    for family in names.values():
        assert {"hidden_size", "num_hidden_layers", "num_attention_heads"} <= family["keys"]["text_config"].keys()
        assert "patch_size" in family["keys"]["vision_config"]
