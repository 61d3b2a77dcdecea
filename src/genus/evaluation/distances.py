"""Squared Euclidean distances of two sets of points, tile by tile.

    |x − y|² = |x|² + |y|² − 2 x·y

A float32 product serves all pairs but the close ones, whose difference would drown in rounding:
those are taken from x − y itself in float64, or, where they are many, from a product in float64.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["Points", "pair_distances", "smallest", "squared_distances"]

CLOSE = 1e-3
"""Of |x|² + |y|²: float32 leaves a smaller squared distance fewer than four digits."""
MANY = 0.01
IDENTICAL = 1e-14
"""Of |x|² + |y|²: what float64 cannot tell from zero."""
DISTANT_MEAN = 16.0
"""Times the variance: a mean whose square is larger is taken away first. Other data stay as they
are, so that the distances of small whole numbers, and with them their ties, are exact."""
GROUP = 16
BLOCK = 2048
PAIRS = 4_000_000


class Points:
    """Points with what every tile needs of them.

    Args:
        values: shape ``(point, feature)``.
        origin: the point that is taken away from each; distances do not depend on it.
    """

    def __init__(self, values: Tensor, origin: Tensor) -> None:
        self.exact = values
        self.origin = origin
        self.values = values.float()
        if bool(origin.any()):
            moved = [(b.double() - origin).float() for b in values.split(BLOCK)]
            self.values = torch.cat(moved)
        self.norms = torch.cat([b.double().square().sum(1) for b in self.values.split(BLOCK)])
        self.norms = self.norms.float()

    def __len__(self) -> int:
        return len(self.exact)

    @classmethod
    def pair(cls, first: Tensor, second: Tensor) -> "tuple[Points, Points]":
        """Two sets about a common origin."""
        mean = first.mean(0, dtype=torch.float64)
        variance = sum((b.double() - mean).square().sum() for b in first.split(BLOCK)) / len(first)
        far = bool(mean.square().sum() > DISTANT_MEAN * variance)
        origin = mean if far else torch.zeros_like(mean)
        one = cls(first, origin)
        return one, one if second is first else cls(second, origin)


def pair_distances(first: Tensor, second: Tensor) -> Float[Tensor, " pair"]:
    """Squared distances of rows with the rows beside them, from their differences in float64."""
    rows = max(1, PAIRS // first.shape[1])
    return torch.cat(
        [
            (a.double() - b.double()).square().sum(1)
            for a, b in zip(first.split(rows), second.split(rows), strict=True)
        ]
    )


def squared_distances(
    first: Points, second: Points, rows: slice, columns: slice
) -> Float[Tensor, "row column"]:
    """One tile, float32. Identical points are at distance 0 exactly."""
    x, y = first.norms[rows], second.norms[columns]
    tile = torch.addmm(x[:, None], first.values[rows], second.values[columns].T, alpha=-2)
    tile += y
    if float(tile.amin()) > CLOSE * float(x.max() + y.max()):
        return tile
    close = tile <= CLOSE * (x[:, None] + y)
    count = int(close.sum())
    if count > MANY * tile.numel():
        return _in_double(first, second, rows, columns)
    if count:
        i, j = close.nonzero(as_tuple=True)
        exact = _chosen_distances(first.exact[rows], second.exact[columns], i, j)
        tile[i, j] = exact.to(tile.dtype)
    return tile


def _chosen_distances(first: Tensor, second: Tensor, i: Tensor, j: Tensor) -> Tensor:
    rows = max(1, PAIRS // first.shape[1])
    return torch.cat(
        [
            pair_distances(first[a], second[b])
            for a, b in zip(i.split(rows), j.split(rows), strict=True)
        ]
    )


def _in_double(first: Points, second: Points, rows: slice, columns: slice) -> Tensor:
    x, y = first.exact[rows].double() - first.origin, second.exact[columns].double() - first.origin
    total = x.square().sum(1)[:, None] + y.square().sum(1)
    tile = torch.addmm(total, x, y.T, alpha=-2)
    return tile.masked_fill_(tile <= IDENTICAL * total, 0.0).float()


def smallest(
    tile: Float[Tensor, "row column"], k: int, *, dim: int = 1
) -> Float[Tensor, "line best"]:
    """The ``k`` smallest numbers along an axis, in no order; padded with infinity where fewer.

    Numbers are put into groups of 16: the k smallest lie in the k groups of the smallest minima,
    and a minimum over groups is one fast pass where a selection is several.

    Args:
        tile: numbers.
        k: how many.
        dim: 1 for the smallest of each row, 0 of each column.
    """
    count, height = tile.shape[dim], tile.shape[dim] // GROUP
    if height <= 2 * k:
        few = min(k, count)
        best = tile.topk(few, dim=dim, largest=False, sorted=False).values
        return F.pad(best if dim == 1 else best.T, (0, k - few), value=float("inf"))
    whole = tile.narrow(dim, 0, height * GROUP).unflatten(dim, (GROUP, height))
    minima = whole.amin(dim)
    lines = minima if dim == 1 else minima.T.contiguous()
    best = lines.topk(k, dim=1, largest=False, sorted=False).indices
    if dim == 1:
        chosen = whole.gather(2, best[:, None, :].expand(-1, GROUP, -1)).flatten(1)
        rest = tile[:, height * GROUP :]
    else:
        chosen = whole.gather(1, best.T.expand(GROUP, -1, -1)).flatten(0, 1).T
        rest = tile[height * GROUP :].T
    return torch.cat([chosen, rest], 1).topk(k, dim=1, largest=False, sorted=False).values
