"""How often tests reject, on few small studies; `make bench ARGS=statistics` measures the same on more."""

import math

import pytest

from benchmarks.statistics import one
from tests.evaluation.null_studies import Design

pytestmark = pytest.mark.slow
STUDIES = 120
ERROR = 4 * (0.05 * 0.95 / STUDIES) ** 0.5  # four standard errors of a share of 0.05: 0.080
METRICS = pytest.mark.parametrize("metric", ["accuracy", "auc"])


def share(design: Design) -> dict[tuple[str, str], float]:
    found = [one(design, seed) for seed in range(STUDIES)]
    return {key: math.fsum(item[key] for item in found) / STUDIES for key in found[0]}


@pytest.fixture(scope="module")
def null() -> dict[tuple[str, str], float]:
    return share(Design(trained=False))


@METRICS
def test_without_a_difference_tests_reject_as_often_as_they_say(
    null: dict[tuple[str, str], float], metric: str
) -> None:
    for test in ("flip", "bootstrap", "corrected"):
        assert null[test, metric] <= 0.05 + ERROR, test
    # Five folds cannot give a two-sided p of 0.05, and give 0.0625 in one of 16 such studies.
    assert null["wilcoxon", metric] == 0
    assert null["wilcoxon10", metric] <= 0.0625 + 4 * (0.0625 * 0.9375 / STUDIES) ** 0.5


@METRICS
def test_images_of_a_patient_are_not_independent(null: dict[tuple[str, str], float], metric: str) -> None:
    assert null["images", metric] > 0.05 + 2 * ERROR


@METRICS
def test_a_difference_is_found(metric: str) -> None:
    found = [one(Design(advantage=0.3, trained=False), seed) for seed in range(20)]
    for test in ("flip", "bootstrap"):
        assert sum(item[test, metric] for item in found) >= 16
    assert sum(item["difference", metric] for item in found) / 20 > 0.05
