"""Expectation–maximisation: add sufficient statistics per batch, solve at the end of the epoch."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genus.engine import distributed
from genus.engine.algorithm import Algorithm, Info, State
from genus.engine.batches import Batch
from genus.engine.budget import Budget, Progress

__all__ = ["Maximise", "Statistics"]


class Statistics(Protocol):
    """The two halves of EM for one model."""

    def expect(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """E-step: statistics of a batch, to be summed.

        ``"log_likelihood"`` and ``"num_examples"`` are among them.
        """

    def solve(self, model: Any, totals: dict[str, Tensor]) -> None:
        """M-step: sets the parameters from the sums over all examples."""


class Maximise(Algorithm):
    """EM. A closed form is EM that needs one epoch.

    Args:
        statistics: the two steps for the model.
        epochs: at most this many.
        tolerance: stops once the mean log-likelihood grows by less than this, in nats.
        batch_size: examples at a time; the result does not depend on it.
    """

    uses_every_example = True

    def __init__(
        self,
        statistics: Statistics,
        *,
        epochs: int = 100,
        tolerance: float = 1e-6,
        batch_size: int = 4096,
    ) -> None:
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"epochs and batch_size must be at least 1: {epochs}, {batch_size}")
        self.statistics = statistics
        self.budget = Budget(epochs=epochs)
        self.epochs = epochs
        self.tolerance = tolerance
        self.batch_size = batch_size

    def start(self, model: nn.Module) -> None:
        """Begins with empty sums."""
        self.model = model
        self.finished = False
        self.totals: dict[str, Tensor] = {}
        self.last = -math.inf

    @torch.no_grad()
    def step(self, batch: Batch, progress: Progress) -> Info:
        """Adds the statistics of one batch."""
        with torch.autocast(batch.x.device.type, enabled=False):  # sums need every digit
            statistics = self.statistics.expect(self.model, batch)
        for name, value in statistics.items():
            if name in self.totals:
                self.totals[name] += value
            else:
                self.totals[name] = value.clone()
        count = statistics["num_examples"].clamp_min(1)
        return {"loss": -statistics["log_likelihood"] / count}

    @torch.no_grad()
    def end_epoch(self, progress: Progress) -> Info:
        """Solves for the parameters and clears the sums."""
        value = self._solve()
        gain = value - self.last
        self.last = value
        self.finished = progress.epoch >= self.epochs or gain < self.tolerance
        return {"log_likelihood": torch.tensor(value)}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves from a part of the data where the budget ended within the first epoch."""
        if self.totals and self.last == -math.inf:
            self._solve()

    def _solve(self) -> float:
        """The M-step; returns the mean log-likelihood before it, in nats."""
        distributed.total(list(self.totals.values()))
        log_likelihood = float(self.totals["log_likelihood"] / self.totals["num_examples"])
        self.statistics.solve(self.model, self.totals)
        self.totals = {}
        return log_likelihood

    def state_dict(self) -> State:
        """The sums so far, over all processes."""
        totals = {name: value.clone() for name, value in self.totals.items()}
        distributed.total(list(totals.values()))
        return {"totals": totals, "last": self.last, "finished": self.finished}

    def load_state_dict(self, state: State) -> None:
        """Takes them up again."""
        share = 1.0 if distributed.rank() == 0 else 0.0
        self.totals = {name: value * share for name, value in state["totals"].items()}
        self.last = float(state["last"])
        self.finished = bool(state["finished"])
