"""Claims about losses, which papers draw but do not print."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np

from histobench.claims.evidence import Estimate, Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Unavailable, arm_name
from histobench.claims.verdicts import Case, Verdict, grade


def lower_loss(
    paper: Paper, figures: str, first: Sequence[str], second: Sequence[str], losses: Sequence[str]
) -> Verdict:
    """Say that no table holds a loss."""
    raise Unavailable(f"losses are drawn in {figures} but not tabulated")


def lower_loss_in_study(
    study: Results, figures: str, first: Sequence[str], second: Sequence[str], losses: Sequence[str]
) -> Verdict:
    """Return whether each arm of `first` ends with lower losses than each arm of `second`, in the setting of Table 4.

    Arms are `MODEL/MODE`, losses columns of history.csv.
    """
    return grade(
        [
            Case(
                f"final {loss.replace('_', ' ')}, {arm_name(other)} over {arm_name(one)}",
                partial(loss_difference, study, one, other, loss),
            )
            for one, other, loss in product(first, second, losses)
        ]
    )


def loss_difference(study: Results, lower: str, other: str, loss: str) -> Estimate:
    """Return the difference of a loss after the last epoch, `other` minus `lower`: a mean over folds.

    In each fold it is the mean over magnifications and seeds. Histories hold one number a fold, so that no group can be
    resampled: the interval is the corrected t interval of Nadeau and Bengio (Machine Learning 52, 2003, 239, eq. 9), mean +-
    t(k - 1) x sd x sqrt(1/k + n_test/n_train), which accounts for the training images that folds share.

    Raises:
        Unavailable: the arms do not share two or more folds.
    """
    from scipy.special import stdtrit

    one, two = study.final_losses(lower, loss), study.final_losses(other, loss)
    folds = sorted({fold for _, fold in one})
    if one.keys() != two.keys() or len(folds) < 2:
        raise Unavailable(f"{arm_name(lower)} and {arm_name(other)} do not share two or more complete folds")
    values = [np.mean([two[key] - one[key] for key in one if key[1] == fold]) for fold in folds]
    k, mean = len(folds), float(np.mean(values))
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / k + 1 / (k - 1))

    def ends(cases: int) -> tuple[float, float]:
        half = float(stdtrit(k - 1, 1 - 0.025 / cases)) * error
        return mean - half, mean + half

    return Estimate(mean, ends, f"t interval of {k} folds")
