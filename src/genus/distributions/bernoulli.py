"""Bernoulli entries, from one logit each."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.head import Head, at_least_float32

__all__ = ["Bernoulli", "entropy", "log_bernoulli", "mean_and_softplus"]


@torch.no_grad()
def mean_and_softplus(logit: Tensor) -> tuple[Tensor, Tensor]:
    """σ(a), and log(1 + eᵃ) = a − log σ(a), which costs less than a softplus; no gradients.

    The second to the rounding of a; it is 0 where σ(a) is below the least normal number.
    """
    mean = logit.sigmoid()
    log_mean = mean.clamp_min(torch.finfo(mean.dtype).tiny).log_()
    return mean, torch.sub(logit, log_mean, out=log_mean).clamp_min_(0.0)


@torch.no_grad()
def entropy(probability: Tensor) -> Tensor:
    """−p log p − (1 − p) log(1 − p) of each entry in nats, 0 at both ends; carries no gradient.

    By logarithms that are vectorised, as ``torch.special.entr`` is not: ten times as fast.
    """
    least = torch.finfo(probability.dtype).tiny
    other = 1.0 - probability
    total = probability.clamp_min(least).log_().mul_(probability)
    return total.add_(other.clamp_min(least).log_().mul_(other)).neg_()


def log_bernoulli(
    logit: Float[Tensor, "*batch units"], value: Float[Tensor, "*#batch units"]
) -> Float[Tensor, "*batch"]:
    """Σ x·a − log(1 + eᵃ) over the last dimension: how probable bits are, in nats.

    Its gradient x − σ(a) for the logits needs no other pass over them. The bits carry none.

    Raises:
        ValueError: where the bits ask for a gradient.
    """
    if value.requires_grad:
        raise ValueError("value must be draws that carry no gradient; detach them")
    found: Tensor = _LogBernoulli.apply(at_least_float32(logit), value)
    return found


class _LogBernoulli(torch.autograd.Function):
    """log p of bits, whose means are kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, logit: Tensor, value: Tensor) -> Tensor:
        """Sums over the last dimension."""
        mean, softplus = mean_and_softplus(logit)
        ctx.save_for_backward(mean, value)
        return (value * logit).sub_(softplus).sum(-1)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        """(x − σ) times the gradient from above."""
        mean, value = ctx.saved_tensors
        slope = (value - mean).mul_(outputs[0].unsqueeze(-1))
        return slope.sum_to_size(mean.shape), None


class Bernoulli(Head):
    """p(x = 1) = σ(logit)."""

    num_parameters = 1

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """x·logit − log(1 + e^logit), which never overflows."""
        logits = at_least_float32(parameters.squeeze(1))
        return -F.binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none")

    def sample(self, parameters: Tensor) -> Tensor:
        """0 or 1."""
        probabilities = self.mean(parameters)
        return (torch.rand_like(probabilities) < probabilities).to(probabilities.dtype)

    def mean(self, parameters: Tensor) -> Tensor:
        """σ(logit)."""
        return at_least_float32(parameters.squeeze(1)).sigmoid()
