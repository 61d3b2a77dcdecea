"""A map from data to features, what it expects of data, and the two maps that need no network."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Classifies", "Features", "PrincipalAxes", "Progress", "RawFeatures"]

Progress = Callable[[int], None]
"""Told how many data have been seen so far, after each block."""

BLOCK_NUMBERS = 8_000_000
COLUMNS = 8192


class Features(ABC):
    """A map from data, in the unit of the data set, to features.

    Attributes:
        name: what a report calls it, with where it comes from.
        kind: the same in one word: "Inception", "digits", "classifier", "given", "pixels" for
            principal axes, "numbers".
        accuracy: of the classifier that the features were learnt by, on test data; or None.
        shape: of one datum; None where any size will do.
        is_on_unit: whether values must lie on [0, 1], black to white.
        device: where the features are computed; they are returned on the CPU.
        block: how many data are seen at once, where a call does not say.
    """

    name: str
    kind: str
    accuracy: float | None = None
    shape: tuple[int | None, ...]
    is_on_unit: bool = False
    device: torch.device = torch.device("cpu")
    block: int = 512

    @abstractmethod
    def _features(self, x: Tensor) -> Float[Tensor, "batch feature"]:
        """Features of one block on ``device``."""

    @final
    def __call__(
        self, x: Tensor, *, block: int | None = None, progress: Progress | None = None
    ) -> Float[Tensor, "batch feature"]:
        """The features of data in the unit of the data set, float32 on the CPU.

        Args:
            x: shape ``(n, *shape)``.
            block: how many are seen at once; decides the memory.
            progress: told how many have been seen.

        Raises:
            ValueError: where there are no data, or they have another shape, are not finite or
                leave [0, 1] where the map is of pictures.
        """
        return self.over((x,), block=block, progress=progress)

    @final
    @torch.no_grad()
    def over(
        self,
        batches: Iterable[Tensor],
        *,
        block: int | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "batch feature"]:
        """As a call, of data that come in batches, of which one is held at a time."""
        block = self.block if block is None else block
        if block < 1:
            raise ValueError(f"block must be at least 1, got {block}")
        seen: list[Tensor] = []
        done = 0
        for batch in batches:
            for rows in batch.split(block) if len(batch) else ():
                self._check(rows)
                found = self._features(rows.to(self.device, torch.float32))
                seen.append(found.float().cpu())
                done += len(rows)
                if progress is not None:
                    progress(done)
        if not seen:
            raise ValueError("features were asked of no data; give at least one example")
        return torch.cat(seen)

    @final
    def _check(self, x: Tensor) -> None:
        fits = x.ndim == len(self.shape) + 1 and all(
            wanted in (None, size) for wanted, size in zip(self.shape, x.shape[1:], strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in self.shape)
            raise ValueError(
                f"x must have shape (n, {wanted}) for {self.kind} features, got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            unit = "; divide 8-bit levels by 255" if self.is_on_unit else ""
            raise ValueError(f"x must be floating point, got {x.dtype}{unit}")
        if not bool(x.isfinite().all()):
            raise ValueError("x has NaN or infinite entries; leave those examples out")
        if self.is_on_unit and x.numel():
            low, high = (float(end) for end in x.aminmax())
            if low < 0 or high > 1:
                raise ValueError(
                    f"x must lie on [0, 1], black to white, got values from {low:g} to {high:g}; "
                    "divide 8-bit levels by 255, or clamp"
                )


class Classifies(Features):
    """Features whose network also tells the class.

    Attributes:
        num_classes: how many there are.
    """

    num_classes: int

    @abstractmethod
    def _logits(self, features: Tensor) -> Float[Tensor, "batch class"]:
        """Unnormalised log probabilities of the classes, from features on ``device``."""

    @final
    @torch.no_grad()
    def probabilities_from(
        self, features: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch class"]:
        """p(class | x) from the features of x, so that one pass serves both."""
        logits = self._logits(features.to(self.device, torch.float32))
        return logits.float().softmax(1).cpu()

    @final
    def probabilities(
        self, x: Tensor, *, block: int | None = None, progress: Progress | None = None
    ) -> Float[Tensor, "batch class"]:
        """p(class | x) of data in the unit of the data set; arguments and errors as of a call."""
        return self.probabilities_from(self(x, block=block, progress=progress))


class RawFeatures(Features):
    """The numbers themselves, each divided by its spread in the training data."""

    kind = "numbers"

    def __init__(self, train: Tensor) -> None:
        flat = train.flatten(1)
        self.shape = tuple(train.shape[1:])
        self.mean, spread = flat.mean(0), flat.std(0)
        self.scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        self.name = f"the {flat.shape[1]} numbers themselves, standardised"

    def _features(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) / self.scale


class PrincipalAxes(Features):
    """The leading principal components of the training data, in their own unit.

    Found from the covariance of the pixels, or from the products of the examples where there
    are fewer of those.
    """

    kind = "pixels"

    def __init__(self, train: Tensor, num_components: int = 64) -> None:
        flat = train.flatten(1)
        n, size = flat.shape
        self.shape = tuple(train.shape[1:])
        self.block = max(1, min(512, BLOCK_NUMBERS // size))
        self.mean = flat.mean(0, dtype=torch.float64)
        axes = _axes_of_pixels if size <= n else _axes_of_examples
        self.axes = axes(flat, self.mean, min(num_components, size))
        self.name = f"{self.axes.shape[1]} principal components of the training pixels"

    def _features(self, x: Tensor) -> Tensor:
        return (x.flatten(1).double() - self.mean) @ self.axes


def _axes_of_pixels(flat: Tensor, mean: Tensor, count: int) -> Float[Tensor, "pixel component"]:
    """The leading eigenvectors of the covariance, largest first, float64."""
    vectors = torch.linalg.eigh(torch.cov(flat.double().T)).eigenvectors
    return vectors[:, -count:].flip(1)


def _axes_of_examples(flat: Tensor, mean: Tensor, count: int) -> Float[Tensor, "pixel component"]:
    """The same from X Xᵀ, whose eigenvectors u give Xᵀu; n examples have n − 1 axes at most."""
    parts = list(zip(flat.split(COLUMNS, 1), mean.split(COLUMNS), strict=True))
    products = torch.zeros(len(flat), len(flat), dtype=torch.float64)
    for columns, centre in parts:
        centred = columns.double() - centre
        products += centred @ centred.T
    values, vectors = torch.linalg.eigh(products)
    kept = values[-count:] > 1e-9 * values[-1]
    if not bool(kept.any()):
        return torch.eye(flat.shape[1], min(count, len(flat)), dtype=torch.float64)
    leading = vectors[:, -count:][:, kept].flip(1)
    axes = torch.cat([(columns.double() - centre).T @ leading for columns, centre in parts])
    return axes / axes.norm(dim=0)
