"""Text after the image, and answers to prompts, compared with the complete transformers models on small random parameters."""

import functools

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from histobench.io.errors import HistoBenchError
from histobench.models import build, prompts, vlm
from histobench.models.vlm_architecture import family
from histobench.study.recipes import Lora
from histobench.study.spec import RunSpec
from tests.models.test_vlm import MODELS, ROUNDING, Whole, both, images

TEXT = [10, 20, 30, 20]
PROMPTS = [TEXT, [33, 10]]
MALIGNANT, BENIGN = [[40], [41, 42], [41, 42, 43, 40]], [[50], [41, 51]]
BATCH = images()


@functools.cache
def generator(name):
    """The model with language-model head, every parameter drawn at random, and what makes its inputs."""
    import transformers

    whole = Whole(MODELS[name], seed=5).stir()
    kind = {"qwen2-vl": "Qwen2VL", "smolvlm": "Idefics3"}[name]
    with torch.random.fork_rng():
        torch.manual_seed(6)
        made = getattr(transformers, f"{kind}ForConditionalGeneration")(whole.model.config).eval()
        torch.nn.init.normal_(made.lm_head.weight, std=0.5)
    made.lm_head.weight = torch.nn.Parameter(made.lm_head.weight.detach().clone())  # not tied
    made.model = whole.model
    return made, whole


@pytest.fixture
def weights(tmp_path):
    """Return the path of a family's parameters, as they are converted."""
    return lambda name: generator(name)[1].save(tmp_path / f"{name}.safetensors")


def flat(*texts):
    return [token for some in texts for text in some for token in text]


def zero_shot(name, path, **more):
    text = flat(PROMPTS, MALIGNANT, BENIGN)
    classifier = vlm.build(MODELS[name], 0, path, text=text, **more)
    head = generator(name)[0].lm_head.weight.detach()
    return prompts.ZeroShotClassifier(classifier, head, PROMPTS, MALIGNANT, BENIGN).eval()


@both
@torch.no_grad()
def test_with_text_the_logits_of_images_and_of_tokens_are_those_of_the_complete_model(name, weights):
    classifier = vlm.build(MODELS[name], 0, weights(name), text=TEXT).eval()
    whole = generator(name)[1]
    expected = classifier.head(whole.model(**whole.inputs(BATCH, TEXT)).last_hidden_state[:, -1])[:, 0]
    without = vlm.build(MODELS[name], 0, weights(name)).eval()(BATCH)
    assert (expected - without).abs().max() > 0.05
    tokens = classifier.tokens(BATCH)
    decoder = vlm.build(MODELS[name], 0, weights(name), parts=("decoder",), text=TEXT).eval()
    for logits in (classifier(BATCH), classifier(tokens), decoder(tokens)):
        torch.testing.assert_close(logits, expected, **ROUNDING)


def test_qwens_positions_go_on_after_the_image():
    made, whole = generator("qwen2-vl")
    inputs = whole.inputs(BATCH, TEXT)
    theirs, _ = made.model.get_rope_index(
        *(inputs[key] for key in ("input_ids", "mm_token_type_ids", "image_grid_thw"))
    )
    ours = family("qwen2-vl").positions(4, len(TEXT))
    assert ours.expand(-1, 3, -1).tolist() == theirs.tolist()
    assert ours[:, 0, -5:].tolist() == [[5, 6, 7, 8, 9]] * 3


