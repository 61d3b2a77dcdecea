"""The checks, each with the capability that it judges."""

from collections.abc import Callable

from genus.model import (
    Completes,
    Continues,
    Density,
    Encodes,
    Energy,
    Estimate,
    Exact,
    Latent,
    LowerBound,
    Model,
    Predicts,
)
from genus.testing.case import Case
from genus.testing.checks import bounds, completion, density, energy, everyone, latent, learning

__all__ = ["CHECKS", "Check", "checks_for"]

Check = Callable[[Case], None]

CHECKS: tuple[tuple[type[Model], Check], ...] = (
    (Model, everyone.samples_lie_in_the_space),
    (Model, everyone.same_seed_same_samples),
    (Model, everyone.answers_leave_the_model_alone),
    (Model, everyone.saved_and_loaded_is_the_same),
    (Model, everyone.bad_arguments_are_value_errors),
    (Model, everyone.condition_matters),
    (Model, learning.resume_equals_no_interruption),
    (Model, learning.every_parameter_moves),
    (Model, learning.fit_is_repeatable),
    (Model, learning.fitting_moves_samples_to_the_data),
    (Model, learning.em_never_lowers_the_likelihood),
    (Density, density.log_prob_has_one_number_a_row),
    (Density, density.rows_do_not_see_one_another),
    (Density, density.bad_data_are_value_errors),
    (Exact, density.sums_to_one),
    (Exact, density.samples_follow_log_prob),
    (Exact, density.log_prob_equals_reference),
    (LowerBound, bounds.bound_is_below),
    (LowerBound, bounds.bound_closes),
    (Estimate, bounds.estimate_agrees),
    (Energy, energy.gibbs_keeps_the_distribution),
    (Energy, energy.free_energy_differences_are_log_prob_differences),
    (Energy, energy.rows_of_free_energy_are_independent),
    (Latent, latent.prior_decodes_into_the_space),
    (Latent, latent.rows_decode_independently),
    (Encodes, latent.rows_encode_independently),
    (Encodes, latent.reconstruct_is_decode_of_encode),
    (Completes, completion.observed_entries_survive),
    (Completes, completion.seeds_complete_differently),
    (Completes, completion.draws_follow_the_conditional),
    (Predicts, completion.conditional_log_prob_keeps_its_sign),
    (Continues, completion.prefix_survives),
)


def checks_for(model: Model) -> list[Check]:
    """Those that judge a capability which the model has."""
    return [check for kind, check in CHECKS if isinstance(model, kind)]
