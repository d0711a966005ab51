"""Vision-language classifiers compared with the complete transformers models, on small random parameters."""

import copy
import json
from fractions import Fraction
from functools import partialmethod

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch._dynamo.utils import counters

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import load_trained, save_trained, trained_state
from histobench.models import vlm
from histobench.models.families import qwen2_vl
from histobench.models.vlm_architecture import family
from histobench.study.recipes import Lora
from tests.models.vlm_settings import FAMILIES, tiny

QWEN = tuple(family for family in FAMILIES if family.startswith("qwen"))
MODELS = {family: tiny(family) for family in FAMILIES} | {
    "smolvlm-256m": tiny("smolvlm", {"model_type": "smolvlm"}),  # the later releases name another class
    # Windows of 3 x 3, 3 x 1, 1 x 3 and 1 x 1 visual tokens.
    "qwen2.5-vl, uneven": tiny("qwen2.5-vl", {"vision_config": {"window_size": 48}}),
}
SIGLIP = {"vision_config": {"patch_size": 14, "image_size": 384}, "scale_factor": 3}
LARGE = {  # the published models' patches, merging, windows, and positions: 12 x 12, 10 x 10 and 8 x 8 visual tokens
    "qwen2-vl": tiny("qwen2-vl", {"vision_config": {"patch_size": 14}}, image_size=336),
    "smolvlm": tiny("smolvlm", SIGLIP, image_size=336),
    "qwen2.5-vl": tiny("qwen2.5-vl", {"vision_config": {"patch_size": 14, "window_size": 112}}, image_size=336),
    "qwen3-vl": tiny(
        "qwen3-vl", {"vision_config": {"patch_size": 16, "num_position_embeddings": 2304}}, image_size=320
    ),
    "smolvlm2": tiny("smolvlm2", SIGLIP, image_size=336),
}


def of_each(qwen, smol):
    return {family: qwen if family in QWEN else smol for family in FAMILIES}


DECODER = of_each("language_model", "text_model")
TOWER = of_each("visual", "vision_model")
CONNECTOR = of_each("visual.merger", "connector")
LAYERS = dict.fromkeys(FAMILIES, 2) | {"qwen3-vl": 3}
MARKERS = of_each((1, 3, 2), (2, 3, 2))
WIDTH = dict.fromkeys(FAMILIES, 48) | {"qwen3-vl": 3 * 48}  # the features of two more layers of the tower
EPSILON = torch.finfo(torch.float32).eps
# Of logits of about 1, after at most 28 matrix products one after the other: one with sums of 2 x 3 x 14 x 14 terms (patches),
# the others with sums of at most 146 terms (tokens) of size 1 or less. The logits of a wrong model differ by more than 0.05.
ROUNDING = {"rtol": 0, "atol": (1176 + 27 * 146) * EPSILON}

each = pytest.mark.parametrize("name", FAMILIES)
both = pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm"])
with_deepstack = pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm", "qwen3-vl"])
every = pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS.keys())


