"""How a deep belief network learns: layer by layer, and then all layers at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.distributions.odds import log_odds
from genus.engine import (
    Batch,
    Budget,
    Descend,
    Info,
    Optimiser,
    Progress,
    Stage,
    Stages,
    distributed,
)
from genus.models.boltzmann.belief_stack import BeliefStack
from genus.objectives.centred import SLIDE
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.up_down import UpDown

__all__ = ["GreedyLayer", "Shared", "layer_by_layer", "layer_rates", "settle"]


class GreedyLayer(Descend):
    """Descends over the parameters of one layer, as a restricted Boltzmann machine.

    It is given all layers, and leaves those above and below alone until it finishes: then the
    recognition weights become those that were learnt, and the layer above begins where its
    marginal over the units between them is, as far as sizes allow, what this one's was.

    Args:
        number: of the layer, from 0 at the bottom.
        contrast: its objective, whose average of the hidden units is where the biases of the
            layer above begin.
        optimiser: what moves its parameters.
        batch_size: examples a step.
        budget: how long it learns where nobody says otherwise.
    """

    def __init__(
        self,
        number: int,
        contrast: LayerContrast,
        optimiser: Optimiser,
        *,
        batch_size: int = 100,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(contrast, optimiser, batch_size=batch_size, budget=budget)
        self.number, self.contrast = number, contrast

    def start(self, model: nn.Module) -> None:
        """Binds to the layer."""
        self.stack = cast(BeliefStack, model)
        self.layer = self.stack.layer(self.number)
        super().start(self.layer)

    def step(self, batch: Batch, progress: Progress) -> Info:
        """One gradient step; slides the mean that annealing begins with."""
        mean = batch.x.flatten(1).mean(0)
        distributed.average([mean])
        self.layer.unit_mean.lerp_(mean.to(self.layer.unit_mean), SLIDE)
        return super().step(batch, progress)

    def finish(self) -> None:
        """Ties the recognition weights, and prepares the layer above."""
        settle(self.stack, self.number, self.contrast.hidden_mean)

    def answers(self) -> dict[str, Tensor]:
        """The recognition weights that ``finish`` would leave."""
        if self.number == len(self.stack.recognisers):
            return {}
        return {f"recognisers.{self.number}": self.layer.weights.detach()}


@torch.no_grad()
def settle(stack: BeliefStack, number: int, mean: Float[Tensor, " hidden"]) -> None:
    """Ties layer ``number``, and begins the one above as its transpose where sizes allow.

    The transpose has the same marginal over the units between them, so that the bound begins
    where it stood, and rises with the likelihood of the layer above. Where sizes do not allow
    it, the layer above begins with independent units of the right mean: the bound falls by no
    more than what their dependence is worth.

    Args:
        stack: of all layers.
        number: of the layer that has learnt.
        mean: of its hidden units over the data.
    """
    if number == len(stack.recognisers):
        return
    layer, above = stack.layer(number), stack.layer(number + 1)
    stack.recognisers[number].copy_(layer.weights)
    units = above.num_units
    above.unit_mean.copy_(mean)
    if layer.binary and layer.num_units == len(above.hidden_bias):
        above.weights[:units] = layer.weights.T
        above.visible_bias[:units] = layer.hidden_bias
        above.hidden_bias.copy_(layer.visible_bias)
    else:
        above.visible_bias[:units] = log_odds(mean)


@dataclass(frozen=True)
class Shared:
    """What all layers learn with.

    Attributes:
        k: Gibbs steps between two steps of learning.
        num_chains: of persistent chains; None begins chains at the data.
        momentum: of stochastic gradient descent.
        weight_decay: of the greedy layers.
        batch_size: examples a step.
    """

    k: int
    num_chains: int | None
    momentum: float
    weight_decay: float
    batch_size: int

    def learner(self, rate: float, number: int | None = None) -> Descend:
        """That of a layer, or up–down."""
        decay = 0.0 if number is None else self.weight_decay
        optimiser = Optimiser("sgd", rate, (self.momentum, 0.0), decay, schedule="linear")
        size, budget = self.batch_size, Budget(epochs=30)
        if number is None:
            objective = UpDown(self.k, self.num_chains)
            return Descend(objective, optimiser, batch_size=size, budget=budget)
        contrast = LayerContrast(self.k, self.num_chains)
        return GreedyLayer(number, contrast, optimiser, batch_size=size, budget=budget)

    def learner_of_reals(self, rate: float) -> Descend:
        """That of a lowest layer whose data are real.

        Its chains begin at the data: as σ shrinks no chain crosses from mode to mode, so that
        those that persist would tell nothing of how probable modes are, which the layers above
        are there to learn. Adam bounds the step of log σ, whose gradient is as large as
        outliers are far.
        """
        optimiser = Optimiser("adam", rate, weight_decay=self.weight_decay, schedule="linear")
        contrast, budget = LayerContrast(self.k), Budget(epochs=30)
        return GreedyLayer(0, contrast, optimiser, batch_size=self.batch_size, budget=budget)


def layer_rates(given: Any, num_layers: int) -> tuple[float, ...]:
    """A learning rate for each layer, from one number or a sequence of as many.

    Raises:
        ValueError: where there are more or fewer, or one is no positive number.
    """
    rates = tuple(given) if isinstance(given, Sequence) else (given,) * num_layers
    if not all(_is_finite(rate) and rate > 0 for rate in rates):
        raise ValueError(
            f"learning_rate must be a positive number, or one for each layer, got {given!r}"
        )
    if len(rates) != num_layers:
        raise ValueError(
            f"learning_rate has {len(rates)} numbers for {num_layers} layers; one each, or one "
            "for all"
        )
    return rates


def layer_by_layer(
    rates: Sequence[float], shared: Shared, up_down: float, up_down_rate: float, *, real: bool
) -> Stages:
    """A stage for each layer of a network that keeps them as ``stack``, and one of up–down.

    Args:
        rates: learning rates from the bottom.
        shared: what all learn with.
        up_down: share of up–down, where a layer has a share of 1; 0 leaves it out.
        up_down_rate: its learning rate.
        real: whether the data are.

    Raises:
        ValueError: where the share is negative or no finite number.
    """
    if not _is_finite(up_down) or up_down < 0:
        raise ValueError(f"up_down must be a finite number of at least 0, got {up_down!r}")
    learners = [shared.learner(rate, number) for number, rate in enumerate(rates)]
    if real:
        learners[0] = shared.learner_of_reals(rates[0])
    stages = [
        Stage(_stack, learner, view=_Below(number)) for number, learner in enumerate(learners)
    ]
    if up_down:
        stages.append(Stage(_stack, shared.learner(up_down_rate), share=up_down))
    return Stages(stages)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class _Below:
    """Shows a layer draws of the units below it, and the last one the labels."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, model: Any, batch: Batch) -> Batch:
        stack: BeliefStack = model.stack
        labels = batch.condition if self.number == len(stack.recognisers) else None
        return Batch(stack.ascend(batch.x, self.number)[-1], labels)


def _stack(model: Any) -> BeliefStack:
    stack: BeliefStack = model.stack
    return stack
