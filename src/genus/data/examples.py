"""A source of batches over stored examples, seen through steps."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genus.data.noise import addressed, fresh
from genus.data.steps import Step
from genus.data.stores import Store
from genus.engine.batches import Batch, Source
from genus.engine.seeding import address
from genus.spaces import Space

__all__ = ["Examples"]


class Examples(Source):
    """Stored examples as a model sees them.

    Steps that keep one draw for each example are applied as a batch is gathered, where the
    index of each example is known; from the first step that draws anew they are applied in
    ``prepare``, on the device and with the global generator.

    Args:
        store: the examples.
        space: of a stored example.
        steps: applied in order.
        part: "train", "valid" or "test"; only training redraws.
        labels: one int64 for each example, for a conditional source.
        condition: the space of the labels; goes with them.
        draw: which draw validation and test data keep of what training draws anew, from 0.
    """

    def __init__(
        self,
        store: Store,
        space: Space,
        *,
        steps: Sequence[Step] = (),
        part: str = "train",
        labels: Tensor | None = None,
        condition: Space | None = None,
        draw: int = 0,
    ) -> None:
        self.store, self.stored_space, self.draw = store, space, draw
        self.steps, self.part = tuple(steps), part
        self.labels, self.condition = labels, condition
        self.num_examples = store.num_examples
        self.space = space
        for step in steps:
            self.space = step.space(self.space)
        redrawn = [i for i, step in enumerate(self.steps) if step.redraw and part == "train"]
        self._first_redrawn = min(redrawn, default=len(self.steps))

    def to(self, device: torch.device) -> "Examples":
        """Moves what lives in memory to ``device``, once."""
        return Examples(
            self.store.to(device),
            self.stored_space,
            steps=self.steps,
            part=self.part,
            labels=None if self.labels is None else self.labels.to(device),
            condition=self.condition,
            draw=self.draw,
        )

    def _batches(self, chunks: Iterator[Tensor]) -> Iterator[Batch]:
        for chunk, x in self.store.stream(chunks):
            labels = None if self.labels is None else self.labels[chunk.to(self.labels.device)]
            yield Batch(self._fixed(x, chunk), labels)

    def _fixed(self, x: Tensor, chunk: Tensor) -> Tensor:
        for number, step in enumerate(self.steps[: self._first_redrawn]):
            seed = address(self.draw if step.redraw else 0, "view", self.part, number)
            x = step(x, addressed(seed, chunk, x.device))
        return x

    def prepare(self, batch: Batch) -> Batch:
        """Applies the steps that draw anew."""
        x = batch.x
        for step in self.steps[self._first_redrawn :]:
            x = step(x, fresh(x))
        return Batch(x, batch.condition)