class Whole:
    """The complete transformers model and a linear head, without code of ours: native image processor, token ids, masks."""

    def __init__(self, settings, seed=0):
        import transformers

        kinds = {"qwen2-vl": "Qwen2VL", "qwen2.5-vl": "Qwen2_5_VL", "qwen3-vl": "Qwen3VL", "smolvlm": "Idefics3"}
        config = copy.deepcopy(settings.config)
        kind = "SmolVLM" if config.pop("model_type", None) == "smolvlm" else kinds[settings.family]
        config = getattr(transformers, f"{kind}Config")(**config)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = getattr(transformers, f"{kind}Model")(config).eval()
            self.head = nn.Linear(48, 1)
        self.family, self.size = settings.family, settings.image_size
        vision = config.vision_config
        if self.family in QWEN:
            # As in the preprocessor_config.json of Qwen3-VL; CLIP's by default.
            norm = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if self.family == "qwen3-vl" else {}
            self.processor = transformers.Qwen2VLImageProcessor(
                do_resize=False, patch_size=vision.patch_size, merge_size=vision.spatial_merge_size, **norm
            )
            self.side = self.size // vision.patch_size // vision.spatial_merge_size
        else:
            self.processor = getattr(transformers, f"{kind}ImageProcessor")(
                do_resize=False, do_image_splitting=False, max_image_size={"longest_edge": self.size}
            )
            self.side = self.size // vision.patch_size // config.scale_factor

    def inputs(self, images, text=()):
        start, image, end = MARKERS[self.family]
        ids = torch.tensor([[start, *[image] * self.side**2, end, *text]] * len(images))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.family in QWEN:
            inputs["mm_token_type_ids"] = (ids == image).int()
            return inputs | self.processor([image.numpy() for image in images], return_tensors="pt")
        return inputs | self.processor([[image.numpy()] for image in images], return_tensors="pt")

    @torch.no_grad()
    def logits(self, images, readout="end_marker"):
        hidden = self.model(**self.inputs(images)).last_hidden_state
        seen = {"end_marker": hidden[:, -1], "last_image_token": hidden[:, -2], "mean": hidden[:, 1:-1].mean(1)}[
            readout
        ]
        return self.head(seen.float())[:, 0]

    @torch.no_grad()
    def stir(self):
        """Change every parameter, also those that begin as 0 or 1."""
        draws = torch.Generator().manual_seed(7)
        for parameter in self.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws), alpha=0.1)
        return self

    def save(self, path):
        save_file(self.model.state_dict(), path)
        return path


def images(count=3, size=64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def build(settings, weights=None, **more):
    return vlm.build(settings, 0, weights, **more).eval()


def adapted(settings, lora, weights=None, seed=1, stirred=True, **more):
    """Return a classifier with adapters and, where `stirred`, everything trainable changed as if it had learned."""
    classifier = build(settings, weights, **more)
    classifier.adapt(lora, seed)
    if stirred:
        draws = torch.Generator().manual_seed(11)
        for parameter in trained_parameters(classifier).values():
            parameter.data.add_(torch.randn(parameter.shape, generator=draws), alpha=0.1)
    return classifier.eval()


def trained_parameters(classifier):
    return {name: parameter for name, parameter in classifier.named_parameters() if parameter.requires_grad}


# ---- logits are those of the complete model ----


@every
@pytest.mark.parametrize("readout", ["end_marker", "last_image_token", "mean"])
@torch.no_grad()
def test_logits_of_images_and_of_tokens_are_those_of_the_complete_model(settings, readout):
    settings = settings.model_copy(update={"readout": readout})
    expected = Whole(settings).logits(images(), readout)
    assert expected.std() > 0.02
    classifier = build(settings)
    tokens = classifier.tokens(images())
    assert tokens.shape == (3, *vlm.architecture(settings).tokens) == (3, 16, WIDTH[settings.family])
    for logits in (classifier(images()), classifier(tokens), build(settings, parts=("decoder",))(tokens)):
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected, **ROUNDING)
    assert torch.equal(build(settings, parts=("vision",)).tokens(images()), tokens)


@each
@torch.no_grad()
def test_logits_with_the_patches_and_the_image_size_of_the_published_models(name):
    batch = images(2, LARGE[name].image_size)
    expected = Whole(LARGE[name]).logits(batch)
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(build(LARGE[name])(batch), expected, **ROUNDING)


@every
@torch.no_grad()
def test_weights_from_a_file_of_which_each_part_loads_its_own(settings, tmp_path):
    whole = Whole(settings, seed=3).stir()
    path = whole.save(tmp_path / "model.safetensors")
    classifier = build(settings, path)
    whole.head = classifier.head  # the file has none: it follows from the seed
    expected = whole.logits(images())
    assert (build(settings)(images()) - expected).abs().max() > 0.05
    decoder, vision = build(settings, path, parts=("decoder",)), build(settings, path, parts=("vision",))
    for logits in (classifier(images()), decoder(vision.tokens(images()))):
        torch.testing.assert_close(logits, expected, **ROUNDING)


