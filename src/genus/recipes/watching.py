"""Which monitors suit a recipe."""

from typing import Literal

from genus.engine import Batch
from genus.engine.callbacks import Monitor
from genus.model import Encodes, Energy
from genus.models.boltzmann import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.recipes.layer_monitor import LayerMonitor
from genus.recipes.monitors import ChainMonitor, FreeEnergyMonitor, HiddenMonitor
from genus.recipes.recipe import Recipe

__all__ = ["monitors_of"]

MOST_WATCHED = 1000


def monitors_of(recipe: Recipe) -> list[Monitor]:
    """What suits the recipe: nothing, unless its model has an energy, or layers that have one."""
    model = recipe.model
    if isinstance(model, DeepBeliefNetwork | DeepBoltzmannMachine):
        return [LayerMonitor(_watched(recipe, "train"), _watched(recipe, "valid")), ChainMonitor()]
    if not isinstance(model, Energy) or model.condition is not None:
        return []
    train, valid = (_watched(recipe, part).x for part in ("train", "valid"))
    found: list[Monitor] = [FreeEnergyMonitor(train, valid)]
    if isinstance(model, Encodes):
        found.append(HiddenMonitor(train))
    return [*found, ChainMonitor()]


def _watched(recipe: Recipe, part: Literal["train", "valid"]) -> Batch:
    """The first data of a part, with their labels where the model has some."""
    x = recipe.data.materialise(part, MOST_WATCHED)
    labels = None if recipe.model.condition is None else recipe.data.labels(part)
    return Batch(x, None if labels is None else labels[: len(x)])
