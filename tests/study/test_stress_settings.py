"""The keys `stain` and `stress`: what they name, what they leave as it was, and one sentence for each mistake."""

import copy

import pytest

from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import load
from histobench.study.resolved import resolve
from tests.study.test_config import PAPER, with_change
from tests.study.test_malformed import merged

STRESS = merged("config/studies/stress.yaml")
STRESS["stress"] = copy.deepcopy(STRESS["stress"])  # the file names the blocks of its grid


def test_the_study_shares_the_runs_of_the_default_one_and_stains_have_images_of_their_own():
    study, default = load(STRESS), load(PAPER)
    own = [run for run in study.runs if (run.model, run.mode) == ("resnet34", "ft")]
    assert len(study.stress_runs) == 25
    assert len(own) == 5
    for run in own:
        assert study.path(paths.RUN, **vars(run)) == default.path(paths.RUN, **vars(run))
        assert study.specification(run) == default.specification(run)
        assert study.normalised(run) == {}
    assert "stain" not in study.specification(own[0]).canonical()
    macenko = next(run for run in study.runs if run.mode == "ft-macenko")
    assert '"stain":"macenko"' in study.specification(macenko).canonical()
    kept = with_change("modes.ft-macenko.validation", 0.15, STRESS)
    assert study.normalised(macenko) == {"stain": "macenko", "kept": "none"}
    assert load(kept).normalised(macenko) == {"stain": "macenko", "kept": "0.15-seed0"}
    # Normalised images differ between folds, so that visual tokens cannot be shared.
    assert study.tokens("smolvlm", "lp")
    assert not study.tokens("smolvlm", "lp-macenko")
    assert study.embeds_tokens("smolvlm")


def test_blocks_name_the_shifts_of_their_runs():
    block = STRESS["stress"][0]
    several = [{**block, "shifts": ["jpeg", "stain"]}, {**block, "modes": ["ft"], "shifts": ["blur", "stain"]}]
    study = load(STRESS | {"stress": several})
    resolved = resolve(study)
    shifts = {run.mode: resolved.shifts(run) for run in study.stress_runs}
    assert shifts == {
        "ft": ["jpeg", "stain", "blur"],
        "ft-macenko": ["jpeg", "stain"],
        "ft-reinhard": ["jpeg", "stain"],
    }
    assert len(study.stress_runs) == 15
    assert resolve(load(STRESS | {"stress": [{**block, "magnifications": [40]}]})).stress == []


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("modes.ft.stain", "vahadane", "modes.ft.stain: expected 'macenko' or 'reinhard', found 'vahadane'"),
        (
            "stress.0.shifts",
            ["fog"],
            r"stress.0.shifts.0: expected 'stain', 'blur', 'jpeg', 'brightness' or 'scale', found 'fog'",
        ),
        ("stress.0.shifts", [], "stress.0.shifts: expected at least 1 item"),
        (
            "stress.0.models",
            ["resnet43"],
            "stress.0.models: 'resnet43' is not among `models`; did you mean 'resnet34'?",
        ),
        (
            "stress.0.magnifications",
            [100, 200],
            r"stress.0: breakhis/resnet34/ft/patient/100/none/seed0/fold1 is not in the grid \(nor are 14 others of its 30 runs\); add "
            r"it to `grid`, shorten the block, or write `stress: \[\]`",
        ),
        (
            "modes.ft-macenko.keep_weights",
            False,
            "stress.0: mode 'ft-macenko' does not keep the weights of 'resnet34'; set `keep_weights: true` in the mode",
        ),
    ],
)
def test_a_mistake_is_one_sentence(key, value, sentence):
    with pytest.raises(HistoBenchError, match=sentence):
        load(with_change(key, value, STRESS))


def test_an_external_test_refuses_normalised_images():
    config = with_change("models.resnet34.training.ft.stain", "reinhard")
    with pytest.raises(HistoBenchError) as error:
        load(config)
    assert str(error.value) == (
        "external.0: mode 'ft' normalises the stain of 'resnet34' to its training images, which is not done on another dataset; "
        "take the mode out of the block"
    )