@with_deepstack
@pytest.mark.parametrize(
    "lora",
    [
        Lora(rank=4),
        Lora(rank=2, alpha=6, projections=["q", "v", "gate", "down"], layers=[1]),
        Lora(rank=4, vision=True, connector=True),
        Lora(rank=4, vision_blocks=1),
    ],
    ids=["attention", "some", "vision", "blocks"],
)
@torch.no_grad()
def test_trained_adapters_equal_their_products_added_to_the_weights(name, lora):
    """W + alpha / rank * B A (Hu et al., equation 3), by hand."""
    classifier, whole = adapted(MODELS[name], lora), Whole(MODELS[name])
    before = whole.logits(images())
    parameters = {key.replace("base_model.model.", ""): value for key, value in trained_parameters(classifier).items()}
    for key, value in parameters.items():
        if ".lora_A." in key:
            linear = whole.model.get_submodule(key.removeprefix("model.").split(".lora_A.")[0])
            linear.weight += lora.alpha / lora.rank * parameters[key.replace(".lora_A.", ".lora_B.")] @ value
        elif not key.startswith("head.") and ".lora_B." not in key:
            whole.model.get_parameter(key.removeprefix("model.")).copy_(value)
    changed = whole.logits(images())
    assert (changed - before).abs().max() > 0.05
    whole.head = classifier.head
    expected = whole.logits(images())
    torch.testing.assert_close(classifier(images()), expected, **ROUNDING)
    torch.testing.assert_close(classifier(classifier.tokens(images())), expected, **ROUNDING)


@each
@torch.no_grad()
def test_in_bfloat16_it_is_what_from_pretrained_gives(name, tmp_path):
    """Rotary frequencies stay fp32, whatever the parameters are: rounded, they would turn by up to 0.3 rad too far."""
    settings, whole = MODELS[name], Whole(MODELS[name])
    whole.model.save_pretrained(tmp_path)
    whole.model = type(whole.model).from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    for weights in (None, tmp_path / "model.safetensors"):
        classifier = build(settings, weights, dtype=torch.bfloat16)
        assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.bfloat16}
        theirs, ours = dict(whole.model.named_buffers()), dict(classifier.model.named_buffers())
        assert theirs.keys() == ours.keys() != set()
        for key, buffer in theirs.items():
            torch.testing.assert_close(ours[key], buffer, rtol=0, atol=0)
        whole.head = classifier.head
        # At most 28 products one after the other, each rounded to 8 significant bits.
        torch.testing.assert_close(classifier(images()), whole.logits(images()), rtol=0, atol=28 * 2**-8)


@each
@torch.no_grad()
def test_tokens_of_a_bfloat16_tower_may_be_stored_as_bits(name):
    classifier = build(MODELS[name], dtype=torch.bfloat16)
    tokens = classifier.tokens(images())
    assert tokens.dtype == torch.bfloat16
    bits = torch.from_numpy(tokens.view(torch.uint16).numpy())
    assert torch.equal(classifier(bits), classifier(tokens))
    assert torch.equal(classifier(tokens), classifier(images()))
    decoder = build(MODELS[name], parts=("decoder",))
    assert torch.equal(decoder(bits), decoder(tokens.float()))


@both
@torch.no_grad()
def test_the_head_computes_in_float32_also_under_autocast(name):
    classifier = build(MODELS[name])
    with torch.autocast("cpu", torch.bfloat16):
        hidden, logits = classifier.embed(images()), classifier(images())
    assert hidden.dtype == logits.dtype == torch.float32
    expected = hidden.double() @ classifier.head.weight[0].double() + classifier.head.bias.double()
    bound = (
        50 * EPSILON * (hidden.abs() @ classifier.head.weight[0].abs()).max().item()
    )  # a sum of 48 products and a bias
    torch.testing.assert_close(logits.double(), expected, rtol=0, atol=bound)


# ---- positions ----


