"""A data set: three parts of examples over one space, and the views of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from genus.data.augmentation import Flip, Shift
from genus.data.examples import Examples
from genus.data.pictures import render
from genus.data.steps import Binarise, Dequantise, Floats, Step, levels_of
from genus.data.stores import InMemory, Store
from genus.data.truth import Truth
from genus.engine.seeding import seeded
from genus.spaces import Binary, Categorical, Pixels, Real, Space

__all__ = ["Dataset", "Kind", "Part", "Parts", "Split", "View"]

Kind = Literal["image", "points", "text", "audio", "table"]
Split = Literal["train", "valid", "test"]
View = Literal["binary", "static", "pixels"]
CHUNK = 500


class Part(NamedTuple):
    """Stored examples and, where there are any, an int64 label for each."""

    store: Store
    labels: Tensor | None = None


class Parts(NamedTuple):
    """The three parts of a data set."""

    train: Part
    valid: Part
    test: Part


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples over one space, split for training, choosing and judging. Immutable.

    A data set with another view, with labels as condition or with noise added is another
    ``Dataset`` over the same stored examples.

    Attributes:
        name: of the set.
        kind: "image", "points", "text", "audio" or "table".
        stored_space: of the examples as stored; ``space`` is what a model sees.
        parts: the stored examples and labels.
        class_names: names of the labels 0, 1, …; empty where there are none.
        licence: under which the data may be used.
        origin: who published them, or the path they were read from.
        split_rule: how the parts were chosen.
        vocabulary: of text: the characters that the categories stand for.
        sample_rate: of audio, in Hz.
        truth: of toys: the distribution that the examples were drawn from.
        steps: from stored examples to what a model sees.
        augmentation: steps applied first, and only in training.
        is_conditional: whether the sources carry the labels as condition.
        draw: which draw validation and test data keep of what training draws anew, from 0.
    """

    name: str
    kind: Kind
    stored_space: Space
    parts: Parts
    class_names: tuple[str, ...] = ()
    licence: str = "not stated"
    origin: str = "not stated"
    split_rule: str = "not stated"
    vocabulary: tuple[str, ...] = ()
    sample_rate: int | None = None
    truth: Truth | None = None
    steps: tuple[Step, ...] = ()
    augmentation: tuple[Step, ...] = ()
    is_conditional: bool = False
    draw: int = 0

    @cached_property
    def train(self) -> Examples:
        """What models learn from."""
        return self._source("train")

    @cached_property
    def valid(self) -> Examples:
        """What choices are made on."""
        return self._source("valid")

    @cached_property
    def test(self) -> Examples:
        """What is reported."""
        return self._source("test")

    def _source(self, split: Split) -> Examples:
        part: Part = getattr(self.parts, split)
        steps = self.augmentation + self.steps if split == "train" else self.steps
        return Examples(
            part.store,
            self.stored_space,
            steps=steps,
            part=split,
            labels=part.labels if self.is_conditional else None,
            condition=self._label_space if self.is_conditional else None,
            draw=self.draw,
        )

    @property
    def _label_space(self) -> Space:
        return Categorical((), self.num_classes)

    @property
    def space(self) -> Space:
        """The space of a datum as a model sees it."""
        return self.valid.space

    @property
    def num_classes(self) -> int:
        """How many labels there are; 0 without labels."""
        return len(self.class_names)

    def labels(self, split: Split) -> Tensor | None:
        """The labels of a part, int64, or None where the data have none."""
        part: Part = getattr(self.parts, split)
        return part.labels

    def conditional(self) -> "Dataset":
        """The same data, whose sources carry the labels as condition.

        Raises:
            ValueError: where there are no labels.
        """
        if not self.class_names:
            raise ValueError(
                f"{self.name} has no labels, which a conditional model needs; put images in one "
                "sub-folder for each class, or name the labels (labels=..., label_column=...)"
            )
        return replace(self, is_conditional=True)

    def viewed(self, view: View) -> "Dataset":
        """Grey levels as they are, or binarised.

        Args:
            view: "pixels" as stored; "binary" drawn anew in every epoch of training, with one
                fixed draw of valid and test; "static" with one fixed draw of all three.

        Raises:
            ValueError: where the view is unknown or the data hold no grey levels.
        """
        if view not in ("binary", "static", "pixels"):
            raise ValueError(f"view must be 'binary', 'static' or 'pixels', got {view!r}")
        space = self.stored_space
        if isinstance(space, Binary) and view != "pixels":
            return replace(self, steps=(Floats(),))
        if not isinstance(space, Pixels):
            raise ValueError(f"view={view!r} needs stored pixel levels, {self.name} has {space}")
        if view == "pixels":
            return replace(self, steps=())
        return replace(self, steps=(Binarise(space.num_levels, redraw=view == "binary"),))

    @property
    def is_drawn(self) -> bool:
        """Whether training draws its data anew from what is stored, as bits of grey levels."""
        return any(step.redraw for step in self.steps)

    def redrawn(self, draw: int) -> "Dataset":
        """The same with another draw of validation and test data, where training draws anew.

        Args:
            draw: its number. Number 0 is that of every data set that is loaded.

        Raises:
            ValueError: where the number is negative or no integer.
        """
        if isinstance(draw, bool) or not isinstance(draw, int) or draw < 0:
            raise ValueError(f"draw must be an integer of at least 0, got {draw!r}")
        return replace(self, draw=draw)

    def dequantised(self) -> "Dataset":
        """The view with uniform noise between its levels, over Real: y = (x + u) / levels.

        Training draws u anew, valid and test keep one draw. Data over Real stay as they are.

        Raises:
            ValueError: where the data are neither numeric levels nor reals.
        """
        if isinstance(self.space, Real):
            return self
        return replace(self, steps=(*self.steps, Dequantise(levels_of(self.space))))

    def augmented(self, *, flip: bool = False, shift: int = 0) -> "Dataset":
        """The same data with training images changed at random.

        Args:
            flip: mirror half of them left to right.
            shift: move each by up to this many pixels in each direction, over black.

        Raises:
            ValueError: where the data are no images.
        """
        if self.kind != "image":
            raise ValueError(f"augmentation is for images, {self.name} holds {self.kind}")
        chosen: list[Step] = [Flip()] if flip else []
        return replace(self, augmentation=(*chosen, *([Shift(shift)] if shift else [])))

    @property
    def _dequantisation(self) -> Dequantise | None:
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Dequantise) else None

    @property
    def base(self) -> "Dataset":
        """The data before noise was added to their levels; otherwise itself."""
        return self if self._dequantisation is None else replace(self, steps=self.steps[:-1])

    @property
    def log_volume(self) -> float:
        """What to add to a log density of this view to bound that of ``base``, in nats."""
        step = self._dequantisation
        return 0.0 if step is None else step.log_volume(self.space)

    def to_data(self, samples: Tensor) -> Tensor:
        """Points of this view as points of ``base.space``."""
        step = self._dequantisation
        return samples if step is None else step.invert(samples, self.base.space)

    def materialise(self, split: Split, n: int | None = None, seed: int = 0) -> Tensor:
        """The first n data of a part as a model sees them, on the CPU.

        Args:
            split: "train", "valid" or "test".
            n: how many; all where None or more than there are.
            seed: of what training draws anew; the first rows do not depend on n.
        """
        source: Examples = getattr(self, split)
        size = source.num_examples if n is None else min(n, source.num_examples)
        batches = source.in_order(CHUNK)
        rows: list[Tensor] = []
        with seeded(seed, torch.device("cpu")):
            for start in range(0, size, CHUNK):
                rows.append(source.prepare(next(batches)).x[: size - start].cpu())
        _close(batches)
        return torch.cat(rows)

    def render(self, x: Tensor) -> Tensor | None:
        """Data of this view (or their means) as grey or colour pictures.

        Returns:
            uint8, shape ``(n, height, width)`` or ``(n, height, width, 3)``; None where the
            data are no pictures.
        """
        if self.kind != "image" or len(self.space.shape) != 3:
            return None
        return render(x, self.space, self._range)

    @cached_property
    def _range(self) -> tuple[float, float]:
        """The values that become black and white."""
        if self._dequantisation is not None:
            return 0.0, 1.0
        if isinstance(self.space, Binary | Pixels):
            return 0.0, float(levels_of(self.space) - 1)
        few = self.materialise("train", CHUNK)
        return float(few.min()), float(few.max())

    def decode(self, x: Tensor) -> list[str]:
        """Sequences of categories as text.

        Raises:
            ValueError: where the data are no text.
        """
        if not self.vocabulary:
            raise ValueError(f"{self.name} is no text; it has no vocabulary")
        return ["".join(self.vocabulary[code] for code in row) for row in x.tolist()]

    def encode(self, text: str) -> Tensor:
        """Text as categories, int64 of shape ``(len(text),)``.

        Raises:
            ValueError: where a character is not in the vocabulary.
        """
        codes = {character: code for code, character in enumerate(self.vocabulary)}
        unknown = sorted(set(text) - set(codes))
        if unknown:
            raise ValueError(f"{self.name} has no character {unknown[0]!r} in its vocabulary")
        return torch.tensor([codes[character] for character in text], dtype=torch.int64)

    def describe(self) -> dict[str, Any]:
        """What the set is, as plain data."""
        counts = {split: part.store.num_examples for split, part in self.parts._asdict().items()}
        return {
            "name": self.name,
            "kind": self.kind,
            "examples": counts,
            "shape": list(self.space.shape),
            "space": str(self.space),
            "classes": list(self.class_names),
            "in_memory": all(isinstance(part.store, InMemory) for part in self.parts),
            "megabytes": round(sum(part.store.num_bytes for part in self.parts) / 1e6, 1),
            "licence": self.licence,
            "origin": self.origin,
            "split": self.split_rule,
        }


def _close(batches: Iterator[Any]) -> None:
    """Lets a reader end its threads now rather than when it is collected."""
    close = getattr(batches, "close", None)
    if close is not None:
        close()
