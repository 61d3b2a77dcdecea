"""The chains that an objective keeps, seen from outside."""

from typing import Any, NamedTuple

from torch import Tensor

from genus.engine.algorithm import Objective
from genus.objectives.contrastive import PersistentContrastiveDivergence
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.persistent import PersistentGibbs
from genus.objectives.persistent_layers import PersistentLayers
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.objectives.up_down import UpDown

__all__ = ["Chains", "chains_of"]


class Chains(NamedTuple):
    """The units of persistent chains, a row for each chain.

    Attributes:
        visible: shape ``(chain, *space.shape)``, or None where they are not kept.
        hidden: shape ``(chain, hidden)``, or None where they are not kept. Of greedy layers
            they are those of the layer that learns, of a deep Boltzmann machine h₁.
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
    return _chains_of_layers(objective)


def _chains_of_layers(objective: Objective) -> Chains | None:
    if isinstance(objective, PersistentLayers):
        begun = objective.begun
        return Chains(None, objective.chains[:, : objective.sizes[0]]) if begun else None
    pair = objective.contrast if isinstance(objective, UpDown) else objective
    if isinstance(pair, LayerContrast) and pair.num_chains is not None:
        return Chains(None, pair.chains)
    return None


def _visible(model: Any, units: Tensor) -> Tensor:
    return units.reshape(len(units), *model.space.shape)
