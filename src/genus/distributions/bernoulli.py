"""Bernoulli entries, from one logit each."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.head import Head, at_least_float32

__all__ = ["Bernoulli", "entropy", "log_bernoulli", "log_bernoulli_each", "mean_and_softplus"]

FOLDS = 2
"""Twice halved, factors of at least ½ make one of at least 1/16, and logarithms a small part."""


@torch.no_grad()
def mean_and_softplus(
    logit: Float[Tensor, "*batch units"],
) -> tuple[Float[Tensor, "*batch units"], Float[Tensor, "*batch"]]:
    """σ(a) of each unit, and Σ log(1 + eᵃ) over the units; no gradients.

    The sum is Σ max(a, 0) − log Π max(σ(a), 1 − σ(a)), to the rounding of 1 for each unit. As no
    factor is below ½, one logarithm, which is what costs most here, does for four units; for two
    where their number is not divisible by 4, and for one where it is odd.
    """
    mean = logit.sigmoid()
    likelier = 1.0 - mean
    torch.maximum(mean, likelier, out=likelier)
    for _ in range(FOLDS):
        if likelier.shape[-1] % 2 == 0:
            near, far = likelier.chunk(2, -1)
            likelier = near * far
    return mean, logit.clamp_min(0.0).sum(-1).sub_(likelier.log_().sum(-1))


@torch.no_grad()
def entropy(probability: Tensor) -> Tensor:
    """−p log p − (1 − p) log(1 − p) of each entry in nats, 0 at both ends; carries no gradient.

    By logarithms that are vectorised, as ``torch.special.entr`` is not.
    """
    least = torch.finfo(probability.dtype).tiny
    other = 1.0 - probability
    total = probability.clamp_min(least).log_().mul_(probability)
    return total.add_(other.clamp_min(least).log_().mul_(other)).neg_()


def log_bernoulli_each(logit: Tensor, value: Tensor) -> Tensor:
    """x·a − log(1 + eᵃ) of each entry, in nats and in float32 at least; shapes may broadcast."""
    odds, bits = torch.broadcast_tensors(at_least_float32(logit), value)
    return -F.binary_cross_entropy_with_logits(odds, bits.to(odds.dtype), reduction="none")


def log_bernoulli(
    logit: Float[Tensor, "*#batch units"], value: Float[Tensor, "*#batch units"]
) -> Float[Tensor, "*batch"]:
    """How probable bits are together: the sum of those of each over the last dimension."""
    return log_bernoulli_each(logit, value).sum(-1)


class Bernoulli(Head):
    """p(x = 1) = σ(logit)."""

    num_parameters = 1

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """x·logit − log(1 + e^logit), which never overflows."""
        return log_bernoulli_each(parameters.squeeze(1), x)

    def sample(self, parameters: Tensor) -> Tensor:
        """0 or 1."""
        probabilities = self.mean(parameters)
        return (torch.rand_like(probabilities) < probabilities).to(probabilities.dtype)

    def mean(self, parameters: Tensor) -> Tensor:
        """σ(logit)."""
        return at_least_float32(parameters.squeeze(1)).sigmoid()
