"""How probable a datum is to a diffusion: the variational bound and what closes it.

With q(x₁ … x_T | x₀) the path and p the reverse chain (Sohl-Dickstein et al. 2015),

    log p(x₀) ≥ −L_T − Σₜ₌₂ᵀ Lₜ₋₁ − L₀
    L_T   = KL(q(x_T | x₀) ‖ p(x_T))
    Lₜ₋₁  = E KL(q(xₜ₋₁ | xₜ, x₀) ‖ p(xₜ₋₁ | xₜ))
    L₀    = −E log p(x₀ | x₁)
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genus.inference.path import Path, widen
from genus.inference.solver import Denoise
from genus.models.diffusion.last_step import LastStep

__all__ = ["Chain", "step_divergence", "step_law", "trajectory_bound", "variational_bound"]


class Chain(NamedTuple):
    """The two chains, to noise and back, over all steps.

    Attributes:
        path: to noise.
        denoise: back.
        spread: the denoiser's mean squared error at each t, shape ``(T + 1,)``.
        last_step: from x₁'s x̂₀ to the datum.
    """

    path: Path
    denoise: Denoise
    spread: Tensor
    last_step: LastStep


def step_divergence(chain: Chain, y: Tensor, t: Tensor) -> Float[Tensor, " batch"]:
    """A draw of Lₜ₋₁ for t ≥ 2: the divergence in closed form at one draw of xₜ.

    ½ [D (v/w − 1 − log v/w) + b² |x₀ − x̂₀|² / w],  w = v + b² r
    """
    x_t = chain.path.noised(y, t, torch.randn_like(y))
    _, from_x0, variance = chain.path.posterior(t, t - 1)
    wide = variance + from_x0**2 * chain.spread[t]
    ratio = variance / wide
    constant = y[0].numel() * (ratio - 1 - ratio.log())
    square = (y - chain.denoise(x_t, t)).flatten(1).square().sum(1)
    return 0.5 * (constant.to(square) + (from_x0**2 / wide).to(square) * square)


def _log_last(chain: Chain, y: Tensor, x_first: Tensor) -> Float[Tensor, " batch"]:
    """log p(x₀ | x₁)."""
    return chain.last_step.log_prob(y, chain.denoise(x_first, torch.ones(len(y), dtype=torch.long)))


def variational_bound(chain: Chain, y: Tensor, num_times: int) -> Float[Tensor, " batch"]:
    """An unbiased draw of the variational bound, in nats.

    L_T is exact, and L₀ has an evaluation of its own. The steps 2 … T are all visited where
    ``num_times`` is at least T − 1; else as many times are drawn, the likelier the more a
    step is expected to cost, spread evenly over that law, and weighted by its inverse.

    Args:
        chain: the model.
        y: data on the real line.
        num_times: evaluations of the network beside the one for L₀.
    """
    path, one = chain.path, torch.ones(len(y), dtype=torch.long)
    bound = _log_last(chain, y, path.noised(y, one, torch.randn_like(y)))
    bound = bound - path.prior_divergence(y)
    if num_times >= path.num_steps - 1:
        for step in range(2, path.num_steps + 1):
            bound = bound - step_divergence(chain, y, torch.full((len(y),), step))
        return bound
    law = step_law(chain)
    total = law.cumsum(0)
    for number in range(num_times):
        place = (number + torch.rand(len(y), dtype=torch.float64)) / num_times
        index = torch.searchsorted(total, place).clamp(max=len(law) - 1)
        weight = 1.0 / (num_times * law[index])
        bound = bound - weight.to(y) * step_divergence(chain, y, index + 2)
    return bound


def step_law(chain: Chain) -> Float[Tensor, " steps"]:
    """Probabilities of the steps 2 … T in proportion to what each is expected to cost.

    Where the expected error is right, E Lₜ₋₁ = ½ D log(1 + b² r / v); a tenth is spread over
    all steps, lest one that costs more than expected is hardly ever seen.
    """
    t = torch.arange(2, chain.path.num_steps + 1)
    _, from_x0, variance = chain.path.posterior(t, t - 1)
    error = torch.where(chain.spread[t] > 0, chain.spread[t], chain.path.sigma[t] ** 2).detach()
    cost = torch.log1p(from_x0**2 * error / variance)
    return 0.9 * cost / cost.sum() + 0.1 / len(t)


def trajectory_bound(chain: Chain, y: Tensor, num_trajectories: int) -> Float[Tensor, " batch"]:
    """log (1/K) Σₖ p(x₀, xᵏ) / q(xᵏ | x₀) over K trajectories xᵏ = (x₁ … x_T) from q.

    Its mean never exceeds log p(x₀), rises with K and tends to it (Burda et al. 2016).
    """
    weights = [_log_weight(chain, y) for _ in range(num_trajectories)]
    return torch.stack(weights).logsumexp(0) - math.log(num_trajectories)


def _log_weight(chain: Chain, y: Tensor) -> Float[Tensor, " batch"]:
    """log p(x₀, x₁ … x_T) − log q(x₁ … x_T | x₀) at one trajectory, drawn from T down."""
    path = chain.path
    last = torch.full((len(y),), path.num_steps)
    noise = torch.randn_like(y)
    x = path.noised(y, last, noise)
    total = (path.alpha[-1] ** 2 + path.sigma[-1] ** 2).expand(len(y))
    weight = _log_ratio(x, torch.zeros_like(x), total, noise, path.sigma[last] ** 2)
    for step in range(path.num_steps, 1, -1):
        t = torch.full((len(y),), step)
        mean, wide = path.reverse(x, chain.denoise(x, t), t, t - 1, chain.spread[step])
        from_x_t, from_x0, variance = path.posterior(t, t - 1)
        noise = torch.randn_like(y)
        centre = widen(from_x_t, x) * x + widen(from_x0, x) * y
        x = centre + widen(variance.sqrt(), x) * noise
        weight = weight + _log_ratio(x, mean, wide, noise, variance)
    return weight + _log_last(chain, y, x)


def _log_ratio(
    x: Tensor, mean: Tensor, variance: Tensor, noise: Tensor, other: Tensor
) -> Float[Tensor, " batch"]:
    """Log N(x; mean, variance) − log N(noise; 0, 1) / √other, summed over a datum."""
    squares = noise**2 - (x - mean) ** 2 / widen(variance, x)
    return 0.5 * squares.flatten(1).sum(1) - 0.5 * x[0].numel() * (variance / other).log().to(x)
