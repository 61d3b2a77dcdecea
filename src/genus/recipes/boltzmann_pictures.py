"""Pictures of Boltzmann machines: what their weights look for and what their chains dream."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine.algorithm import Objective
from genus.engine.seeding import seeded
from genus.inference.gibbs import bernoulli
from genus.model import Model
from genus.models.boltzmann import RBM, HiddenBoltzmannMachine
from genus.recipes.chains import chains_of
from genus.recipes.pictures import laid_out, signed
from genus.spaces import Binary, Space

__all__ = [
    "are_pictures",
    "completions",
    "experiments",
    "fantasies",
    "filters",
    "from_strongest",
    "reconstructions",
    "usual",
    "wanderings",
]

Pictures = Mapping[str, Callable[[], Tensor]]
STRONGEST = (1, 2, 5, 10, 20)
MOMENTS = (0, 1, 2, 5, 10, 30, 100, 300, 1000)


def usual(model: RBM | HiddenBoltzmannMachine, objective: Objective, data: Dataset) -> Pictures:
    """Filters and, where chains are kept, fantasies; nothing where the data are no pictures."""
    if not are_pictures(data):
        return {}
    return {
        "filters": partial(_filters_of, model),
        "fantasies": partial(fantasies, model, objective),
    }


def experiments(model: Model, data: Dataset) -> Pictures:
    """Whatever else can be asked of a machine over binary pictures."""
    if not isinstance(model, RBM) or not are_pictures(data):
        return {}
    shown = data.materialise("test", 10)
    return {
        "data": partial(laid_out, data.materialise("train", 50), data.space, columns=10),
        "reconstructions": partial(reconstructions, model, shown),
        "from_strongest": partial(from_strongest, model, shown),
        "wanderings": partial(wanderings, model),
        "completions": partial(completions, model, shown),
    }


def are_pictures(data: Dataset) -> bool:
    """Whether the data are binary images of one channel."""
    shape = data.space.shape
    grey = data.kind == "image" and len(shape) == 3 and shape[0] == 1
    return grey and isinstance(data.space, Binary)


def filters(weights: Tensor, space: Space, *, most: int = 100) -> Tensor:
    """What each hidden unit looks for: its weights as a picture, all on one symmetric scale.

    Grey is 0, white a large weight and black a large negative one, see
    :func:`~genus.recipes.pictures.signed`.

    Args:
        weights: shape ``(visible, hidden)``.
        space: of one-channel images with as many pixels.
        most: of the hidden units, the first ones.

    Returns:
        On [0, 1], shape ``(row, column, height, width)``.
    """
    return laid_out(signed(weights.detach().T[:most]), space, columns=10)


def _filters_of(model: RBM | HiddenBoltzmannMachine) -> Tensor:
    if isinstance(model, RBM):
        return filters(model.weights, model.space)
    visible = model.num_visible
    return filters(model.couplings()[:visible, visible:], model.space)


@torch.no_grad()
def fantasies(
    model: RBM | HiddenBoltzmannMachine, objective: Objective, *, most: int = 50
) -> Tensor:
    """Where the chains of learning stand: the means of the visible units of the first ones.

    Chains that are begun at data anew in every step have none; samples stand in for them.
    """
    found = chains_of(model, objective)
    if found is None:
        hidden = model.encode(model.sample(most, seed=0))
    elif found.hidden is None:
        assert found.visible is not None
        hidden = model.encode(found.visible[:most])
    else:
        hidden = found.hidden[:most]
    return laid_out(model.decode(hidden), model.space, columns=10)


@torch.no_grad()
def reconstructions(model: RBM, x: Tensor) -> Tensor:
    """Two rows: the data, and ``decode(encode(x))``."""
    return _rows(model.space, x, model.reconstruct(x))


@torch.no_grad()
def from_strongest(model: RBM, x: Tensor, counts: tuple[int, ...] = STRONGEST) -> Tensor:
    """Rows: the data, then what the k most active hidden units make of them, then all.

    The k units of largest p(hⱼ = 1 | x) keep it; the others are switched off.
    """
    code = model.encode(x)
    order = code.argsort(1, descending=True).argsort(1)
    kept = [torch.where(order < k, code, 0.0) for k in counts if k < code.shape[1]]
    return _rows(model.space, x, *(model.decode(z) for z in (*kept, code)))


@torch.no_grad()
def wanderings(
    model: RBM, n: int = 10, moments: tuple[int, ...] = MOMENTS, *, seed: int = 0
) -> Tensor:
    """Chains of Gibbs steps from random hidden units, one in each row.

    Every hidden unit begins at 0 or 1 as a coin falls. Columns are the means of the visible
    units after as many steps as ``moments`` says; the last are new data.
    """
    size = model.hidden_bias
    seen = []
    with seeded(seed, size.device):
        hidden = bernoulli(torch.full((n, len(size)), 0.5).to(size))
        for step in range(max(moments) + 1):
            mean = model.decode(hidden)
            if step in moments:
                seen.append(mean)
            hidden = bernoulli(model.encode(bernoulli(mean)))
    shape = (len(seen), n, *model.space.shape[1:])
    return torch.stack(seen).reshape(shape).transpose(0, 1).clamp(0, 1).cpu()


@torch.no_grad()
def completions(model: RBM, x: Tensor, num_draws: int = 4, *, seed: int = 0) -> Tensor:
    """Rows: the data, their upper half with grey below, then completions of the lower half.

    Of the pixels that are drawn the means in the last Gibbs step are shown.
    """
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[:, :, x.shape[2] // 2 :] = False
    covered = torch.where(observed, x, torch.full_like(x, 0.5))
    drawn = [model.complete(x, observed, seed=seed + number) for number in range(num_draws)]
    shown = [torch.where(observed, x, model.reconstruct(draw).cpu()) for draw in drawn]
    return _rows(model.space, x, covered, *shown)


def _rows(space: Space, *rows: Tensor) -> Tensor:
    parts = [row.reshape(len(row), *space.shape[1:]).float().cpu() for row in rows]
    return torch.stack(parts).clamp(0, 1)
