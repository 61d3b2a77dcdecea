"""Everything that can be asked of one model on one data set, chosen by what it can answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.seeding import address
from genus.evaluation.completion import (
    Completed,
    complete_under_masks,
    completion_error,
    completion_floor,
)
from genus.evaluation.effort import effort_curve
from genus.evaluation.error_rate import NUM_DRAWS, error_rate, error_rate_floor
from genus.evaluation.feature_network import choose_features
from genus.evaluation.features import (
    neighbour_accuracy,
    neighbour_floor,
    probe_accuracy,
    probe_floor,
)
from genus.evaluation.figure import Figure
from genus.evaluation.held_out import completion_log_likelihood, completion_log_likelihood_floor
from genus.evaluation.layers import layer_likelihoods
from genus.evaluation.likelihood import Likelihood, density_kind, likelihood
from genus.evaluation.metrics import METRICS, QUICK, chosen_metrics
from genus.evaluation.reconstruction import reconstruction_error, reconstruction_floor
from genus.evaluation.reference import Reference
from genus.evaluation.samplers import Sampler, full_sampler_of, given_labels, sampler_of
from genus.evaluation.samples import Quality, sample_quality
from genus.evaluation.speed import (
    Speed,
    forget_peak_memory,
    num_parameters,
    peak_memory,
    sampling_speed,
)
from genus.model import Bracketed, LowerBound, Model

__all__ = ["PARTS", "QUICK_PARTS", "Effort", "Report", "chosen_parts", "evaluate"]

FEWEST_DRAWN = 128
PARTS = (
    "likelihood",
    "curve",
    "layers",
    "reconstruction",
    "completion",
    "held_out",
    "labels",
    "probe",
    "neighbours",
    "speed",
)
"""What is measured of a model itself; its samples are measured by METRICS."""
QUICK_PARTS = ("likelihood", "reconstruction", "completion", "labels", "probe", "speed")
"""What a comparison asks."""
EFFORTS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Effort:
    """How much an evaluation may cost.

    Attributes:
        likelihood_examples: the first so many test examples.
        likelihood_effort: samples or chains per datum; the model's own by default.
        likelihood_seconds: stop after the batch that passes this time.
        samples: at most so many are drawn for the sample figures.
        sample_seconds: and fewer (a power of two) where they would take longer than this.
        completions: at most so many examples are completed under each mask.
        completion_seconds: stop after the batch that passes this time.
        speed_seconds: how long to time a sampler.
        slow_batch: draws at once, at least, where a sampler of full length is timed.
        sampling_steps: of a diffusion that has more, for all but the timing of its full length.
        curve_examples: test examples behind the curve of a bound.
        held_out_examples: at most so many are asked for log p(missing | observed) under each mask.
        held_out_seconds: stop after the batch that passes this time.
        parts: of the model.
        metrics: of the samples; None for all that need not be asked for by name.
    """

    likelihood_examples: int = 2000
    likelihood_effort: int | None = None
    likelihood_seconds: float = 15.0
    samples: int = 2048
    sample_seconds: float = 15.0
    completions: int = 100
    completion_seconds: float = 10.0
    speed_seconds: float = 1.5
    slow_batch: int = 8
    sampling_steps: int = 50
    curve_examples: int = 100
    held_out_examples: int = 50
    held_out_seconds: float = 10.0
    parts: tuple[str, ...] = QUICK_PARTS
    metrics: tuple[str, ...] | None = QUICK


@dataclass
class Report:
    """What was measured; None where the model cannot answer or the data have no such thing.

    Attributes:
        density: "exact", "lower bound", "estimate" or "none".
        likelihood: of the test set.
        curve: the bound at each effort.
        layers: the bound after each layer.
        samples: the draws that were judged, in the model's space.
        quality: of the samples.
        sampler: what drew them, and how often it asked the network.
        speed: of that sampler.
        sampling_memory: how far memory rose while it was timed, in bytes.
        slow_sampler, slow_speed: the model's full-length sampler where it has a shorter one.
        reconstruction, completion, probe: each beside its floor.
        held_out: log p(missing | observed) by mask, beside that of independent entries.
        errors: of a model that tells labels apart, beside those of a constant answer, and
            those of its mean over draws of each datum, where the data are drawn.
        neighbours: as the probe, by a vote of the nearest codes.
        completed: what completion was judged on.
        parameters: how many numbers were learnt.
        seconds: what the evaluation took, by part.
    """

    density: str
    parameters: int
    likelihood: Likelihood | None = None
    curve: dict[int, Figure] | None = None
    layers: dict[int, Figure] | None = None
    samples: Tensor | None = None
    quality: Quality | None = None
    sampler: Sampler | None = None
    speed: Speed | None = None
    sampling_memory: int | None = None
    slow_sampler: Sampler | None = None
    slow_speed: Speed | None = None
    reconstruction: Figure | None = None
    reconstruction_floor: Figure | None = None
    completion: dict[str, Figure] | None = None
    completed: dict[str, Completed] | None = None
    completion_floor: dict[str, Figure] | None = None
    held_out: dict[str, Figure] | None = None
    held_out_floor: dict[str, Figure] | None = None
    errors: Figure | None = None
    errors_floor: Figure | None = None
    errors_over_draws: Figure | None = None
    probe: Figure | None = None
    probe_floor: Figure | None = None
    neighbours: Figure | None = None
    neighbours_floor: Figure | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def evaluate(
    model: Model,
    data: Dataset,
    *,
    effort: Effort | None = None,
    reference: Reference | None = None,
    only: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Asks a model everything that its type can answer.

    Args:
        model: trained.
        data: in the view that it learnt.
        effort: how much to spend.
        reference: real data and their features; made here where it is missing.
        only: names of PARTS, METRICS or figures; by default those of ``effort``.
        seed: of all draws.
        say: told what comes next.

    Raises:
        ValueError: where a name in ``only`` is unknown.
    """
    spend = effort or Effort()
    if only is not None:
        parts, metrics = chosen_parts(only)
        spend = replace(spend, parts=parts, metrics=metrics)
    report = Report(density_kind(model), num_parameters(model))
    asked: dict[str, Callable[[], None]] = {
        "likelihood": lambda: _judge_likelihood(report, model, data, spend, seed),
        "curve": lambda: _draw_curve(report, model, data, spend, seed),
        "layers": lambda: _judge_layers(report, model, data, spend, seed),
        "speed": lambda: _time_samplers(report, model, data, spend, seed),
        "samples": lambda: _judge_samples(
            report, model, data, spend, reference, seed, say, strict=only is not None
        ),
        "reconstruction": lambda: _judge_reconstructions(report, model, data),
        "completion": lambda: _judge_completions(report, model, data, spend, seed),
        "held_out": lambda: _judge_held_out(report, model, data, spend, seed),
        "labels": lambda: _classify(report, model, data, seed),
        "probe": lambda: _probe(report, model, data),
        "neighbours": lambda: _vote(report, model, data),
    }
    for name, ask in asked.items():
        if name in spend.parts or (name in ("speed", "samples") and spend.metrics != ()):
            say(name)
            clock = time.perf_counter()
            ask()
            report.seconds[name] = round(time.perf_counter() - clock, 3)
    return report


