"""How well a model draws what is missing, under fixed masks.

The masks, true where an entry is observed:

* ``left half``: pictures; the columns 0 … ⌊W/2⌋ − 1 are observed, the right half is missing.
* ``random half``: every position is observed with probability ½, one fixed draw for each
  example that depends on nothing but its number; all channels of a pixel share their fate.
* ``centre box``: pictures; rows ⌊H/4⌋ … ⌊H/4⌋ + ⌊H/2⌋ − 1 and the like columns are missing,
  all around them is observed.

Data that are no pictures know the random half only.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from genus.data import Dataset
from genus.engine.seeding import address
from genus.evaluation.figure import Figure, mean_figure
from genus.evaluation.likelihood import conditions
from genus.evaluation.units import has_units, mean_datum, to_units
from genus.model import Completes, Model

__all__ = ["completion_error", "completion_floor", "masks"]


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


@torch.no_grad()
def completion_error(
    model: Model, data: Dataset, *, n: int = 200, batch_size: int = 100, seed: int = 0
) -> dict[str, Figure] | None:
    """The mean squared error of one draw of the missing entries, over those entries alone.

    In the unit of the data set (pictures on [0, 1]), on the first ``n`` test examples. A draw
    from the true distribution has twice the error of its mean: compare with
    :func:`completion_floor` and between models. None for a model that does not complete.
    """
    if not isinstance(model, Completes) or not has_units(data):
        return None
    x = data.materialise("test", n)
    labels = conditions(model, data, "test", len(x))
    figures = {}
    for name, observed in masks(data.space.shape, len(x)).items():
        drawn = [
            model.complete(
                x[rows],
                observed[rows],
                condition=None if labels is None else labels[rows],
                seed=address(seed, "completion", name, rows.start),
            )
            for rows in (slice(i, i + batch_size) for i in range(0, len(x), batch_size))
        ]
        figures[name] = _on_missing(to_units(data, torch.cat(drawn)), to_units(data, x), observed)
    return figures


@torch.no_grad()
def completion_floor(data: Dataset, *, n: int = 200) -> dict[str, Figure] | None:
    """The error of filling in the mean training datum."""
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
