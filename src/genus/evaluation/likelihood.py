"""How probable held-out data are: the value, a bound or an estimate, as the type allows."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.seeding import address
from genus.evaluation.figure import Figure, Sign, mean_figure
from genus.model import Density, Estimate, Exact, LowerBound, Model
from genus.models.boltzmann import RBM
from genus.spaces import Pixels

__all__ = ["Kind", "Likelihood", "density_kind", "likelihood"]

Kind = Literal["exact", "lower bound", "estimate", "none"]

REVERSE = "log Z by reverse annealing: with AIS, the two sides of a bracket if the chains mix"
SIGNS: dict[Kind, Sign] = {"exact": "=", "lower bound": ">=", "estimate": "~"}


@dataclass(frozen=True)
class Likelihood:
    """The mean log probability of held-out data.

    Attributes:
        nats: per datum, with its sign and standard error.
        bits_per_dim: −nats / (D ln 2).
        kind: what the sign means: that of the type, but exact where an estimate is without
            error, as that of a small RBM is.
        effort: samples or chains behind a bound or an estimate; None for an exact density.
        space: on what the density stands; only figures of the same space can be compared.
        reverse: for annealed importance sampling, the estimate from the other side.
    """

    nats: Figure
    bits_per_dim: Figure
    kind: Kind
    effort: int | None
    space: str
    reverse: Figure | None = None


def density_kind(model: Model) -> Kind:
    """What a model's ``log_prob`` is, by its type."""
    if isinstance(model, Exact):
        return "exact"
    if isinstance(model, LowerBound):
        return "lower bound"
    return "estimate" if isinstance(model, Estimate) else "none"


@torch.no_grad()
def likelihood(
    model: Model,
    data: Dataset,
    *,
    split: Literal["train", "valid", "test"] = "test",
    n: int | None = None,
    effort: int | None = None,
    batch_size: int = 100,
    seconds: float = math.inf,
    seed: int = 0,
) -> Likelihood | None:
    """The mean log-likelihood of a split; None for a model that has none.

    Args:
        model: over the space of ``data``.
        data: whose ``log_volume`` turns a density of dequantised data into a bound on the
            probability of the levels.
        split: what to judge on.
        n: the first n examples; all of them by default.
        effort: samples (a bound) or chains (an estimate) per datum; the model's own by default.
        batch_size: examples at once.
        seconds: stop after the batch that passes this time; the figure says how many it saw.
        seed: of the draws behind a bound or an estimate.
    """
    if not isinstance(model, Density):
        return None
    values, common_error, spent = _values(model, data, split, n, effort, batch_size, seconds, seed)
    values = values.double() + data.log_volume
    kind = density_kind(model)
    if kind == "estimate" and common_error == 0:
        kind = "exact"
    mean = mean_figure(values, SIGNS[kind], _note(model, data))
    error = _combine(mean.standard_error, common_error)
    nats = Figure(mean.value, mean.sign, error, mean.num_examples, mean.note)
    return Likelihood(
        nats,
        bits_per_dim(nats, data.space.num_dimensions),
        kind,
        spent if kind != "exact" else None,
        describe_space(data),
        _reverse(model, data.materialise(split, n), spent, seed) if common_error > 0 else None,
    )


def _reverse(model: Density, x: Tensor, effort: int | None, seed: int) -> Figure | None:
    """The estimate with log Z by reverse annealing, which belittles where AIS flatters."""
    if not isinstance(model, RBM):
        return None
    values = -model.free_energy(x).cpu().double()
    mean = mean_figure(values, "~", REVERSE)
    upper = model.log_partition_upper(effort, seed=address(seed, "reverse"))
    error = _combine(mean.standard_error, float(upper.standard_error))
    return Figure(mean.value - float(upper.value), "~", error, len(values), mean.note)


def bits_per_dim(nats: Figure, num_dimensions: int) -> Figure:
    """−nats / (D ln 2); a lower bound of the likelihood is an upper bound of the bits."""
    scale = 1.0 / (num_dimensions * math.log(2.0))
    error = None if nats.standard_error is None else nats.standard_error * scale
    sign = {">=": "<=", "<=": ">="}.get(nats.sign, nats.sign)
    return Figure(-nats.value * scale, sign, error, nats.num_examples, nats.note)  # type: ignore[arg-type]


def describe_space(data: Dataset) -> str:
    """The space in a few words: likelihoods compare only where these are the same."""
    name = type(data.base.space).__name__.lower()
    if isinstance(data.base.space, Pixels):
        name = f"{data.base.space.num_levels} levels"
    return f"{name}, dequantised" if data.log_volume else name


def _note(model: Density, data: Dataset) -> str:
    if not data.log_volume:
        return ""
    return "density of the dequantised data in units of one level: bounds log p(levels) from below"


def _values(
    model: Density,
    data: Dataset,
    split: Any,
    n: int | None,
    effort: int | None,
    batch_size: int,
    seconds: float,
    seed: int,
) -> tuple[Tensor, float, int | None]:
    """log p of each datum, the standard error that all of them share, and the effort spent."""
    x = data.materialise(split, n)
    labels = conditions(model, data, split, len(x))
    if isinstance(model, Estimate):
        estimated = model.estimate(x, effort=effort, seed=seed, condition=labels)
        shared = float(estimated.standard_error.double().mean())
        return estimated.value.cpu(), shared, effort or model.effort
    ask: Callable[[Tensor, Tensor | None, int], Tensor]
    spent: int | None = None
    if isinstance(model, LowerBound):
        bound, spent = model.lower_bound, effort or model.effort

        def ask(rows: Tensor, given: Tensor | None, number: int) -> Tensor:
            place = address(seed, "likelihood", number)
            return bound(rows, effort=spent, seed=place, condition=given)
    else:

        def ask(rows: Tensor, given: Tensor | None, number: int) -> Tensor:
            return model.log_prob(rows, condition=given)

    parts, clock = [], time.perf_counter()
    for number, start in enumerate(range(0, len(x), batch_size)):
        chosen = slice(start, start + batch_size)
        parts.append(ask(x[chosen], None if labels is None else labels[chosen], number).cpu())
        if time.perf_counter() - clock > seconds:
            break
    return torch.cat(parts), 0.0, spent


def conditions(model: Model, data: Dataset, split: Any, n: int) -> Tensor | None:
    """The labels of the first n examples for a conditional model, else None."""
    if model.condition is None:
        return None
    labels = data.labels(split)
    if labels is None:
        raise ValueError(
            f"the model is conditioned on {model.condition} but {data.name} has no labels"
        )
    return labels[:n]


def _combine(first: float | None, second: float) -> float | None:
    return None if first is None else math.hypot(first, second)
