"""How probable held-out data are: the value, a bound or an estimate, as the type allows.

Figures are in nats for each datum of the *stored* data. Two models can be compared where they
stand on the same space:

* levels (0 … L − 1) have a probability P(x), and −log₂ P(x) / D is a code length;
* a density of dequantised data y = (x + u)/L, u uniform on [0, 1)^D, is turned into
  E_u log p(y) − D log L ≤ log P(x), where P(x) = ∫ p((x + u)/L) du / L^D is the probability that
  the density gives to the level (Theis et al. 2016): scaling x by 1/L multiplied its density by
  L^D. The figure is that of one fixed draw of u for each datum;
* a density of real data stands in the unit of the data; that of data scaled by s is s^−D times
  as large.
"""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.counts import check_count
from genus.engine.seeding import address
from genus.evaluation.batches import Progress, row_batches
from genus.evaluation.figure import Figure, Sign, mean_figure
from genus.model import (
    AnnealedBound,
    Bracketed,
    Density,
    Estimate,
    Estimated,
    Exact,
    LowerBound,
    Model,
)
from genus.spaces import Pixels

__all__ = ["Kind", "Likelihood", "bits_per_dim", "conditions", "density_kind", "likelihood"]

Kind = Literal["exact", "lower bound", "estimate", "none"]
Split = Literal["train", "valid", "test"]

REVERSE = "with log Z by reverse annealing: the other side of a bracket if the chains mix"
LOWER = "log Z by the mean log weight of reverse annealing, and 4 of its standard errors"
ANNEALED = "a bound less log Z by annealing, which on average errs to make the figure too high"
UPPER = "log Z by the mean log weight of annealing, and 4 of its standard errors"
DEQUANTISED = (
    "density of the dequantised data in units of one level: bounds log p(levels) from below"
)
WIDE = 5.0
MARGIN = 4.0
SIGNS: dict[Kind, Sign] = {"exact": "=", "lower bound": ">=", "estimate": "~"}


@dataclass(frozen=True)
class Likelihood:
    """The mean log probability of held-out data.

    Attributes:
        nats: per datum, with its sign and standard error.
        bits_per_dim: −nats / (D ln 2).
        kind: what the sign means: that of the type, but exact where an estimate is without
            error, as that of a small RBM is, and an estimate where a bound rests on an annealed
            log Z.
        effort: samples or chains behind a bound or an estimate; None for an exact density.
        space: on what the density stands; only figures of the same space can be compared.
        reverse: for an estimate that has one, the estimate from the other side.
        bracket: a lower and an upper bound of ``nats``, by the mean log weights of both
            directions and 4 standard errors outwards (6 in 100,000 runs fall outside, if the
            chains that reverse begins with are draws of the model). Their standard errors are
            those of annealing alone, as all three rest on the same data. Of a bound whose log Z
            is annealed, the lower end alone.
        temperatures: of annealing, where there was some.
        chains: of annealing, where they are not the effort.
    """

    nats: Figure
    bits_per_dim: Figure
    kind: Kind
    effort: int | None
    space: str
    reverse: Figure | None = None
    bracket: tuple[Figure, ...] | None = None
    temperatures: int | None = None
    chains: int | None = None


def density_kind(model: Model) -> Kind:
    """What a model's ``log_prob`` is, by its type; an annealed log Z leaves no bound."""
    if isinstance(model, Exact):
        return "exact"
    if isinstance(model, AnnealedBound) and not model.sums_exactly:
        return "estimate"
    if isinstance(model, LowerBound):
        return "lower bound"
    return "estimate" if isinstance(model, Estimate) else "none"


@torch.no_grad()
def likelihood(
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
) -> Likelihood | None:
    """The mean log-likelihood of a split; None for a model that has none.

    An exact density gives its value and a bound the bound at this effort. An estimate comes
    with its standard error and, for a :class:`~genus.model.Bracketed` model, with its reverse
    and a bracket. A bound whose log Z is annealed is an estimate too, with the error of log Z,
    its reverse and the lower end, which alone is a bound.
    A warning is given where a figure and its reverse are more than 5 nats apart.

    Memory grows with ``batch_size``, not with ``n`` or ``effort``.

    Args:
        model: over the space of ``data``.
        data: whose ``log_volume`` turns a density of dequantised data into a bound on the
            probability of the levels.
        split: what to judge on.
        n: the first n examples; all of them by default.
        effort: samples (a bound) or chains (an estimate) per datum; the model's own by default.
        batch_size: examples at once.
        seconds: stop after the batch that passes this time; the figure says how many it saw.
            It does not bind an estimate: its chains run once, within the first batch.
        seed: of the draws behind a bound or an estimate.
        progress: told after each batch.

    Raises:
        ValueError: where an argument is out of range, or log p of a datum is NaN.
    """
    if not isinstance(model, Density):
        return None
    for name, value in (("n", n), ("effort", effort)):
        if value is not None:
            check_count(name, value)
    x = data.materialise(split, n)
    labels = conditions(model, data, split, len(x))
    answers: dict[str, list[Estimated]] = {}
    limit = math.inf if isinstance(model, Estimate) else seconds
    for rows in row_batches(len(x), batch_size, limit, progress):
        given = None if labels is None else labels[rows]
        for name, answer in _answers(model, x[rows], given, effort, seed, rows.start).items():
            answers.setdefault(name, []).append(answer)
    return _warned(_judged(model, data, answers, effort))


