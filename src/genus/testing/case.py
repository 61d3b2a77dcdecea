"""One small instance of a model, with data, on which the contract is checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from genus.engine import Algorithm, Tensors
from genus.engine.seeding import seeded
from genus.model import Model
from genus.testing.stiffen import stiffen

__all__ = ["Case", "Result", "Skipped"]

CPU = torch.device("cpu")


class Skipped(Exception):  # noqa: N818 - it is no error
    """Raised by a check that has nothing to judge in this case; says why."""


@dataclass(frozen=True)
class Case:
    """A small, lop-sided instance of a model, and what is known about it.

    Small enough to enumerate (a few binary entries), with sides of different sizes, so that a
    transposed matrix cannot pass.

    Attributes:
        name: what the results call it.
        make: builds a new model; called under a fixed seed.
        data: examples of the model's space, shape ``(n, *shape)``; the last quarter is held out.
        condition: for a conditional model: what each example is conditioned on.
        algorithm: from the model to a new algorithm; the model's own by default.
        reference: from the model, x and its condition to the exact log p(x) in nats, by
            another way than the model's; None where there is none.
        scale: size of the weights in the checks of probabilities, see
            :func:`~genus.testing.stiffen`; 0 keeps the weights as made.
        steps: of training in the check that fitting helps.
        effort: how much a bound or an estimate may spend to come close.
        gap: how far below log p(x) a bound may stay at that effort, in nats; None where it
            need not close.
        num_samples: for tests that compare frequencies.
        completion: whether ``complete`` draws from the exact conditional distribution, so that
            frequencies can judge it.
        unmoved: names of parameters that learning leaves alone by design.
        skip: checks that do not apply, by name, with the reason.
    """

    name: str
    make: Callable[[], Model]
    data: Tensor
    condition: Tensor | None = None
    algorithm: Callable[[Model], Algorithm] | None = None
    reference: Callable[[Model, Tensor, Tensor | None], Tensor] | None = None
    scale: float = 1.5
    steps: int = 60
    effort: int = 1000
    gap: float | None = 0.1
    num_samples: int = 4000
    completion: bool = True
    unmoved: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)

    def fresh(self) -> Model:
        """The model as its constructor makes it, the same every time."""
        with seeded(0, CPU):
            return self.make()

    def stiff(self) -> Model:
        """The model with large, uneven weights in float64, the same every time."""
        model = self.fresh().double().eval()
        return stiffen(model, self.scale) if self.scale else model

    def train(self) -> tuple[Tensor, Tensor | None]:
        """The examples to learn from, and their conditions."""
        end = len(self.data) * 3 // 4
        return self.data[:end], None if self.condition is None else self.condition[:end]

    def held_out(self) -> tuple[Tensor, Tensor | None]:
        """The other examples."""
        end = len(self.data) * 3 // 4
        return self.data[end:], None if self.condition is None else self.condition[end:]

    def source(self, model: Model) -> Tensors:
        """The training examples as a source of batches."""
        x, condition = self.train()
        x = model.space.check(x, like=model.example)
        if condition is None:
            return Tensors(x, model.space)
        return Tensors(x, model.space, condition=condition, condition_space=model.condition)

    def learner(self, model: Model) -> Algorithm:
        """The algorithm, with batches small enough for several steps an epoch."""
        with seeded(1, CPU):
            algorithm = model.algorithm() if self.algorithm is None else self.algorithm(model)
        algorithm.batch_size = min(algorithm.batch_size, max(1, len(self.train()[0]) // 3))
        return algorithm


@dataclass(frozen=True)
class Result:
    """What one check found in one case."""

    case: str
    check: str
    status: Literal["pass", "fail", "skip"]
    reason: str = ""
    seconds: float = 0.0
