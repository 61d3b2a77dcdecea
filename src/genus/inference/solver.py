"""From noise back to data along a path, given a denoiser."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from genus.inference.path import Path, widen

__all__ = ["Denoise", "Solution", "ancestral", "ddim", "repaint"]

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From xₜ, shape ``(batch, ...)``, and t, an integer tensor ``(batch,)`` on the CPU, to x₀."""


class Solution(NamedTuple):
    """Where a solver arrived, and how often it asked the network.

    Attributes:
        x0: what the denoiser makes of the last state.
        num_evaluations: of the denoiser, each for a whole batch.
    """

    x0: Tensor
    num_evaluations: int


def ancestral(
    path: Path,
    denoise: Denoise,
    x: Tensor,
    times: Sequence[int],
    *,
    spread: Tensor | None = None,
) -> Solution:
    """Algorithm 2 of Ho et al. (2020), over all steps or fewer.

    Args:
        path: of the process.
        denoise: the network.
        x: noise at ``times[0]``.
        times: falling.
        spread: the denoiser's mean squared error at each t, shape ``(T + 1,)``; see
            :meth:`~genus.inference.path.Path.reverse`. None takes the small variance.
    """
    for t, s in pairwise(times):
        x0 = denoise(x, _all(t, x))
        x = _step_back(path, x, x0, t, s, spread)
    return Solution(denoise(x, _all(times[-1], x)), len(times))


def ddim(
    path: Path, denoise: Denoise, x: Tensor, times: Sequence[int], *, eta: float = 0.0
) -> Solution:
    """Equation 12 of Song et al. (2021): a deterministic map from noise to data at η = 0.

        xₛ = αₛ x̂₀ + √(σₛ² − η² v) ε̂ + η √v noise,  v that of the posterior q(xₛ | xₜ, x₀)

    Args:
        path: of the process.
        denoise: the network.
        x: noise at ``times[0]``.
        times: falling.
        eta: 0 adds no noise; 1 is the small variance of :func:`ancestral`.
    """
    for t, s in pairwise(times):
        now, then = _all(t, x), _all(s, x)
        x0 = denoise(x, now)
        variance = eta**2 * path.posterior(now, then)[2]
        kept = (path.sigma[then] ** 2 - variance).sqrt()
        x = widen(path.alpha[then], x) * x0 + widen(kept, x) * path.from_x0("epsilon", x0, x, now)
        if eta > 0:
            x = x + widen(variance.sqrt(), x) * torch.randn_like(x)
    return Solution(denoise(x, _all(times[-1], x)), len(times))


def repaint(
    path: Path,
    denoise: Denoise,
    x: Tensor,
    times: Sequence[int],
    *,
    known: Tensor,
    observed: Bool[Tensor, "batch *shape"],
    spread: Tensor | None = None,
    jump: int = 5,
    resamplings: int = 4,
) -> Solution:
    """Fills in what is not observed (algorithm 1 of Lugmayr et al. 2022, with jumps).

    The known part is noised to each step's level and put beside the drawn part; every
    ``jump`` steps the whole is noised again by as many steps, ``resamplings`` − 1 times, so
    that the two parts come to agree. The draws follow p(missing | observed) only
    approximately, however good the denoiser.

    Args:
        path: of the process.
        denoise: the network.
        x: noise at ``times[0]``.
        times: falling.
        known: data; entries that are not observed do not matter.
        observed: true where ``known`` is.
        spread: as in :func:`ancestral`.
        jump: steps of ``times`` that a jump goes back.
        resamplings: passes over each stretch of ``jump`` steps.
    """
    x0, here, num_evaluations = x, 0, 0
    for place in _visits(len(times) - 1, jump, resamplings):
        t, s = times[here], times[place]
        if place > here:
            x0, num_evaluations = denoise(x, _all(t, x)), num_evaluations + 1
            drawn = _step_back(path, x, x0, t, s, spread)
            noised = path.noised(known, _all(s, x), torch.randn_like(x))
            x = torch.where(observed, noised, drawn)
        else:
            scale, variance = path.transition(_all(s, x), _all(t, x))
            x = widen(scale, x) * x + widen(variance.sqrt(), x) * torch.randn_like(x)
        here = place
    x0 = denoise(x, _all(times[-1], x))
    return Solution(torch.where(observed, known, x0), num_evaluations + 1)


def _all(t: int, x: Tensor) -> Tensor:
    """The time of every row."""
    return torch.full((len(x),), t)


def _step_back(path: Path, x: Tensor, x0: Tensor, t: int, s: int, spread: Tensor | None) -> Tensor:
    """A draw of p(xₛ | xₜ)."""
    error = 0.0 if spread is None else spread[t]
    mean, variance = path.reverse(x, x0, _all(t, x), _all(s, x), error)
    return mean + widen(variance.sqrt(), x) * torch.randn_like(x)


def _visits(last: int, jump: int, resamplings: int) -> Iterator[int]:
    """Places 1 … last in turn; each multiple of ``jump`` is left backwards and reached again."""
    for place in range(1, last + 1):
        yield place
        if place % jump == 0:
            for _ in range(resamplings - 1):
                yield from range(place - jump, place + 1)
