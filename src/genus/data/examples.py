"""A source of batches over stored examples, seen through steps."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from genus.data.noise import Addressed, Fresh
from genus.data.steps import Floats, Step
from genus.data.stores import InMemory, Store
from genus.engine.batches import Batch, Source
from genus.engine.seeding import address
from genus.spaces import Binary, Space

__all__ = ["Examples"]

CHUNK = 500
MOST_BYTES = 1 << 28
"""Of stored examples, up to which their zeros and ones are held beside them."""


class Examples(Source):
    """Stored examples as a model sees them.

    Steps that keep one draw for each example are applied as a batch is gathered, where the
    index of each example is known; from the first step that draws anew they are applied in
    ``prepare``, on the device and with the global generator. Where the former leave zeros and
    ones of what lies in memory, ``to`` draws them once for all and keeps them as bytes.

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
        store, space, steps = self._settled
        return Examples(
            store.to(device),
            space,
            steps=steps,
            part=self.part,
            labels=None if self.labels is None else self.labels.to(device),
            condition=self.condition,
            draw=self.draw,
        )

    @cached_property
    def _settled(self) -> tuple[Store, Space, Sequence[Step]]:
        """The store, its space and the steps, with those done that can be done once for all.

        Kept, as a run and its monitors ask for the same.
        """
        fixed, rest = self.steps[: self._first_redrawn], self.steps[self._first_redrawn :]
        space = self.stored_space
        for step in fixed:
            space = step.space(space)
        held = isinstance(self.store, InMemory) and 0 < self.store.num_bytes <= MOST_BYTES
        drawn = any(not isinstance(step, Floats) for step in fixed)
        if not (held and drawn and isinstance(space, Binary)):
            return self.store, self.stored_space, self.steps
        bits = torch.empty(self.num_examples, *space.shape, dtype=torch.uint8)
        for some in torch.arange(self.num_examples).split(CHUNK):
            bits[some[0] : some[-1] + 1] = self._fixed(self.store.read(some), some)
        return InMemory(bits), space, (Floats(), *rest)

    def _batches(self, chunks: Iterator[Tensor]) -> Iterator[Batch]:
        for chunk, x in self.store.stream(chunks):
            labels = None if self.labels is None else self.labels[chunk.to(self.labels.device)]
            yield Batch(self._fixed(x, chunk), labels)

    def _fixed(self, x: Tensor, chunk: Tensor) -> Tensor:
        for number, step in enumerate(self.steps[: self._first_redrawn]):
            seed = address(self.draw if step.redraw else 0, "view", self.part, number)
            x = step(x, Addressed(seed, chunk, x.device))
        return x

    def prepare(self, batch: Batch) -> Batch:
        """Applies the steps that draw anew."""
        x = batch.x
        for step in self.steps[self._first_redrawn :]:
            x = step(x, Fresh(x))
        return Batch(x, batch.condition)
