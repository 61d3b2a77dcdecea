"""The chains that an objective keeps, seen from outside."""

from typing import Any, NamedTuple

from torch import Tensor

from genus.engine.algorithm import Objective
from genus.objectives.contrastive import PersistentContrastiveDivergence
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.persistent import PersistentGibbs
from genus.objectives.tempering import TemperedContrastiveDivergence

__all__ = ["Chains", "chains_of"]


class Chains(NamedTuple):
    """The units of persistent chains, a row for each chain.

    Attributes:
        visible: shape ``(chain, *space.shape)``, or None where they are not kept.
        hidden: shape ``(chain, hidden)``, or None where they are not kept.
    """

    visible: Tensor | None
    hidden: Tensor | None


def chains_of(model: Any, objective: Objective) -> Chains | None:
    """The chains of this process as they stand, at β = 1; None where none are kept."""
    if isinstance(objective, PersistentContrastiveDivergence):
        return Chains(None, objective.chains)
    if isinstance(objective, FastPersistentContrastiveDivergence):
        return Chains(_visible(model, objective.chains), None)
    if isinstance(objective, TemperedContrastiveDivergence):
        return Chains(_visible(model, objective.chains[:, -1]), None)
    if isinstance(objective, PersistentGibbs):
        size = model.space.num_dimensions
        units = objective.chains
        hidden = units[:, size:] if units.shape[1] > size else None
        return Chains(_visible(model, units[:, :size]), hidden)
    return None


def _visible(model: Any, units: Tensor) -> Tensor:
    return units.reshape(len(units), *model.space.shape)
