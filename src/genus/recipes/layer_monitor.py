"""What the log of a run says of the pair of layers that learns now."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genus.engine import Algorithm, Batch, Info, Run, Stages
from genus.engine.callbacks import Monitor
from genus.engine.seeding import seeded
from genus.models.boltzmann import DeepBoltzmannMachine
from genus.models.boltzmann.greedy import GreedyLayer
from genus.objectives.doubled import DoubledContrast
from genus.objectives.persistent_layers import PersistentLayers
from genus.objectives.up_down import UpDown
from genus.recipes.learner import learner
from genus.recipes.monitors import activity, answering, gap

__all__ = ["Explained", "LayerMonitor", "explain"]


class Explained(NamedTuple):
    """What the layers that learn make of some data.

    Attributes:
        free_energy: up to the constant log Z, in nats, shape ``(batch,)``.
        hidden: means of their hidden units, shape ``(batch, hidden)``.
    """

    free_energy: Tensor
    hidden: Tensor


class LayerMonitor(Monitor):
    """The free energy of training and validation data in the layers that learn now.

    Of greedy layers it is F of the one that learns, of draws that the layers below show it: the
    same draws at every report. Of up–down it is F of the top pair at the means that the
    recogniser passes up: what the layers below add to a gap is not in it. Of a deep Boltzmann
    machine whose layers learn together it is −B(x), the bound of F that learning lowers.
    Figures of different stages are not comparable.
    See :class:`genus.recipes.monitors.FreeEnergyMonitor`.

    Args:
        train: data that are learnt, and their labels for a model that has some.
        valid: data that are not.
    """

    def __init__(self, train: Batch, valid: Batch) -> None:
        self.parts: Sequence[Batch] = (train, valid)

    def start(self, run: Run) -> None:
        """Moves the data to the device."""
        self.parts = [part.to(run.device) for part in self.parts]

    def report(self, run: Run) -> Info:
        """As the monitors of a single machine; nothing where no one pair of layers learns."""
        with answering(run.model) as model:
            train, valid = (explain(model, run.algorithm, part) for part in self.parts)
        if train is None or valid is None:
            return {}
        return {**gap(train.free_energy, valid.free_energy), **activity(train.hidden)}


@torch.no_grad()
def explain(model: Any, algorithm: Algorithm, batch: Batch) -> Explained | None:
    """What the layers that learn now make of data; None where that is not one free energy.

    Args:
        model: the whole of it.
        algorithm: as it stands; leaves the generators of random numbers alone.
        batch: of data.
    """
    now = learner(algorithm)
    with seeded(0, batch.x.device):
        if isinstance(now, GreedyLayer):
            assert isinstance(algorithm, Stages)
            view = algorithm.stages[algorithm.number].view
            seen = batch if view is None else view(model, batch)
            visible = now.layer.joined(seen.x.flatten(1), seen.condition)
            odds = now.layer.activation(visible)
            return Explained(now.layer.free_energy_at(visible, odds), odds.sigmoid())
        objective = None if now is None else now.objective
        if isinstance(objective, UpDown):
            top = model.stack.top
            visible = top.joined(model.stack.means(batch.x)[-1], batch.condition)
            odds = top.activation(visible)
            return Explained(top.free_energy_at(visible, odds), odds.sigmoid())
        if isinstance(objective, DoubledContrast):
            pair = objective.doubled(model)
            visible = objective.shown(model, batch.x.flatten(1))
            odds = pair.activation(visible)
            return Explained(pair.free_energy_at(visible, odds), odds.sigmoid())
        if isinstance(objective, PersistentLayers) and isinstance(model, DeepBoltzmannMachine):
            visible = batch.x.flatten(1)
            means = model.mean_field(visible, objective.num_sweeps)
            machine = model.layered()
            bound = visible @ machine.biases[0] + machine.given(visible).bound(means)
            return Explained(-bound, means[0])
    return None
