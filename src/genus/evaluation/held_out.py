"""How probable the missing part of a datum is to a model that sees the rest.

The masks are those of :mod:`genus.evaluation.completion`. A squared error rewards a blurred
mean; this rewards saying how sure one is.
"""

import math

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.engine.seeding import address
from genus.evaluation.batches import Progress, row_batches
from genus.evaluation.completion import masks
from genus.evaluation.figure import Figure, Sign, mean_figure
from genus.evaluation.likelihood import conditions
from genus.model import Model, Predicts
from genus.spaces import Categorical, Numeric, Space

__all__ = ["completion_log_likelihood", "completion_log_likelihood_floor"]

MOST_TRAINING = 5000
LEAST_DEVIATION = 1e-3


@torch.no_grad()
def completion_log_likelihood(
    model: Model,
    data: Dataset,
    *,
    n: int = 50,
    effort: int | None = None,
    batch_size: int = 10,
    seconds: float = math.inf,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Figure] | None:
    """The mean of log p(missing | observed) by mask, in nats for all that is missing of a datum.

    The sign is the model's own: "=" where it is computed, "<=" where p(observed) was estimated
    without bias in the denominator, "~" for a ratio of two estimates. Of dequantised data it is
    a density in units of one level given dequantised neighbours, and bounds nothing. None for
    a model that cannot tell.

    Args:
        model: over the space of ``data``.
        data: the test part is judged.
        n: the first n examples.
        effort: particles, chains or samples for each datum; the model's own by default.
        batch_size: examples at once.
        seconds: stop after the batch that passes this time, with as many examples for all masks.
        seed: of the draws behind an estimate.
        progress: told after each batch.

    Raises:
        ValueError: where an argument is out of range.
    """
    if not isinstance(model, Predicts):
        return None
    check_count("n", n)
    x = data.materialise("test", n)
    labels = conditions(model, data, "test", len(x))
    observed = masks(data.space.shape, len(x))
    values: dict[str, list[Tensor]] = {name: [] for name in observed}
    signs: dict[str, set[Sign]] = {name: set() for name in observed}
    for rows in row_batches(len(x), batch_size, seconds, progress):
        for name, mask in observed.items():
            found = model.conditional_log_prob(
                x[rows],
                mask[rows],
                effort=effort,
                condition=None if labels is None else labels[rows],
                seed=address(seed, "held out", name, rows.start),
            )
            values[name].append(found.value.cpu().double())
            signs[name].add(found.sign)
    volume = data.log_volume / data.space.num_dimensions
    figures = {}
    for name, parts in values.items():
        judged = torch.cat(parts)
        missing = (~observed[name][: len(judged)]).flatten(1).sum(1)
        some = missing > 0
        figures[name] = mean_figure(
            (judged + volume * missing)[some], _common(signs[name]), _note(missing[some])
        )
    return figures


@torch.no_grad()
def completion_log_likelihood_floor(data: Dataset, *, n: int = 50) -> dict[str, Figure]:
    """The same for entries that ignore each other: each follows its own training frequencies.

    Levels and categories are counted, with one added to each count; reals are normal. Of
    dequantised data the levels are judged.
    """
    check_count("n", n)
    base = data.base
    x = base.materialise("test", n)
    train = base.materialise("train", min(MOST_TRAINING, base.train.num_examples))
    each = _independent(base.space, train.flatten(1), x.flatten(1))
    figures = {}
    for name, observed in masks(base.space.shape, len(x)).items():
        missing = (~observed).flatten(1)
        some = missing.any(1)
        figures[name] = mean_figure((each * missing).sum(1)[some], "=", _note(missing.sum(1)[some]))
    return figures


def _independent(space: Space, train: Tensor, x: Tensor) -> Tensor:
    """log p of every entry under its own distribution in the training data."""
    levels = _num_values(space)
    if levels is None:
        deviation = train.double().std(0).clamp_min(LEAST_DEVIATION)
        return torch.distributions.Normal(train.double().mean(0), deviation).log_prob(x.double())
    counts = torch.ones(levels, train.shape[1], dtype=torch.float64)
    counts.scatter_add_(0, train.long(), torch.ones(train.shape, dtype=torch.float64))
    return (counts / counts.sum(0)).log().gather(0, x.long())


def _num_values(space: Space) -> int | None:
    if isinstance(space, Categorical):
        return space.num_categories
    return space.levels if isinstance(space, Numeric) else None


def _common(signs: set[Sign]) -> Sign:
    """The sign of a mean of figures with these signs."""
    others = signs - {"="}
    if not others:
        return "="
    return others.pop() if len(others) == 1 else "~"


def _note(missing: Tensor) -> str:
    return f"{float(missing.double().mean()):.4g} entries missing"