@pytest.mark.parametrize("name", QWEN)
def test_qwens_positions_of_12_x_12_tokens(name):
    positions = family(name).positions(12)[:, 0].T.tolist()
    by_hand = [[0, 0, 0], *([1, 1 + row, 1 + column] for row in range(12) for column in range(12)), [13, 13, 13]]
    assert positions == by_hand
    size = 384 if name == "qwen3-vl" else 336
    whole = Whole(LARGE[name].model_copy(update={"image_size": size}))
    inputs = whole.inputs(images(2, size))
    theirs, _ = whole.model.get_rope_index(
        *(inputs[key] for key in ("input_ids", "mm_token_type_ids", "image_grid_thw"))
    )
    assert theirs.shape == (3, 2, 146)
    assert theirs[:, 0].T.tolist() == theirs[:, 1].T.tolist() == by_hand


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_smolvlms_positions_at_336_px_on_a_tower_of_384(dtype):
    """27 buckets, of which 24 patches leave out the 9th, the 18th and the last; twice an edge falls on an edge."""
    classifier, seen = build(LARGE["smolvlm"], dtype=dtype), []
    embedding = classifier.model.vision_model.embeddings.position_embedding
    embedding.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    classifier.tokens(images(2, 336))
    buckets = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25]
    assert buckets == [int(Fraction(patch, 24) / Fraction(1, 27)) for patch in range(24)]
    by_hand = [27 * row + column for row in buckets for column in buckets]
    assert [ids.tolist() for ids in seen] == [[by_hand, by_hand]]


# ---- what the tower is fed with ----


@each
@torch.no_grad()
def test_the_tower_sees_what_the_familys_own_image_processor_makes(name):
    batch, seen = images(2, LARGE[name].image_size), []
    classifier, whole = build(LARGE[name]), Whole(LARGE[name])
    for model in (classifier.model, whole.model):

        def record(module, arguments, named):
            seen.append({"pixels": arguments[0]} | named if arguments else named)

        tower = TOWER[name] if name in QWEN else f"{TOWER[name]}.embeddings"
        model.get_submodule(tower).register_forward_pre_hook(record, with_kwargs=True)
    classifier(batch)
    whole.logits(batch)
    ours, theirs = ({key: named[key] for key in named if key in INPUTS} for named in seen)
    assert len(ours) == 2
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        # Differences of numbers up to 1, divided by a deviation of at least 0.26: fewer than 10 roundings.
        torch.testing.assert_close(ours[key], value, rtol=0, atol=10 * EPSILON / 0.26)
    (pixels,) = (value for value in ours.values() if value.is_floating_point())
    assert pixels.std() > 0.1
    assert len(pixels) == 2 * {**of_each(24 * 24, 1), "qwen3-vl": 20 * 20}[name]


INPUTS = ("pixels", "grid_thw", "pixel_values", "patch_attention_mask")


@pytest.mark.parametrize("name", QWEN)
@torch.no_grad()
def test_qwens_flat_patch_embedding_is_its_convolution(name, tmp_path):
    whole = Whole(MODELS[name]).stir()
    ours = build(MODELS[name], whole.save(tmp_path / "model.safetensors")).model.visual.patch_embed
    assert isinstance(whole.model.visual.patch_embed.proj, nn.Conv3d)
    assert isinstance(ours.proj, nn.Linear)
    patches = whole.inputs(images())["pixel_values"]
    expected = whole.model.visual.patch_embed(patches)
    assert expected.std() > 0.1
    largest = patches.abs().max() * ours.proj.weight.abs().max()
    torch.testing.assert_close(ours(patches), expected, rtol=0, atol=384 * 384 * EPSILON * largest.item())