FIGURES = {
    "log_likelihood": "likelihood",
    "bits_per_dim": "likelihood",
    "reconstruction_error": "reconstruction",
    "completion_error": "completion",
    "completion_log_likelihood": "held_out",
    "error_rate": "labels",
    "accuracy": "probe",
    "neighbour_accuracy": "neighbours",
    "samples_per_second": "speed",
    "network_evaluations": "speed",
    "sampling_memory": "speed",
    "fid_floor": "fid",
}
"""Figures of a record by the part or metric that gives them."""


def chosen_parts(only: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts of a model's evaluation and the metrics of its samples that these names mean.

    Raises:
        ValueError: for a name that is neither.
    """
    if not only:
        raise ValueError(f"name at least one of {', '.join((*PARTS, *METRICS))}")
    names = [FIGURES.get(name, name) for name in only]
    parts = tuple(name for name in PARTS if name in names)
    return parts, chosen_metrics([name for name in names if name not in PARTS], others=PARTS)


def _judge_likelihood(
    report: Report, model: Model, data: Dataset, spend: Effort, seed: int
) -> None:
    report.likelihood = likelihood(
        model,
        data,
        n=spend.likelihood_examples,
        effort=spend.likelihood_effort,
        seconds=spend.likelihood_seconds,
        seed=seed,
    )
    if report.likelihood is not None:
        report.density = report.likelihood.kind


def _draw_curve(report: Report, model: Model, data: Dataset, spend: Effort, seed: int) -> None:
    """Up to the effort of the likelihood, and to 100 at least."""
    if isinstance(model, LowerBound):
        most = max(100, spend.likelihood_effort or model.effort)
        efforts = sorted({effort for effort in EFFORTS if effort < most} | {most})
        report.curve = effort_curve(
            model,
            data,
            efforts,
            n=spend.curve_examples,
            seconds=spend.likelihood_seconds,
            seed=seed,
        )


def _judge_layers(report: Report, model: Model, data: Dataset, spend: Effort, seed: int) -> None:
    report.layers = layer_likelihoods(
        model,
        data,
        n=spend.likelihood_examples,
        effort=spend.likelihood_effort,
        seconds=spend.likelihood_seconds,
        seed=seed,
    )


def _judge_held_out(report: Report, model: Model, data: Dataset, spend: Effort, seed: int) -> None:
    """With a tenth of the usual chains where each datum needs chains of its own."""
    report.held_out = completion_log_likelihood(
        model,
        data,
        n=spend.held_out_examples,
        effort=max(1, model.effort // 10) if isinstance(model, Bracketed) else None,
        batch_size=2 if isinstance(model, Bracketed) else 10,
        seconds=spend.held_out_seconds,
        seed=seed,
    )
    if report.held_out is not None:
        count = next(iter(report.held_out.values())).num_examples
        report.held_out_floor = completion_log_likelihood_floor(data, n=count)


def _vote(report: Report, model: Model, data: Dataset) -> None:
    report.neighbours = neighbour_accuracy(model, data)
    if report.neighbours is not None:
        report.neighbours_floor = neighbour_floor(data)


def _judge_reconstructions(report: Report, model: Model, data: Dataset) -> None:
    report.reconstruction = reconstruction_error(model, data)
    if report.reconstruction is not None:
        report.reconstruction_floor = reconstruction_floor(data)


def _classify(report: Report, model: Model, data: Dataset, seed: int) -> None:
    report.errors = error_rate(model, data, seed=seed)
    if report.errors is not None:
        report.errors_floor = error_rate_floor(data, seed=seed)
        if data.is_drawn:
            report.errors_over_draws = error_rate(model, data, num_draws=NUM_DRAWS, seed=seed)


def _probe(report: Report, model: Model, data: Dataset) -> None:
    report.probe = probe_accuracy(model, data)
    if report.probe is not None:
        report.probe_floor = probe_floor(data)


def _judge_completions(
    report: Report, model: Model, data: Dataset, spend: Effort, seed: int
) -> None:
    """Completes as many test examples as the time allows."""
    found = complete_under_masks(
        model,
        data,
        n=spend.completions,
        batch_size=10,
        seconds=spend.completion_seconds,
        seed=seed,
    )
    if found is not None:
        report.completed, report.completion = found, completion_error(found)
        count = next(iter(report.completion.values())).num_examples
        report.completion_floor = completion_floor(data, n=count)


def _time_samplers(report: Report, model: Model, data: Dataset, spend: Effort, seed: int) -> None:
    """Draws a second, by the sampler of the samples and by one of full length."""
    sampler = sampler_of(model, data, most_steps=spend.sampling_steps)
    report.sampler = sampler
    forget_peak_memory()
    report.speed = sampling_speed(model, draw=sampler.draw, seconds=spend.speed_seconds, seed=seed)
    report.sampling_memory = peak_memory()
    full = full_sampler_of(model, data)
    if full is not None and full.evaluations > sampler.evaluations:
        report.slow_sampler = full
        report.slow_speed = sampling_speed(
            model,
            draw=full.draw,
            smallest=spend.slow_batch,
            batch_size=max(64, spend.slow_batch),
            seconds=spend.speed_seconds,
            seed=seed,
        )


def _judge_samples(
    report: Report,
    model: Model,
    data: Dataset,
    spend: Effort,
    reference: Reference | None,
    seed: int,
    say: Callable[[str], None],
    *,
    strict: bool,
) -> None:
    """Draws as many as the time allows, and compares them with real data."""
    sampler, speed = report.sampler, report.speed
    assert sampler is not None and speed is not None  # noqa: PT018 - timed before
    n = FEWEST_DRAWN
    while n < spend.samples and 2 * n <= speed.samples_per_second * spend.sample_seconds:
        n *= 2
    n = min(n, spend.samples)
    parts = []
    for start in range(0, n, speed.batch_size):
        size = min(speed.batch_size, n - start)
        parts.append(sampler.draw(size, address(seed, "samples", start), start).cpu())
        say(f"samples: {start + size:,} of {n:,} drawn")
    report.samples = torch.cat(parts)
    if reference is None:
        features = choose_features(data.base, seed=seed)
        reference = None if features is None else Reference(data, features)
    if reference is not None:
        seen = reference.see(reference.units(report.samples), given_labels(model, data, n))
        report.quality = sample_quality(
            seen,
            reference,
            only=spend.metrics,
            strict=strict,
            seed=seed,
            say=lambda name: say(f"samples: {name}"),
        )
