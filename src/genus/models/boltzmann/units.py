"""Kinds of units: one side of a bipartite machine, given what the other side sends."""

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genus.distributions.bernoulli import mean_and_softplus
from genus.distributions.odds import log_odds, mean_rate
from genus.inference.gibbs import bernoulli
from genus.inference.products import plus_product

__all__ = ["Bernoulli", "Discrete", "Units", "softplus"]


def softplus(x: Tensor) -> Tensor:
    """Log(1 + eˣ), linear from 30 on, where the difference is below 10⁻¹³."""
    return F.softplus(x, threshold=30.0)


class Units(nn.Module, ABC):
    """Units x that are independent given a field f, which holds their bias.

        p(x | f) = exp(s(x)·f − R(x)) / exp Σ A(f)

    with a statistic s, which is what the other side sees, and an energy R of their own; A is
    ``log_partition``. Each unit has one or more entries in x, f and the couplings. Draws carry
    no gradient.

    Attributes:
        num_values: how many values a unit may take; None where they are a continuum.
        log_variance: what it learns of its own, if anything.
    """

    num_values: int | None
    log_variance: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("log_variance", None)

    @property
    def logistic(self) -> bool:
        """Whether a unit is 1 with probability σ(f), and else 0."""
        return False

    @abstractmethod
    def width(self, num_units: int) -> int:
        """How many entries so many units have."""

    @abstractmethod
    def states(self, x: Tensor) -> Float[Tensor, "batch entry"]:
        """Values of the units, shape ``(batch, units)``, as entries."""

    @abstractmethod
    def values(self, entries: Tensor) -> Tensor:
        """Entries, or means of them, as values of the units (or means of these)."""

    @abstractmethod
    def spread_mask(self, mask: Tensor) -> Tensor:
        """A mask of units as one of their entries."""

    @abstractmethod
    def statistic(self, x: Tensor) -> Tensor:
        """s(x), of the shape of x."""

    @abstractmethod
    def energy(self, x: Tensor, bias: Tensor) -> Float[Tensor, " batch"]:
        """R(x) − s(x)·bias + Σ ``ground(bias)``: what the units cost by themselves."""

    @abstractmethod
    def ground(self, bias: Tensor) -> Tensor:
        """What ``energy`` adds so that it is in the form of the textbooks, for each unit."""

    @abstractmethod
    def log_partition(self, field: Tensor) -> Tensor:
        """A(f) of each unit, shape ``(..., units)``."""

    @abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """E[x | f]."""

    @abstractmethod
    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """``mean``, and ``log_partition`` summed over the units; without a gradient.

        What both share is found once.
        """

    @abstractmethod
    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """Draws from p(x | f); ``inplace`` may overwrite the field."""

    @abstractmethod
    def variance_of(self, weights: Tensor, field: Tensor) -> Float[Tensor, "batch row"]:
        """Var(w·x | f) for each row w of the weights."""

    @abstractmethod
    def gain(self, x: Tensor, base_bias: Tensor, bias: Tensor) -> Float[Tensor, " batch"]:
        """What x gains from β = 0 to β = 1 by itself: its base energy less its energy.

        Without the grounds of both, so that the state 0 gains nothing; summed in float64.
        """

    @abstractmethod
    def log_base_partition(self, base_bias: Tensor) -> Tensor:
        """A(b₀) of each unit at β = 0, in float64."""

    @abstractmethod
    def draw_at(
        self, beta: float, base_bias: Tensor, bias: Tensor, weights: Tensor, other: Tensor
    ) -> Tensor:
        """Draws of x ∝ exp(β s(x)·(W y) − (1 − β) E₀(x) − β E₁(x)) given the other side y.

        E₀ is the energy under ``base_bias`` (and the base's variance), E₁ the present one.
        """

    @abstractmethod
    def bias_for(self, mean: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The bias at which the units have this mean; ValueError where they cannot."""


class Discrete(Units):
    """Units with finitely many values, whose statistic is x and whose energy is in x·bias."""

    @final
    def statistic(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    @final
    def ground(self, bias: Tensor) -> Tensor:
        """Nothing."""
        return bias.new_zeros(())

    @final
    def gain(self, x: Tensor, base_bias: Tensor, bias: Tensor) -> Float[Tensor, " batch"]:
        """x·(b − b₀)."""
        return x @ (bias - base_bias)

    @final
    def log_base_partition(self, base_bias: Tensor) -> Tensor:
        """A(b₀)."""
        return self.log_partition(base_bias.double())

    @final
    def draw_at(
        self, beta: float, base_bias: Tensor, bias: Tensor, weights: Tensor, other: Tensor
    ) -> Tensor:
        """Draws at the field (1 − β) b₀ + β (b + W y)."""
        mixed = torch.lerp(base_bias, bias, beta)
        field = plus_product(mixed, other, weights.T, beta)
        return self.draw(field.to(bias.dtype), inplace=True)


@final
class Bernoulli(Discrete):
    """0 or 1, with p(x = 1 | f) = σ(f) and A(f) = log(1 + eᶠ)."""

    num_values = 2

    @property
    def logistic(self) -> bool:
        """Unless somebody has changed them."""
        return type(self) is Bernoulli

    def width(self, num_units: int) -> int:
        """One entry each."""
        return num_units

    def states(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def values(self, entries: Tensor) -> Tensor:
        """The entries themselves."""
        return entries

    def spread_mask(self, mask: Tensor) -> Tensor:
        """The mask itself."""
        return mask

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """−x·b."""
        return -(x @ bias)

    def log_partition(self, field: Tensor) -> Tensor:
        """Log(1 + eᶠ)."""
        return softplus(field)

    def mean(self, field: Tensor) -> Tensor:
        """σ(f)."""
        return field.sigmoid()

    def mean_and_log_partition(self, field: Tensor) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """σ(f), and Σ log(1 + eᶠ)."""
        return mean_and_softplus(field)

    def draw(self, field: Tensor, *, inplace: bool = False) -> Tensor:
        """1 with probability σ(f)."""
        return bernoulli(field.sigmoid_() if inplace else field.sigmoid())

    def variance_of(self, weights: Tensor, field: Tensor) -> Tensor:
        """Σⱼ wⱼ² σ(fⱼ) σ(−fⱼ)."""
        return (field.sigmoid() * (-field).sigmoid()) @ weights.square().T

    def bias_for(self, mean: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The log odds; what is always 0 or 1 gets the odds of one exception in a thousand."""
        return log_odds(mean_rate(mean, shape, like))