@each
@torch.no_grad()
def test_a_forward_pass_never_waits_for_the_device(name):
    """Tensors of the meta device have no content, so that reading a number from one is an error."""
    tower, decoder = build(LARGE[name], parts=("vision",)), adapted(LARGE[name], Lora(), parts=("decoder",))
    side = LARGE[name].image_size
    batch = torch.empty(5, side, side, 3, dtype=torch.uint8, device="meta")
    tokens = tower.to("meta").tokens(batch)
    assert tokens.shape == (5, *tower.token_shape)
    assert decoder.to("meta").train().embed(tokens).shape == (5, 48)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen2-vl", [(5, 576), (5, 576)]),
        ("qwen2.5-vl", [(5 * 9, 64), (5, 576)]),  # a layer with windows of 8 x 8 patches, and one without
        ("qwen3-vl", [(5, 400), (5, 400)]),
    ],
)
@torch.no_grad()
def test_qwens_tower_computes_attention_of_all_images_at_once(name, expected, monkeypatch):
    calls, attention = [], qwen2_vl.scaled_dot_product_attention
    monkeypatch.setattr(
        qwen2_vl,
        "scaled_dot_product_attention",
        lambda query, *rest, **named: (calls.append(query.shape), attention(query, *rest, **named))[1],
    )
    build(LARGE[name], parts=("vision",)).tokens(images(5, LARGE[name].image_size))
    assert [(shape[0], shape[2]) for shape in calls] == expected


# ---- adapters ----


def adapters(name):
    """The names of adapters of attention in the decoder, by hand."""
    return {
        f"model.{DECODER[name]}.base_model.model.layers.{layer}.self_attn.{projection}_proj.lora_{side}.default.weight"
        for layer in range(LAYERS[name])
        for projection in "qkvo"
        for side in "AB"
    }


HEAD = {"head.weight", "head.bias"}


@each
@pytest.mark.parametrize("parts", [vlm.WHOLE, ("decoder",)], ids=["whole", "decoder"])
def test_adapters_are_on_the_decoders_attention_and_nowhere_else(name, parts):
    trained = trained_parameters(adapted(MODELS[name], Lora(), parts=parts))
    assert trained.keys() == adapters(name) | HEAD
    # rank * (inputs + outputs) per layer: k and v have 24 outputs with Qwen's two key-value heads, 48 with four
    outputs = of_each([48, 24, 24, 48], [48, 48, 48, 48])[name]
    count = sum(parameter.numel() for key, parameter in trained.items() if key not in HEAD)
    assert count == LAYERS[name] * 16 * sum(48 + output for output in outputs)


@both
@torch.no_grad()
@pytest.mark.parametrize("lora", [Lora(), Lora(vision=True, connector=True)], ids=["decoder", "vision"])
def test_an_adapter_changes_nothing_before_its_first_step_and_follows_from_the_seed(name, lora):
    before = build(MODELS[name])(images())
    first, again, other = (adapted(MODELS[name], lora, seed=seed, stirred=False) for seed in (1, 1, 2))
    assert torch.equal(first(images()), before)
    states = [trained_state(classifier) for classifier in (first, again, other)]
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
    assert all(not torch.equal(tensor, states[2][key]) for key, tensor in states[0].items() if "lora_A" in key)


