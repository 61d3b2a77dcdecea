"""What the log of a run says beside the loss: free energies, hidden units, chains."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genus.engine import Info, Run
from genus.engine.algorithm import Objective
from genus.engine.callbacks import Monitor
from genus.recipes.chains import Chains, chains_of
from genus.recipes.learner import learner
from genus.spaces import Binary, Pixels, Real

__all__ = [
    "ChainMonitor",
    "FreeEnergyMonitor",
    "HiddenMonitor",
    "activity",
    "answering",
    "gap",
]

SELDOM = 0.01


class FreeEnergyMonitor(Monitor):
    """The mean free energy of some training and some validation data (Hinton 2010, section 6).

    The unknown log Z is the same for both. Hence ``free_energy_gap``, F̄(valid) − F̄(train), is
    by how many nats a datum that was learnt is likelier than one that was not; where it keeps
    growing, the model overfits.

    Args:
        train: data that are learnt, shape ``(n, *space.shape)``.
        valid: data that are not.
    """

    def __init__(self, train: Tensor, valid: Tensor) -> None:
        self.train, self.valid = train, valid

    def start(self, run: Run) -> None:
        """Moves the data to the device."""
        self.train, self.valid = self.train.to(run.device), self.valid.to(run.device)

    def report(self, run: Run) -> Info:
        """``free_energy_train``, ``free_energy_valid`` and ``free_energy_gap``, in nats."""
        with answering(run.model) as model:
            return gap(model.free_energy(self.train), model.free_energy(self.valid))


class HiddenMonitor(Monitor):
    """What the hidden units do on some training data, and what they keep of them.

    Args:
        x: the data, shape ``(n, *space.shape)``.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def start(self, run: Run) -> None:
        """Moves the data to the device."""
        self.x = self.x.to(run.device)

    def report(self, run: Run) -> Info:
        """The mean of E[h | x]; of binary hidden units also how many are idle.

        ``hidden_never_on`` counts units with p(hⱼ = 1 | x) < 0.01 for every datum,
        ``hidden_always_on`` those with p(hⱼ = 1 | x) > 0.99 for every datum.
        ``reconstruction`` is the mean squared error per entry of E[x | h] at h = E[h | x], where
        data are numbers and not categories.
        """
        with answering(run.model) as model:
            code = model.encode(self.x)
            found = activity(code.flatten(1))
            if isinstance(model.space, Binary | Pixels | Real):
                found["reconstruction"] = (model.decode(code) - self.x).square().mean()
            return found


class ChainMonitor(Monitor):
    """How persistent chains move: the share of their units that the last step changed.

    It keeps the chains of the last two steps, no copies, and draws nothing. Of a model that
    learns in stages they are those of the present stage.
    """

    def __init__(self) -> None:
        self.objective: Objective | None = None
        self.before: Chains | None = None
        self.now: Chains | None = None

    def after_step(self, run: Run, info: Info) -> None:
        """Remembers where the chains stand."""
        now = learner(run.algorithm)
        objective = None if now is None else now.objective
        if objective is not self.objective:
            self.objective, self.now = objective, None
        chains = None if objective is None else chains_of(run.model, objective)
        self.before, self.now = self.now, chains

    def report(self, run: Run) -> Info:
        """``chain_flips``, from 0 (stuck) to 1, and ``chain_activity``, the mean of hidden units.

        The units are the hidden ones, or the visible ones where only those are kept.
        """
        if self.before is None or self.now is None:
            return {}
        before, now = (_watched(chains) for chains in (self.before, self.now))
        found = {"chain_flips": (before != now).float().mean()}
        if self.now.hidden is not None:
            found["chain_activity"] = self.now.hidden.float().mean()
        return found


def _watched(chains: Chains) -> Tensor:
    units = chains.visible if chains.hidden is None else chains.hidden
    assert units is not None
    return units


def gap(train: Tensor, valid: Tensor) -> Info:
    """``free_energy_train``, ``free_energy_valid`` and ``free_energy_gap``, of F for each datum."""
    means = train.mean(), valid.mean()
    return {
        "free_energy_train": means[0],
        "free_energy_valid": means[1],
        "free_energy_gap": means[1] - means[0],
    }


def activity(code: Tensor) -> Info:
    """``hidden_activity``, and of binary units how many are idle, of E[h | x] for each datum."""
    found = {"hidden_activity": code.mean()}
    if bool((code >= 0).all()) and bool((code <= 1).all()):
        found["hidden_never_on"] = (code.amax(0) < SELDOM).sum()
        found["hidden_always_on"] = (code.amin(0) > 1 - SELDOM).sum()
    return found


@contextlib.contextmanager
def answering(model: Any) -> Iterator[Any]:
    """The model as it answers: without gradients, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(training)
