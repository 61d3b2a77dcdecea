"""How far a bound rises as more is spent on it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.engine.seeding import address
from genus.evaluation.batches import Progress, row_batches
from genus.evaluation.figure import Figure, Sign, mean_figure
from genus.evaluation.likelihood import Split, conditions
from genus.model import AnnealedBound, LowerBound, Model, WeightedBound

__all__ = ["effort_curve"]

MOST_AT_ONCE = 2048


@torch.no_grad()
def effort_curve(
    model: Model,
    data: Dataset,
    efforts: Sequence[int] = (1, 10, 100),
    *,
    split: Split = "test",
    n: int | None = 100,
    batch_size: int = 50,
    seconds: float = math.inf,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, Figure] | None:
    """The mean bound in nats at each effort; None for a model whose density is no bound.

    Where a bound rests on an annealed log Z, all of the curve is an estimate.

    All efforts see the same data. For a :class:`~genus.model.WeightedBound` one pass draws as
    many samples as the largest effort asks for; smaller efforts K are averages over separate
    groups of K of them, so that each has its own bound's mean with less noise, and where every
    effort divides the next the curve can only rise. Other bounds are asked once per effort.

    Args:
        model: over the space of ``data``.
        data: whose ``log_volume`` is added, as in :func:`~genus.evaluation.likelihood`.
        efforts: samples for each datum, in any order.
        split: what to judge on.
        n: the first n examples; None for all.
        batch_size: examples at once; at most 2,048 of their samples are in memory at once.
        seconds: stop after the batch that passes this time.
        seed: of the draws.
        progress: told after each batch.

    Raises:
        ValueError: where an argument is out of range.
    """
    if not isinstance(model, LowerBound):
        return None
    wanted = sorted({check_count("efforts", effort) for effort in efforts})
    if not wanted:
        raise ValueError("efforts must name at least one effort, such as (1, 10, 100)")
    if n is not None:
        check_count("n", n)
    x = data.materialise(split, n)
    labels = conditions(model, data, split, len(x))
    bounds: dict[int, list[Tensor]] = {effort: [] for effort in wanted}
    for rows in row_batches(len(x), batch_size, seconds, progress):
        given = None if labels is None else labels[rows]
        place = address(seed, "effort", rows.start)
        if isinstance(model, WeightedBound):
            weights = _weights(model, x[rows], given, wanted[-1], place)
            for effort in wanted:
                bounds[effort].append(grouped_bound(weights, effort))
            continue
        for effort in wanted:
            drawn = model.lower_bound(x[rows], effort=effort, condition=given, seed=place)
            bounds[effort].append(drawn.cpu().double())
    annealed = isinstance(model, AnnealedBound) and not model.sums_exactly
    sign: Sign = "~" if annealed else ">="
    return {
        effort: mean_figure(torch.cat(parts) + data.log_volume, sign, f"effort {effort}")
        for effort, parts in bounds.items()
    }


def grouped_bound(log_weights: Tensor, effort: int) -> Tensor:
    """The mean over separate groups of K weights of log (1/K) Σ w, for each row."""
    groups = log_weights.shape[1] // effort
    used = log_weights[:, : groups * effort].reshape(-1, groups, effort)
    return used.logsumexp(2).mean(1) - math.log(effort)


def _weights(
    model: WeightedBound, x: Tensor, given: Tensor | None, num_samples: int, place: int
) -> Tensor:
    """Log weights, shape ``(batch, samples)``, in float64 and few at a time."""
    count = max(1, min(num_samples, MOST_AT_ONCE // len(x)))
    parts = []
    for start in range(0, num_samples, count):
        drawn = model.log_weights(
            x,
            min(count, num_samples - start),
            condition=given,
            seed=address(place, "weights", start),
        )
        parts.append(drawn.cpu().double())
    return torch.cat(parts, dim=1)
