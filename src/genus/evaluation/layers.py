"""What each further layer of a deep network is worth: the bound after one, two, … of them."""

import math
from dataclasses import replace

import torch

from genus.data import Dataset
from genus.engine.seeding import address
from genus.evaluation.batches import Progress, row_batches
from genus.evaluation.figure import Figure, Sign, mean_figure
from genus.evaluation.likelihood import Split, conditions
from genus.model import Estimated, LayeredBound, Model

__all__ = ["layer_likelihoods"]


@torch.no_grad()
def layer_likelihoods(
    model: Model,
    data: Dataset,
    *,
    split: Split = "test",
    n: int | None = None,
    effort: int | None = None,
    batch_size: int = 100,
    seconds: float = math.inf,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, Figure] | None:
    """The mean bound in nats of the network that ends after each layer; None for other models.

    A figure is an estimate where the log Z of its last pair was annealed, and a bound where it
    was summed. All see the same data.

    Args:
        model: over the space of ``data``.
        data: whose ``log_volume`` is added, as in :func:`~genus.evaluation.likelihood`.
        split: what to judge on.
        n: the first n examples; None for all.
        effort: samples for each datum; the model's own by default.
        batch_size: examples at once.
        seconds: stop after the batch that passes this time.
        seed: of the draws.
        progress: told after each batch.
    """
    if not isinstance(model, LayeredBound):
        return None
    x = data.materialise(split, n)
    labels = conditions(model, data, split, len(x))
    parts: list[Estimated] = []
    for rows in row_batches(len(x), batch_size, seconds, progress):
        given = None if labels is None else labels[rows]
        place = address(seed, "layers", rows.start)
        parts.append(model.layer_bounds(x[rows], effort=effort, condition=given, seed=place))
    bounds = torch.cat([part.value for part in parts]).cpu().double()
    errors = torch.cat([part.standard_error for part in parts]).cpu().double().mean(0)
    found = {}
    for depth, (values, error) in enumerate(zip(bounds.T, errors.tolist(), strict=True), 1):
        sign: Sign = "~" if error else ">="
        note = "of x alone, without its label" if labels is not None else ""
        if depth == bounds.shape[1]:
            note = ""
        mean = mean_figure(values + data.log_volume, sign, note)
        spread = mean.standard_error
        spread = None if spread is None else math.hypot(spread, error)
        found[depth] = replace(mean, standard_error=spread)
    return found
