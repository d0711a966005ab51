"""The kinds of claims. A new kind is a function in one of these modules and a line here."""

from collections.abc import Callable

from histobench.claims.checks import (
    census,
    consistency,
    differences,
    final_losses,
    printed_values,
    recipe,
    significance,
    variability,
)
from histobench.claims.verdicts import Verdict

Check = Callable[..., Verdict]
CHECKS: dict[str, tuple[Check, Check | None]] = {
    "accuracy_agrees": (consistency.accuracy_agrees, None),
    "all_partitions": (census.all_partitions, None),
    "always_augmented": (recipe.always_augmented, None),
    "auc_of_scores": (consistency.auc_of_scores, None),
    "class_ratio": (census.class_ratio, None),
    "configured": (recipe.configured, None),
    "counts": (census.counts, None),
    "crop_scale": (recipe.crop_scale, None),
    "exceeds": (differences.exceeds, differences.exceeds_in_study),
    "f1_agrees": (consistency.f1_agrees, None),
    "fold_deviations": (variability.fold_deviations, variability.fold_deviations_in_study),
    "lower_loss": (final_losses.lower_loss, final_losses.lower_loss_in_study),
    "model_sizes": (recipe.model_sizes, None),
    "not_checkable": (recipe.not_checkable, None),
    "patient_count": (census.patient_count, None),
    "printed": (printed_values.printed, printed_values.printed_in_study),
    "product": (recipe.product, None),
    "ranges": (printed_values.ranges, printed_values.ranges_in_study),
    "significant": (significance.significant, significance.significant_in_study),
    "signed_rank": (significance.signed_rank, None),
    "split_of_patients": (census.split_of_patients, None),
    "split_sizes": (census.split_sizes, None),
    "steadier": (variability.steadier, variability.steadier_in_study),
    "trainable": (recipe.trainable, recipe.trainable_in_study),
    "within": (printed_values.within, printed_values.within_in_study),
}
"""Kind -> what the published tables say, and what a study says, None where no study can test such a claim.

The first is called with a `Paper` and the claim's arguments, the second with `Results` and the same arguments.
"""
