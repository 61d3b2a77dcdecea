"""Which units suit which space, and by which names they are asked for."""

import math
from typing import Literal

import torch
from torch import nn

from genus.engine.counts import check_count
from genus.models.boltzmann.gaussian_units import Gaussian
from genus.models.boltzmann.potts_units import Potts
from genus.models.boltzmann.rectified_units import Rectified
from genus.models.boltzmann.units import Bernoulli, Units
from genus.spaces import Binary, Categorical, Pixels, Real, Space

__all__ = ["Kind", "first_weights", "hidden_units", "visible_units"]

Kind = Literal["binary", "gaussian", "categorical", "rectified"]


def visible_units(space: Space, kind: Kind | None) -> Units:
    """Units for the entries of a space; where only one kind suits, it need not be named.

    Raises:
        ValueError: where the kind does not suit the space.
    """
    made: dict[str, Units] = {}
    if isinstance(space, Binary):
        made["binary"] = Bernoulli()
    elif isinstance(space, Real):
        made["gaussian"] = Gaussian(space.num_dimensions)
    elif isinstance(space, Categorical) and space.num_categories > 1:
        made["categorical"] = Potts(space.num_categories)
    elif isinstance(space, Pixels):
        made["rectified"] = Rectified(space.num_levels - 1)
        made["categorical"] = Potts(space.num_levels)
    if kind is None and len(made) == 1:
        return next(iter(made.values()))
    if kind in made:
        return made[str(kind)]
    if not made:
        raise ValueError(
            f"space must be Binary, Real, Pixels, or Categorical of at least 2, got {space}"
        )
    asked = "not be left open" if kind is None else f"not be {kind!r}"
    raise ValueError(f"visible must be {' or '.join(map(repr, made))} for {space}, and can {asked}")


def first_weights(visible: Units, hidden: Units, size: int, width: int) -> nn.Parameter:
    """W as learning begins, normal: shape ``(size, width)``, its deviation 0.01 (Hinton 2010).

    That is next to a saddle: where data are no more correlated than the units with no weights
    at all, as clusters at the corners of a cube are, the gradient is of second order in W, and
    Gaussian units do not leave it in reasonable time. Below units that are bounded, for which
    no weights are too large, theirs hence begins at √(2 / (D + H)) σ (Glorot & Bengio 2010).
    """
    bold = isinstance(visible, Gaussian) and isinstance(hidden, Bernoulli | Potts)
    deviation = math.sqrt(2.0 / (size + width)) if bold else 0.01
    return nn.Parameter(deviation * torch.randn(size, width))


def hidden_units(kind: Kind, num_states: int) -> Units:
    """Hidden units by name; categorical and rectified ones have ``num_states`` values.

    Raises:
        ValueError: where there is no such kind, or it needs more states.
    """
    if check_count("num_states", num_states) < 2:
        raise ValueError(f"num_states must be at least 2, got {num_states}")
    if kind == "binary":
        return Bernoulli()
    if kind == "gaussian":
        return Gaussian()
    if kind == "categorical":
        return Potts(num_states)
    if kind == "rectified":
        return Rectified(num_states - 1)
    raise ValueError(
        f"hidden must be 'binary', 'gaussian', 'categorical' or 'rectified', got {kind!r}"
    )