@both
@torch.no_grad()
def test_words_have_the_probabilities_that_the_complete_model_gives_them(name, weights):
    made, whole = generator(name)
    expected = []
    for prompt in PROMPTS:
        words = []
        for word in (*MALIGNANT, *BENIGN):
            logits = made(**whole.inputs(BATCH, [*prompt, *word[:-1]])).logits
            log_p = logits[:, -len(word) :].float().log_softmax(-1)
            words.append(sum(log_p[:, place, token] for place, token in enumerate(word)))
        expected.append(torch.stack(words, dim=1))
    module = zero_shot(name, weights(name))
    for prompt, words in zip(PROMPTS, expected, strict=True):
        torch.testing.assert_close(module.log_probabilities(BATCH, prompt), words, rtol=0, atol=1e-4)
        step = made.generate(
            **whole.inputs(BATCH, prompt), max_new_tokens=1, do_sample=False, output_scores=True,
            return_dict_in_generate=True, pad_token_id=0,
        )  # fmt: skip
        first = step.scores[0].log_softmax(-1)[:, [MALIGNANT[0][0], BENIGN[0][0]]]
        torch.testing.assert_close(words[:, [0, 3]], first, rtol=0, atol=1e-4)
    p = [words.double().exp() for words in expected]
    logits = torch.stack([(one[:, :3].sum(1) / one[:, 3:].sum(1)).log() for one in p], dim=1)
    assert logits.std() > 0.1
    tokens = module.classifier.tokens(BATCH)
    decoder = zero_shot(name, weights(name), parts=("decoder",))
    for ours in (module(BATCH), module(tokens), decoder(tokens)):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), logits, rtol=0, atol=1e-4)
    assert not [parameter for parameter in module.parameters() if parameter.requires_grad]


def spec(name, **recipe):
    return RunSpec(model=MODELS[name], recipe=recipe, augmentation=[], magnification=40, fold=1, seed=0)


@both
@torch.no_grad()
def test_a_run_of_a_random_model_reads_bytes_as_tokens(name):
    """Of 64 tokens three or two are markers; the others are counted from 0."""
    markers = {"qwen2-vl": (1, 2, 3), "smolvlm": (2, 3)}[name]
    free = [token for token in range(64) if token not in markers]
    ids = [free[byte % len(free)] for byte in "Is it é?".encode()]
    module = build.build(spec(name, trainable="lora", lora=Lora(), prompt="Is it é?"), None, "fp32").eval()
    module.head.load_state_dict((expected := vlm.build(MODELS[name], 0, None, text=ids).eval()).head.state_dict())
    assert torch.equal(module(BATCH), expected(BATCH))
    answers = {"malignant": ["m", "mm"], "benign": ["b"]}
    asked = build.zero_shot(
        spec(name, trainable="none", prompts=["a", "bc"], answers=answers), None, "fp32", False, None, None
    )
    assert asked.eval()(BATCH).shape == (3, 2)


@pytest.fixture
def tokenizer(tmp_path):
    """A tokenizer of words, which would begin and end each text by tokens of its own."""
    from tokenizers.processors import TemplateProcessing

    known = {"[UNK]": 0, "Is": 10, "it": 20, "malignant": 30, "far": 64}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken("<image>")])
    made.post_processor = TemplateProcessing(single="[UNK] $A [UNK]", special_tokens=[("[UNK]", 0)])
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_published_tokenizer_cuts_text(tokenizer):
    made = vlm.architecture(MODELS["smolvlm"])
    assert prompts.token_ids(made, ["Is it malignant", "it"], tokenizer) == [[10, 20, 30], [20]]
    with pytest.raises(HistoBenchError, match="'far' has no tokens that the model knows"):
        prompts.token_ids(made, ["far"], tokenizer)
    made.config.image_token_id = Tokenizer.from_file(str(tokenizer)).token_to_id("<image>")
    made.config.text_config.vocab_size = 70
    with pytest.raises(HistoBenchError, match="'<image> it' holds an image marker"):
        prompts.token_ids(made, ["<image> it"], tokenizer)
    tokenizer.write_text("{")
    with pytest.raises(HistoBenchError, match="is no tokenizer"):
        prompts.token_ids(made, ["it"], tokenizer)


def test_a_published_model_needs_its_tokenizer_and_head(tmp_path):
    published = MODELS["smolvlm"].model_copy(update={"weights": {"hub": "a/b", "revision": "0" * 40}, "config": None})
    path = tmp_path / "weights.safetensors"
    save_file({"x": torch.zeros(1)}, path, {vlm.CONFIG: "{}"})
    text = spec("smolvlm", trainable="head", prompt="a").model_copy(update={"model": published})
    with pytest.raises(HistoBenchError, match=r"^--tokenizer: for a smolvlm with weights .* it is missing"):
        build.backbone(text, path, "fp32")