def _answers(
    model: Density, x: Tensor, given: Tensor | None, effort: int | None, seed: int, start: int
) -> dict[str, Estimated]:
    """log p of each datum, with the error that all data share, and its reverse and bracket."""
    if isinstance(model, LowerBound):
        place = address(seed, "likelihood", start)
        if isinstance(model, AnnealedBound):
            both = model.bound_bracket(x, effort=effort, seed=place, condition=given)
            return {"value": both.value, "reverse": both.reverse, "lower": both.lower}
        bound = model.lower_bound(x, effort=effort, seed=place, condition=given)
        return {"value": Estimated(bound, torch.zeros_like(bound))}
    if not isinstance(model, Estimate):
        exact = model.log_prob(x, condition=given)
        return {"value": Estimated(exact, torch.zeros_like(exact))}
    found = {"value": model.estimate(x, effort=effort, seed=seed, condition=given)}
    if isinstance(model, Bracketed):
        found |= model.bracket(x, effort=effort, seed=seed, condition=given)._asdict()
    return found


def _judged(
    model: Density, data: Dataset, answers: dict[str, list[Estimated]], effort: int | None
) -> Likelihood:
    """The figures of all batches together."""
    errors = {
        name: float(torch.cat([part.standard_error for part in parts]).double().mean())
        for name, parts in answers.items()
    }
    kind = density_kind(model)
    if isinstance(model, Estimate) and errors["value"] == 0:
        kind = "exact"

    def figure(name: str, sign: Sign, note: str) -> Figure:
        values = torch.cat([part.value for part in answers[name]]).cpu().double()
        mean = mean_figure(_checked(values) + data.log_volume, sign, note)
        return replace(mean, standard_error=_combine(mean.standard_error, errors[name]))

    annealed = isinstance(model, AnnealedBound) and kind == "estimate"
    notes = (DEQUANTISED if data.log_volume else "", ANNEALED if annealed else "")
    nats = figure("value", SIGNS[kind], "; ".join(filter(None, notes)))
    spent = None
    if kind != "exact" and isinstance(model, LowerBound | Estimate):
        spent = effort or model.effort
    bits = bits_per_dim(nats, data.space.num_dimensions)
    found = Likelihood(nats, bits, kind, spent, describe_space(data))
    if errors["value"] == 0 or "reverse" not in answers:
        return found
    temperatures, chains = (model.config.get(f"num_{name}") for name in ("temperatures", "chains"))
    found = replace(found, temperatures=temperatures, chains=chains)

    def end(name: str, sign: Sign, note: str, outwards: float) -> Figure:
        mean, error = figure(name, sign, note), errors[name]
        return replace(mean, value=mean.value + outwards * error, standard_error=error)

    bracket: tuple[Figure, ...] = (end("lower", ">=", LOWER, -MARGIN),)
    if "upper" in answers:
        bracket = (*bracket, end("upper", "<=", UPPER, MARGIN))
    return replace(found, reverse=figure("reverse", "~", REVERSE), bracket=bracket)


def _checked(values: Tensor) -> Tensor:
    broken = int(values.isnan().sum())
    if broken:
        raise ValueError(
            f"log p is NaN for {broken} of {len(values)} examples; the model's weights are not "
            "finite, train it anew with a smaller learning rate"
        )
    return values


def _warned(found: Likelihood) -> Likelihood:
    """With a note, and aloud, where both directions of an estimate are far apart."""
    if found.reverse is None:
        return found
    gap = abs(found.nats.value - found.reverse.value)
    if not gap > WIDE:
        return found
    text = (
        f"estimate {found.nats.value:.2f} and its reverse {found.reverse.value:.2f} nats are "
        f"{gap:.1f} apart: neither can be trusted, the truth may lie anywhere between; "
        "anneal at more temperatures or raise effort"
    )
    warnings.warn(text, stacklevel=3)
    nats = replace(found.nats, note="; ".join(filter(None, (found.nats.note, text))))
    bits = replace(found.bits_per_dim, note=nats.note)
    return replace(found, nats=nats, bits_per_dim=bits)


def bits_per_dim(nats: Figure, num_dimensions: int) -> Figure:
    """−nats / (D ln 2); a lower bound of the likelihood is an upper bound of the bits.

    For levels it is the length of an ideal code, uniform noise over L of them having log₂ L.
    """
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


def conditions(model: Model, data: Dataset, split: Split, n: int) -> Tensor | None:
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
