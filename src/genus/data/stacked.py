"""Stacked MNIST: three digits at random as the channels of one picture, 1,000 modes."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from genus.data.dataset import Dataset, Part, Parts
from genus.data.mnist import mnist
from genus.data.stores import InMemory, Store
from genus.data.truth import Truth
from genus.engine.seeding import address
from genus.spaces import Pixels

__all__ = ["stacked_mnist"]

SIZES = {"train": 128_000, "valid": 5_000, "test": 26_000}


def stacked_mnist(*, folder: str | Path | None = None) -> Dataset:
    """28×28 in three channels, each a digit drawn by itself (Metz et al. 2017).

    The label 100a + 10b + c names the mode; all 1,000 are about equally likely. The sizes are
    those of Srivastava et al. 2017 and Lin et al. 2018: 128,000 for training, 26,000 to judge.
    Digits of the training set are stacked for training, of the test set for testing.

    Args:
        folder: with the IDX files of MNIST; otherwise the search path, then the package.
    """
    digits = mnist(folder=folder)
    parts = []
    for name, size in SIZES.items():
        source: Part = getattr(digits.parts, name)
        assert isinstance(source.store, InMemory) and source.labels is not None  # noqa: PT018
        generator = torch.Generator().manual_seed(address(0, "stacked_mnist", name))
        rows = torch.randint(source.store.num_examples, (size, 3), generator=generator)
        labels = source.labels[rows] @ torch.tensor([100, 10, 1])
        parts.append(Part(Stacked(source.store.x[:, 0], rows), labels))
    return Dataset(
        name="stacked_mnist",
        kind="image",
        stored_space=Pixels((3, 28, 28)),
        parts=Parts(*parts),
        class_names=tuple(f"{number:03d}" for number in range(1000)),
        licence=digits.licence,
        origin=f"stacked from MNIST: {digits.origin}",
        split_rule="128,000 / 5,000 / 26,000 stacks of digits of the same part of MNIST, by fixed "
        "seeds",
        truth=Truth(None, torch.empty(0, 3, 28, 28), digits=3),
    )


class Stacked(Store):
    """Stacks of pictures that are held once.

    Args:
        pictures: shape ``(picture, height, width)``.
        rows: which pictures make each stack, shape ``(stack, channel)``.
    """

    def __init__(
        self,
        pictures: UInt8[Tensor, "picture height width"],
        rows: Int[Tensor, "stack channel"],
    ) -> None:
        self.pictures, self.rows = pictures, rows
        self.num_examples = len(rows)
        self.num_bytes = rows.numel() * pictures[0].numel()

    def read(self, rows: Tensor) -> Tensor:
        """Gathered where the pictures lie."""
        return self.pictures[self.rows[rows.to(self.rows.device)]]

    def take(self, rows: Tensor) -> "Stacked":
        """The same pictures, fewer stacks."""
        return Stacked(self.pictures, self.rows[rows])

    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """No work ahead: gathering is faster than any queue."""
        for chunk in chunks:
            yield chunk, self.read(chunk)

    def to(self, device: torch.device) -> "Stacked":
        """Pictures and stacks on a device."""
        return Stacked(self.pictures.to(device), self.rows.to(device))
