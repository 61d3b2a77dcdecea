"""Honest figures: functions of a model and data, chosen by what the model can answer."""

from genus.evaluation.completion import (
    Completed,
    complete_under_masks,
    completion_error,
    completion_floor,
    masks,
)
from genus.evaluation.effort import effort_curve
from genus.evaluation.energy_distance import energy_distance
from genus.evaluation.error_rate import error_rate, error_rate_floor
from genus.evaluation.evaluate import PARTS, Effort, Report, chosen_parts, evaluate
from genus.evaluation.feature_network import Features, choose_features
from genus.evaluation.features import (
    neighbour_accuracy,
    neighbour_floor,
    probe_accuracy,
    probe_floor,
)
from genus.evaluation.figure import Figure
from genus.evaluation.frechet import Moments, frechet_distance, frechet_figure
from genus.evaluation.held_out import (
    completion_log_likelihood,
    completion_log_likelihood_floor,
)
from genus.evaluation.layers import layer_likelihoods
from genus.evaluation.likelihood import Likelihood, density_kind, likelihood
from genus.evaluation.metrics import METRICS, chosen_metrics
from genus.evaluation.neighbours import Manifold, manifold, nearest
from genus.evaluation.reconstruction import reconstruction_error, reconstruction_floor
from genus.evaluation.reference import Reference, Seen, closest_pairs, nearest_real
from genus.evaluation.samples import Quality, sample_quality
from genus.evaluation.speed import Speed, network_evaluations, num_parameters, sampling_speed

__all__ = [
    "METRICS",
    "PARTS",
    "Completed",
    "Effort",
    "Features",
    "Figure",
    "Likelihood",
    "Manifold",
    "Moments",
    "Quality",
    "Reference",
    "Report",
    "Seen",
    "Speed",
    "choose_features",
    "chosen_metrics",
    "chosen_parts",
    "closest_pairs",
    "complete_under_masks",
    "completion_error",
    "completion_floor",
    "completion_log_likelihood",
    "completion_log_likelihood_floor",
    "density_kind",
    "effort_curve",
    "energy_distance",
    "error_rate",
    "error_rate_floor",
    "evaluate",
    "frechet_distance",
    "frechet_figure",
    "layer_likelihoods",
    "likelihood",
    "manifold",
    "masks",
    "nearest",
    "nearest_real",
    "neighbour_accuracy",
    "neighbour_floor",
    "network_evaluations",
    "num_parameters",
    "probe_accuracy",
    "probe_floor",
    "reconstruction_error",
    "reconstruction_floor",
    "sample_quality",
    "sampling_speed",
]
