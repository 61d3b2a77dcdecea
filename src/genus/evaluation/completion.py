"""How well a model draws what is missing, under fixed masks.

How probable it thinks the missing entries is judged in :mod:`genus.evaluation.held_out`.

The masks, true where an entry is observed:

* ``left half``: pictures; the columns 0 … ⌊W/2⌋ − 1 are observed, the right half is missing.
* ``random half``: every position is observed with probability ½, one fixed draw for each
  example that depends on nothing but its number; all channels of a pixel share their fate.
* ``centre box``: pictures; rows ⌊H/4⌋ … ⌊H/4⌋ + ⌊H/2⌋ − 1 and the like columns are missing,
  all around them is observed.

Data that are no pictures know the random half only.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.engine.seeding import address
from genus.evaluation.batches import Progress, row_batches
from genus.evaluation.figure import Figure, mean_figure
from genus.evaluation.likelihood import conditions
from genus.evaluation.units import has_units, mean_datum, to_units
from genus.model import Completes, Model

__all__ = [
    "Completed",
    "complete_under_masks",
    "completion_error",
    "completion_floor",
    "masks",
]


def masks(shape: tuple[int, ...], n: int) -> dict[str, Bool[Tensor, "example *shape"]]:
    """The masks by name for the first ``n`` examples of this shape; true is observed."""
    generator = torch.Generator().manual_seed(address(0, "completion", "random half"))
    picture = len(shape) == 3
    positions = (1, *shape[1:]) if picture else shape
    coin = torch.rand(n, *positions, generator=generator) < 0.5
    found = {"random half": coin.expand(n, *shape)}
    if picture:
        _, height, width = shape
        left = torch.zeros(n, *shape, dtype=torch.bool)
        left[..., : width // 2] = True
        box = torch.ones(n, *shape, dtype=torch.bool)
        top, first = height // 4, width // 4
        box[..., top : top + height // 2, first : first + width // 2] = False
        found = {"left half": left, **found, "centre box": box}
    return found


@dataclass(frozen=True)
class Completed:
    """Examples under one mask.

    Attributes:
        observed: true where an entry was given.
        drawn: the completed data, in the unit of the data set.
        original: the data, likewise.
    """

    observed: Bool[Tensor, "example *shape"]
    drawn: Tensor
    original: Tensor


@torch.no_grad()
def complete_under_masks(
    model: Model,
    data: Dataset,
    *,
    n: int = 200,
    batch_size: int = 50,
    seconds: float = math.inf,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Completed] | None:
    """The first ``n`` test examples completed under each mask, one draw each.

    Stops after the batch that passes ``seconds``, with as many examples for every mask. None
    for a model that does not complete, and for data without units.

    Raises:
        ValueError: where an argument is out of range.
    """
    check_count("n", n)
    if not isinstance(model, Completes) or not has_units(data):
        return None
    x = data.materialise("test", n)
    labels = conditions(model, data, "test", len(x))
    observed = masks(data.space.shape, len(x))
    drawn: dict[str, list[Tensor]] = {name: [] for name in observed}
    for rows in row_batches(len(x), batch_size, seconds, progress):
        given = None if labels is None else labels[rows]
        for name, mask in observed.items():
            place = address(seed, "completion", name, rows.start)
            filled = model.complete(x[rows], mask[rows], condition=given, seed=place)
            drawn[name].append(to_units(data, filled))
    found = {}
    for name, parts in drawn.items():
        filled = torch.cat(parts)
        count = len(filled)
        found[name] = Completed(observed[name][:count], filled, to_units(data, x[:count]))
    return found


def completion_error(completed: dict[str, Completed]) -> dict[str, Figure]:
    """The mean squared error over the missing entries alone, by mask.

    In the unit of the data set (pictures on [0, 1]). A draw from the true distribution has
    twice the error of its mean: compare with :func:`completion_floor` and between models.
    """
    return {name: _on_missing(c.drawn, c.original, c.observed) for name, c in completed.items()}


@torch.no_grad()
def completion_floor(data: Dataset, *, n: int = 200) -> dict[str, Figure] | None:
    """The error of filling in the mean training datum."""
    check_count("n", n)
    if not has_units(data):
        return None
    x = to_units(data, data.materialise("test", n))
    mean = mean_datum(data).expand_as(x)
    return {
        name: _on_missing(mean, x, observed)
        for name, observed in masks(data.space.shape, len(x)).items()
    }


def _on_missing(filled: Tensor, x: Tensor, observed: Tensor) -> Figure:
    """The mean over examples of the mean squared error over what each one misses."""
    missing = (~observed).flatten(1)
    errors = (filled - x).square().flatten(1) * missing
    counts = missing.sum(1)
    seen = counts > 0
    return mean_figure(errors.sum(1)[seen] / counts[seen])
