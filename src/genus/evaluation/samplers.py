"""How a model's samples are drawn, and how often that asks its network."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Literal, Protocol

import torch
from torch import Tensor

from genus.data import Dataset
from genus.evaluation.speed import network_evaluations
from genus.model import Model
from genus.models.autoregressive import MADE, PixelCNN
from genus.models.boltzmann import (
    RBM,
    BoltzmannMachine,
    DeepBeliefNetwork,
    HiddenBoltzmannMachine,
)
from genus.models.diffusion import Diffusion

__all__ = ["Draw", "Sampler", "full_sampler_of", "given_labels", "sampler_of"]


class Draw(Protocol):
    """From a number and a seed to that many draws.

    A conditional model is given the labels of training data, from the one numbered ``start`` on.
    """

    def __call__(self, n: int, seed: int, start: int = 0) -> Tensor:
        """The draws, in the model's space."""


@dataclass(frozen=True)
class Sampler:
    """A way to draw from a model.

    Attributes:
        name: what a report calls it; empty where a model has one way only.
        evaluations: passes through the network, one after another, behind every draw.
        draw: the way.
    """

    name: str
    evaluations: int
    draw: Draw


def sampler_of(model: Model, data: Dataset, *, most_steps: int = 50) -> Sampler:
    """The sampler that pictures and sample figures use.

    It is the model's own, except for a diffusion of more than ``most_steps`` steps, which goes
    through that many of DDIM's. A conditional model is given the labels of training data.
    """
    if isinstance(model, Diffusion) and model.num_evaluations > most_steps:
        return _diffusion_sampler(model, data, "ddim", most_steps)
    if isinstance(model, Diffusion):
        return _diffusion_sampler(model, data, model.sampler, model.sampling_steps)

    def draw(n: int, seed: int, start: int = 0) -> Tensor:
        return model.sample(n, condition=given_labels(model, data, n, start), seed=seed)

    return Sampler("", evaluations(model, lambda: draw(1, 0)), draw)


def full_sampler_of(model: Model, data: Dataset) -> Sampler | None:
    """Ancestral sampling through every step of a diffusion; None for other models."""
    if isinstance(model, Diffusion):
        return _diffusion_sampler(model, data, "ddpm", None)
    return None


@singledispatch
def evaluations(model: Model, action: Callable[[], object]) -> int:
    """How often one draw asks the network; counted, where nobody knows better."""
    return network_evaluations(model, action)


@evaluations.register(MADE)
@evaluations.register(PixelCNN)
def _one_for_each_entry(model: Model, action: Callable[[], object]) -> int:
    return model.space.num_dimensions


@evaluations.register(RBM)
@evaluations.register(BoltzmannMachine)
@evaluations.register(HiddenBoltzmannMachine)
@evaluations.register(DeepBeliefNetwork)
def _one_for_each_gibbs_step(
    model: RBM | BoltzmannMachine | HiddenBoltzmannMachine | DeepBeliefNetwork,
    action: Callable[[], object],
) -> int:
    return model.num_steps


def _diffusion_sampler(
    model: Diffusion, data: Dataset, kind: Literal["ddpm", "ddim"], steps: int | None
) -> Sampler:
    def draw(n: int, seed: int, start: int = 0) -> Tensor:
        with _sampling(model, kind, steps):
            return model.sample(n, condition=given_labels(model, data, n, start), seed=seed)

    with _sampling(model, kind, steps):
        count = model.num_evaluations
    return Sampler(f"{kind.upper()}, {count} evaluations", count, draw)


@contextlib.contextmanager
def _sampling(model: Diffusion, kind: Literal["ddpm", "ddim"], steps: int | None) -> Iterator[None]:
    """Inside, the model samples in this way; afterwards as before."""
    before = model.sampler, model.sampling_steps
    model.sampler, model.sampling_steps = kind, steps
    try:
        yield
    finally:
        model.sampler, model.sampling_steps = before


def given_labels(model: Model, data: Dataset, n: int, start: int = 0) -> Tensor | None:
    """The labels that a conditional model draws under, in the order of the training data."""
    if model.condition is None:
        return None
    labels = data.labels("train")
    if labels is None:
        raise ValueError(
            f"the model is conditioned on {model.condition}; {data.name} has no labels"
        )
    return labels[torch.arange(start, start + n) % len(labels)]
