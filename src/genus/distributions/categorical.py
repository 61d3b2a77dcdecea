"""Categorical entries, from one logit for each category."""

import torch
from torch import Tensor

from genus.distributions.head import Head, at_least_float32

__all__ = ["Categorical"]


class Categorical(Head):
    """p(x = k) ∝ e^logit_k, without order among the k.

    Args:
        num_categories: of each entry.
        dtype: of the draws.
    """

    def __init__(self, num_categories: int, dtype: torch.dtype | None = torch.int64) -> None:
        if num_categories < 2:
            raise ValueError(f"num_categories must be at least 2, got {num_categories}")
        self.num_parameters = num_categories
        self.dtype = dtype

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """logit_x − log Σ_k e^logit_k."""
        log_probs = at_least_float32(parameters).log_softmax(1)
        return log_probs.gather(1, x.long().unsqueeze(1)).squeeze(1)

    def sample(self, parameters: Tensor) -> Tensor:
        """By the Gumbel maximum: argmax (logit_k − log(−log u_k))."""
        logits = at_least_float32(parameters)
        noise = torch.empty_like(logits).exponential_().log()
        drawn = (logits - noise).argmax(1)
        return drawn.to(logits.dtype if self.dtype is None else self.dtype)

    def mean(self, parameters: Tensor) -> Tensor:
        """Σ_k k p(k): meaningful where the categories are levels."""
        probabilities = at_least_float32(parameters).softmax(1)
        levels = torch.arange(self.num_parameters).to(probabilities)
        return torch.einsum("bk...,k->b...", probabilities, levels)