@each
@pytest.mark.parametrize(
    "lora",
    [Lora(), Lora(vision=True), Lora(connector=True), Lora(vision_blocks=1)],
    ids=["decoder", "vision", "connector", "blocks"],
)
def test_what_is_trained_is_float32_and_gradients_reach_all_of_it_and_nothing_else(name, lora):
    classifier = adapted(MODELS[name], lora, dtype=torch.bfloat16).train()
    assert {parameter.dtype for parameter in trained_parameters(classifier).values()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(images(8))
    logits.square().sum().backward()
    for key, parameter in classifier.named_parameters():
        assert (parameter.grad is not None and parameter.grad.abs().max() > 0) == parameter.requires_grad, key


@both
@pytest.mark.parametrize("vision", [False, True])
def test_a_frozen_tower_stays_in_evaluation_mode(name, vision):
    classifier = adapted(MODELS[name], Lora(vision=vision)).train()
    tower = getattr(classifier.model, TOWER[name])
    assert {module.training for module in tower.modules()} == {vision}
    assert classifier.model.get_submodule(CONNECTOR[name] if not vision else DECODER[name]).training == vision
    assert {module.training for module in getattr(classifier.model, DECODER[name]).modules()} == {True}
    assert {module.training for module in classifier.eval().modules()} == {False}


@with_deepstack
def test_recomputed_activations_give_the_same_gradients_with_dropout_too(name):
    tokens, gradients, calls = build(MODELS[name]).tokens(images()), [], []
    for recompute in (False, True):
        classifier, count = adapted(MODELS[name], Lora(dropout=0.3)).train(), []
        decoder = getattr(classifier.model, DECODER[name])
        decoder.base_model.model.layers[0].input_layernorm.register_forward_hook(
            lambda *_, count=count: count.append(1)
        )
        if recompute:
            classifier.checkpoint_activations()
        torch.manual_seed(5)
        classifier(tokens).sum().backward()
        gradients.append({key: parameter.grad for key, parameter in trained_parameters(classifier).items()})
        calls.append(len(count))
    assert calls == [1, 2]
    for key, gradient in gradients[0].items():
        assert gradient.abs().max() > 0
        assert torch.equal(gradients[1][key], gradient)


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen3-vl"])
def test_compiled_layers_compute_the_same_and_are_compiled_once_for_all(name, monkeypatch):
    """What is compiled is run by PyTorch's own operations here: compiling kernels takes a minute."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    text = {"text_config": {"num_hidden_layers": 3}}
    tokens, gradients, graphs = build(tiny(name, text)).tokens(images(5)), [], []
    for compiled in (False, True):
        torch._dynamo.reset()
        counters.clear()
        classifier = adapted(tiny(name, text), Lora(dropout=0)).train()
        if compiled:
            classifier.checkpoint_activations()
            classifier.compile_layers()
        for count in (5, 3):
            classifier(tokens[:count]).sum().backward()
        gradients.append({key: parameter.grad for key, parameter in trained_parameters(classifier).items()})
        graphs.append(counters["stats"]["unique_graphs"])
    # The first layer's input has no gradient; and each is compiled for the first number of images, then for any number.
    assert graphs == [0, 4]
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/nonexistent"))
    torch._dynamo.reset()
    classifier = adapted(MODELS["smolvlm"], Lora(), parts=("decoder",))
    classifier.compile_layers()
    with (
        pytest.raises(
            HistoBenchError, match=r"^the decoder's layers cannot be compiled \(.*compiler.*\); install .* `compile`"
        ),
        vlm.compiler_errors(),
    ):
        classifier(torch.zeros(2, *classifier.token_shape))
    with pytest.raises(RuntimeError, match="another"), vlm.compiler_errors():
        raise RuntimeError("another")


# ---- saving and loading ----


@with_deepstack
@pytest.mark.parametrize("lora", [Lora(rank=4), Lora(rank=4, vision=True, connector=True)], ids=["decoder", "vision"])
@torch.no_grad()
def test_a_saved_classifier_gives_equal_logits_when_loaded(name, lora, tmp_path):
    trained = adapted(MODELS[name], lora)
    save_trained(tmp_path / "weights.safetensors", trained, "specification")
    # No more is written than what is trained: the rest follows from the specification.
    assert load_file(tmp_path / "weights.safetensors").keys() == trained_parameters(trained).keys()
    fresh = adapted(MODELS[name], lora, seed=99, stirred=False)
    fresh.head.weight.zero_()
    assert not torch.equal(fresh(images()), trained(images()))
    load_trained(tmp_path / "weights.safetensors", fresh, "specification")
    assert torch.equal(fresh(images()), trained(images()))
    if not lora.vision:
        decoder = adapted(MODELS[name], lora, stirred=False, parts=("decoder",))
        load_trained(tmp_path / "weights.safetensors", decoder, "specification")
        assert torch.equal(decoder(trained.tokens(images())), trained(images()))


# ---- building ----


@both
def test_parameters_follow_from_the_seed_and_the_callers_random_state_is_left_alone(name):
    torch.manual_seed(7)
    expected, states = torch.rand(3), []
    for seed, parts in ((0, vlm.WHOLE), (0, vlm.WHOLE), (0, ("decoder",)), (0, ("vision",)), (1, vlm.WHOLE)):
        torch.manual_seed(7)
        classifier = vlm.build(MODELS[name], seed, None, parts)
        states.append(classifier.state_dict() | {"markers": classifier.markers})
        classifier.adapt(Lora(vision="vision" in parts), seed) if "decoder" in parts else None
        assert torch.equal(torch.rand(3), expected)
    first, again, decoder, vision, other = states
    assert first.keys() == again.keys() == other.keys() == decoder.keys() | vision.keys()
    for same in (again, decoder, vision):
        assert all(torch.equal(tensor, first[key]) for key, tensor in same.items())
    assert decoder.keys() & vision.keys() == HEAD | {"markers"}
    assert not torch.equal(other["markers"], first["markers"])
    assert not torch.equal(other["head.weight"], first["head.weight"])


@with_deepstack
@pytest.mark.parametrize("from_file", [False, True])
def test_what_is_not_needed_is_not_there(name, from_file, tmp_path):
    path = Whole(MODELS[name]).save(tmp_path / "model.safetensors") if from_file else None
    parts = {
        part: {key for key, _ in build(MODELS[name], path, parts=(part,)).model.named_children()} for part in vlm.WHOLE
    }
    assert parts["decoder"] == {DECODER[name]}
    assert parts["vision"] == of_each({"visual"}, {"vision_model", "connector"})[name]
    # Of the vocabulary no more than the two markers is kept.
    assert not any("embed_tokens" in key for key in build(MODELS[name], path).state_dict())


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, key: state.pop(key), "lack tensor {key}; delete"),
        (lambda state, key: [state.pop(other) for other in list(state)[1:]], "lack tensor .* and .* more; delete"),
        (lambda state, key: state.update({"lm_head.weight": torch.ones(2)}), "hold an unknown tensor lm_head.weight;"),
        (
            lambda state, key: state.update({key: torch.ones(63, 48)}),
            r"have {key} of shape \(63, 48\), expected \(64, 48\)",
        ),
    ],
    ids=["missing", "many missing", "unknown", "shape"],
)
@pytest.mark.parametrize("parts", [vlm.WHOLE, ("vision",)], ids=["whole", "vision"])
def test_weights_that_do_not_fit_are_refused_by_name(name, change, message, parts, tmp_path):
    state, key = Whole(MODELS[name]).model.state_dict(), f"{DECODER[name]}.embed_tokens.weight"
    change(state, key)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(HistoBenchError, match=message.format(key=key)) as caught:
        build(MODELS[name], tmp_path / "model.safetensors", parts=parts)
    assert str(caught.value).startswith(str(tmp_path / "model.safetensors"))


@each
@torch.no_grad()
def test_without_a_config_in_the_settings_that_in_the_files_metadata_is_used(name, tmp_path):
    settings, path = MODELS[name], tmp_path / "model.safetensors"
    state = Whole(settings).model.state_dict()
    published = settings.model_copy(update={"config": None})
    save_file(state, path, {"config": json.dumps(settings.config)})
    assert torch.equal(build(published, path)(images()), build(settings, path)(images()))
    assert vlm.architecture(published, settings.config).tokens == (16, WIDTH[name])
    save_file(state, path)
    with pytest.raises(HistoBenchError, match=r"model\.safetensors: its metadata hold no config; delete"):
        build(published, path)
    with pytest.raises(HistoBenchError, match="the model has no config"):
        build(published)


@pytest.mark.parametrize("place", [None, "text_config", "vision_config"])
@pytest.mark.parametrize(
    "key", ["_attn_implementation", "attn_implementation", "auto_map", "quantization_config", "dtype"]
)
def test_keys_of_a_config_that_name_code_or_types_are_ignored(key, place):
    """transformers would download and run a kernel of the name in `attn_implementation`."""
    config = copy.deepcopy(MODELS["smolvlm"].config)
    (config[place] if place else config)[key] = "someone/kernels"
    made = vlm.architecture(MODELS["smolvlm"], config)
    assert "someone" not in str(made.config)
    for part in (made.config, made.config.text_config, made.config.vision_config):
        assert part._attn_implementation != "someone/kernels"
