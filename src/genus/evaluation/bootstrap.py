"""How far chance moves a statistic of rows: the bootstrap (Efron 1979).

The rows are drawn anew with replacement, as many as there are, and the statistic is taken again.
Its standard deviation over such draws is the standard error; its 2.5 % and 97.5 % quantiles are
the 95 % percentile interval (Efron & Tibshirani 1993, chapter 13).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.figure import Figure, Sign

__all__ = ["Spread", "bootstrap", "bootstrap_mean", "bootstrapped_mean", "quantiles", "within"]

MOST_DRAWS = 50_000_000
NORMAL = 1.96
FEWEST_RESAMPLES = 200
BLOCK = 4_000_000


class Spread(NamedTuple):
    """A standard error and the ends of a 95 % interval; None where nobody knows."""

    standard_error: float | None
    interval: tuple[float, float] | None


def bootstrap(
    statistic: Callable[[Tensor], float],
    num_rows: int,
    *,
    resamples: int = 200,
    seed: int = 0,
    centre: float | None = None,
) -> Spread:
    """The spread of any statistic of ``num_rows`` rows.

    Args:
        statistic: takes the indices of the chosen rows, shape ``(num_rows,)``.
        num_rows: how many rows there are.
        resamples: how often they are drawn.
        seed: of the draws.
        centre: the statistic of the rows themselves. Given, the draws are moved so that their mean
            lies there: repeated rows push a biased statistic (a Fréchet distance, a Vendi score)
            to one side, and only its spread is wanted. None leaves the percentile interval.
    """
    if num_rows < 2 or resamples < 2:
        return Spread(None, None)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.tensor(
        [
            statistic(torch.randint(num_rows, (num_rows,), generator=generator))
            for _ in range(resamples)
        ],
        dtype=torch.float64,
    )
    if centre is not None:
        draws = draws - draws.mean() + centre
    return Spread(float(draws.std()), quantiles(draws))


def within(spread: Spread, low: float, high: float = math.inf) -> Spread:
    """The interval cut to the values that are possible."""
    ends = spread.interval
    if ends is None:
        return spread
    cut = max(low, min(ends[0], high)), max(low, min(ends[1], high))
    return Spread(spread.standard_error, cut)


def quantiles(draws: Tensor) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of draws."""
    low, high = torch.quantile(
        draws.double(), torch.tensor([0.025, 0.975], dtype=torch.float64)
    ).tolist()
    return low, high


def bootstrap_mean(
    parts: Sequence[Float[Tensor, " row"]], *, resamples: int = 1000, seed: int = 0
) -> Spread:
    """The spread of a sum of means, one for each part, whose rows are drawn independently.

    The standard error is the closed form √Σ s²/n. Where all rows of one part are 0, or all are 1,
    nothing can be drawn anew, yet the true share need not be 0 or 1: the interval is then Wilson's
    (1927), [0, z²/(n + z²)] or its mirror, and a quarter of it the standard error.

    More than 5·10⁷ draws are not made: beyond, the number of resamples shrinks, down to 200.

    Raises:
        ValueError: for an empty part.
    """
    if any(len(part) == 0 for part in parts):
        raise ValueError("each part must have at least 1 row, got none; draw more samples")
    if any(len(part) < 2 for part in parts):
        return Spread(None, None)
    values = [part.detach().cpu().double().flatten() for part in parts]
    if len(values) == 1 and bool((values[0] == values[0][0]).all()) and values[0][0] in (0, 1):
        reach = NORMAL**2 / (len(values[0]) + NORMAL**2)
        ends = (0.0, reach) if values[0][0] == 0 else (1.0 - reach, 1.0)
        return Spread(reach / 4, ends)
    error = math.sqrt(sum(float(part.var()) / len(part) for part in values))
    rounds = max(FEWEST_RESAMPLES, min(resamples, MOST_DRAWS // sum(map(len, values))))
    generator = torch.Generator().manual_seed(seed)
    draws = sum(_means(part, rounds, generator) for part in values)
    assert isinstance(draws, Tensor)
    return Spread(error, quantiles(draws))


def _means(values: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """Means of rows drawn with replacement; of two distinct values, how often is binomial."""
    low, high, n = values.min(), values.max(), len(values)
    upper = values == high
    if bool((upper | (values == low)).all()):
        share = torch.full((resamples,), float(upper.double().mean()), dtype=torch.float64)
        hits = torch.binomial(torch.full_like(share, n), share, generator=generator)
        return low + (high - low) * hits / n
    rounds = max(1, BLOCK // n)
    return torch.cat(
        [
            values[torch.randint(n, (min(rounds, resamples - start), n), generator=generator)].mean(
                1
            )
            for start in range(0, resamples, rounds)
        ]
    )


def bootstrapped_mean(
    values: Float[Tensor, " row"], sign: Sign = "=", note: str = "", *, seed: int = 0
) -> Figure:
    """The mean of values with its standard error s/√n and its bootstrap interval.

    Raises:
        ValueError: where there is no value.
    """
    flat = values.detach().cpu().double().flatten()
    spread = bootstrap_mean([flat], seed=seed)
    return Figure(float(flat.mean()), sign, spread.standard_error, len(flat), note, spread.interval)
