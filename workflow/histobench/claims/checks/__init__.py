"""The kinds of claims. A new kind is a function in one of these modules and a line here."""

from collections.abc import Callable

from histobench.claims.checks import census, consistency, differences, printed_values, recipe, significance, variability
from histobench.claims.verdicts import Verdict

ON_PAPER: dict[str, Callable[..., Verdict]] = {
    "accuracy_agrees": consistency.accuracy_agrees,
    "all_partitions": census.all_partitions,
    "always_augmented": recipe.always_augmented,
    "auc_of_scores": consistency.auc_of_scores,
    "class_ratio": census.class_ratio,
    "configured": recipe.configured,
    "counts": census.counts,
    "crop_scale": recipe.crop_scale,
    "exceeds": differences.exceeds,
    "f1_agrees": consistency.f1_agrees,
    "fold_deviations": variability.fold_deviations,
    "model_sizes": recipe.model_sizes,
    "not_checkable": recipe.not_checkable,
    "patient_count": census.patient_count,
    "printed": printed_values.printed,
    "product": recipe.product,
    "ranges": printed_values.ranges,
    "significant": significance.significant,
    "signed_rank": significance.signed_rank,
    "split_of_patients": census.split_of_patients,
    "split_sizes": census.split_sizes,
    "steadier": variability.steadier,
    "trainable": recipe.trainable,
    "within": printed_values.within,
}
"""Kind -> what the published tables say; called with a `Paper` and the claim's arguments."""

IN_STUDY: dict[str, Callable[..., Verdict]] = {
    "exceeds": differences.exceeds_in_study,
    "fold_deviations": variability.fold_deviations_in_study,
    "not_checkable": recipe.not_checkable,
    "printed": printed_values.printed_in_study,
    "ranges": printed_values.ranges_in_study,
    "significant": significance.significant_in_study,
    "steadier": variability.steadier_in_study,
    "trainable": recipe.trainable_in_study,
    "within": printed_values.within_in_study,
}
"""Kind -> what a study says; called with `Results` and the same arguments. No study can test the other kinds."""
