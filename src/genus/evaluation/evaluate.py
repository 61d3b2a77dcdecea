"""Everything that can be asked of one model on one data set, chosen by what it can answer."""

import time
from dataclasses import dataclass, field
from typing import Any

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
from genus.evaluation.feature_network import choose_features
from genus.evaluation.features import probe_accuracy, probe_floor
from genus.evaluation.figure import Figure
from genus.evaluation.likelihood import Likelihood, density_kind, likelihood
from genus.evaluation.reconstruction import reconstruction_error, reconstruction_floor
from genus.evaluation.samplers import Sampler, full_sampler_of, sampler_of
from genus.evaluation.samples import Quality, Reference, sample_quality
from genus.evaluation.speed import Speed, num_parameters, sampling_speed
from genus.model import Model

__all__ = ["Effort", "Report", "evaluate"]

FEWEST_DRAWN = 128


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


@dataclass
class Report:
    """What was measured; None where the model cannot answer or the data have no such thing.

    Attributes:
        density: "exact", "lower bound", "estimate" or "none".
        likelihood: of the test set.
        samples: the draws that were judged, in the model's space.
        quality: of the samples.
        sampler: what drew them, and how often it asked the network.
        speed: of that sampler.
        slow_sampler, slow_speed: the model's full-length sampler where it has a shorter one.
        reconstruction, completion, probe: each beside its floor.
        completed: what completion was judged on.
        parameters: how many numbers were learnt.
        seconds: what the evaluation took, by part.
    """

    density: str
    parameters: int
    likelihood: Likelihood | None = None
    samples: Tensor | None = None
    quality: Quality | None = None
    sampler: Sampler | None = None
    speed: Speed | None = None
    slow_sampler: Sampler | None = None
    slow_speed: Speed | None = None
    reconstruction: Figure | None = None
    reconstruction_floor: Figure | None = None
    completion: dict[str, Figure] | None = None
    completed: dict[str, Completed] | None = None
    completion_floor: dict[str, Figure] | None = None
    probe: Figure | None = None
    probe_floor: Figure | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def evaluate(
    model: Model,
    data: Dataset,
    *,
    effort: Effort | None = None,
    reference: Reference | None = None,
    seed: int = 0,
) -> Report:
    """Asks a model everything that its type can answer.

    Args:
        model: trained.
        data: in the view that it learnt.
        effort: how much to spend.
        reference: real data and their features; made here where it is missing.
        seed: of all draws.
    """
    spend = effort or Effort()
    report = Report(density_kind(model), num_parameters(model))
    with _timed(report, "likelihood"):
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
    with _timed(report, "samples"):
        _judge_samples(report, model, data, spend, reference, seed)
    with _timed(report, "reconstruction"):
        report.reconstruction = reconstruction_error(model, data)
        if report.reconstruction is not None:
            report.reconstruction_floor = reconstruction_floor(data)
    with _timed(report, "completion"):
        _judge_completions(report, model, data, spend, seed)
    with _timed(report, "probe"):
        report.probe = probe_accuracy(model, data)
        if report.probe is not None:
            report.probe_floor = probe_floor(data)
    return report


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


def _judge_samples(
    report: Report,
    model: Model,
    data: Dataset,
    spend: Effort,
    reference: Reference | None,
    seed: int,
) -> None:
    """Times the sampler, draws as many as the time allows, and compares them with real data."""
    sampler = sampler_of(model, data, most_steps=spend.sampling_steps)
    speed = sampling_speed(model, draw=sampler.draw, seconds=spend.speed_seconds, seed=seed)
    report.sampler, report.speed = sampler, speed
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
    n = FEWEST_DRAWN
    while n < spend.samples and 2 * n <= speed.samples_per_second * spend.sample_seconds:
        n *= 2
    n = min(n, spend.samples)
    parts = [
        sampler.draw(min(speed.batch_size, n - start), address(seed, "samples", start))
        for start in range(0, n, speed.batch_size)
    ]
    report.samples = torch.cat(parts).cpu()
    if reference is None:
        features = choose_features(data.base, seed=seed)
        reference = None if features is None else Reference(data, features)
    if reference is not None:
        report.quality = sample_quality(report.samples, reference, seed=seed)


class _timed:  # noqa: N801 - reads as the statement it is
    """Adds the time of a block to a report."""

    def __init__(self, report: Report, name: str) -> None:
        self.report, self.name = report, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: Any) -> None:
        self.report.seconds[self.name] = round(time.perf_counter() - self.start, 3)
