"""Nearest neighbours in tiles, and what they tell of fidelity and diversity."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from genus.evaluation.bootstrap import Spread, bootstrap_mean, within
from genus.evaluation.distances import Points, pair_distances, smallest, squared_distances
from genus.evaluation.figure import Figure
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["Manifold", "manifold", "nearest"]

BLOCK = 2048


def nearest(
    queries: Float[Tensor, "query feature"],
    points: Float[Tensor, "point feature"],
    k: int = 1,
    *,
    block: int = BLOCK,
) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest points of every query: distances and indices, shape ``(query, k)``.

    Never holds more than ``block × block`` distances; the distances that are returned come from
    the differences themselves.

    Raises:
        ValueError: where there are fewer than ``k`` points, for an empty set, NaN, or sets of
            different features.
    """
    asked = check_rows(queries, "queries")
    known = check_rows(points, "points")
    check_alike(asked, known, "queries and points")
    if not 1 <= k <= len(known):
        raise ValueError(f"k must be 1 to {len(known)} (the number of points), got {k}")
    first, second = Points.pair(asked, known)
    parts = [_nearest(first, second, rows, k, block) for rows in _slices(len(asked), block)]
    index = torch.cat(parts)
    distance = torch.stack(
        [pair_distances(asked, known[column]) for column in index.unbind(1)], 1
    ).sqrt()
    distance, order = distance.sort(stable=True, dim=1)
    return distance.to(asked.dtype), index.gather(1, order)


def _slices(length: int, block: int) -> list[slice]:
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]


def _nearest(first: Points, second: Points, rows: slice, k: int, block: int) -> Tensor:
    values = torch.empty(rows.stop - rows.start, 0)
    indices = torch.empty(rows.stop - rows.start, 0, dtype=torch.long)
    for columns in _slices(len(second), block):
        tile = squared_distances(first, second, rows, columns)
        found = tile.topk(min(k, tile.shape[1]), dim=1, largest=False)
        values = torch.cat([values, found.values], 1)
        indices = torch.cat([indices, found.indices + columns.start], 1)
        best = values.topk(min(k, values.shape[1]), dim=1, largest=False)
        values, indices = best.values, indices.gather(1, best.indices)
    return indices


@dataclass(frozen=True)
class Manifold:
    """How samples lie among real data, each a share (density may exceed 1).

    Attributes:
        precision: samples inside the real manifold (Kynkäänniemi et al. 2019).
        recall: real data inside the samples' manifold.
        density: in how many real balls a sample lies, over k (Naeem et al. 2020).
        coverage: real balls that hold a sample.
        spreads: of each, by name: its standard error and 95 % bootstrap interval over the rows that
            it is a mean of (samples for precision and density, real data for recall and coverage),
            with the balls as they are.
        num_examples: how many rows each is a mean of, by name.
        note: what is odd about the sets, such as all balls of radius 0.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    spreads: dict[str, Spread] = field(default_factory=dict)
    num_examples: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def figures(self) -> dict[str, Figure]:
        """The four numbers by name, as a report takes them."""
        unknown = Spread(None, None)
        return {
            name: Figure(
                getattr(self, name),
                "~",
                self.spreads.get(name, unknown).standard_error,
                self.num_examples.get(name, 0),
                self.note,
                self.spreads.get(name, unknown).interval,
            )
            for name in ("precision", "recall", "density", "coverage")
        }


def manifold(
    real: Float[Tensor, "real feature"],
    samples: Float[Tensor, "sample feature"],
    k: int = 5,
    *,
    block: int = BLOCK,
    seed: int = 0,
) -> Manifold:
    """Precision, recall, density and coverage with balls that reach the k-th neighbour.

    A ball is open: a point on its edge is outside, so a datum with ``k`` duplicates has an empty
    ball (as in Naeem et al. 2020). Each pair is visited once, within a set and across the sets;
    memory is that of a few tiles of ``block × block``.

    Args:
        real: features of real data.
        samples: features of samples.
        k: the neighbour that a ball reaches; the datum itself is none.
        block: side of a tile.
        seed: of the bootstrap.

    Raises:
        ValueError: where either set has at most ``k`` members, is empty or holds NaN, or where the
            features differ.
    """
    truth, drawn = check_rows(real, "real"), check_rows(samples, "samples")
    check_alike(truth, drawn, "real and samples")
    if min(len(truth), len(drawn)) <= k or k < 1:
        raise ValueError(
            f"{len(truth)} real data and {len(drawn)} samples are too few for k={k} neighbours; "
            "give more, or a smaller k of at least 1"
        )
    first, second = Points.pair(truth, drawn)
    reach, reach_of_samples = _reach(first, k, block), _reach(second, k, block)
    found = _Across(first, second, reach, reach_of_samples, block)
    rows = {
        "precision": (found.balls > 0).double(),
        "recall": found.recalled.double(),
        "density": found.balls.double() / k,
        "coverage": found.covered.double(),
    }
    empty = int((reach == 0).sum()), int((reach_of_samples == 0).sum())
    note = ""
    if any(empty):
        note = (
            f"{empty[0]} real data and {empty[1]} samples have {k} duplicates: balls of radius 0 "
            "hold nothing, so all four are too low"
        )
    precision, recall, density, coverage = (float(values.mean()) for values in rows.values())
    return Manifold(
        precision,
        recall,
        density,
        coverage,
        {name: bootstrap_mean([values], seed=seed) for name, values in rows.items()}
        | {"density": _density_spread(rows["density"], found.hits, seed)},
        {name: len(values) for name, values in rows.items()},
        note,
    )


def _density_spread(rows: Tensor, hits: Tensor, seed: int) -> Spread:
    """By the chance of the samples and of the real balls, each a mean of its own rows."""
    if not float(rows.mean()):
        return bootstrap_mean([rows], seed=seed)
    by_ball = hits.double() * (float(rows.mean()) / float(hits.double().mean()))
    return within(bootstrap_mean([rows, by_ball - by_ball.mean()], seed=seed), 0.0)


def _pairs(count: int, block: int) -> Iterator[tuple[slice, slice]]:
    slices = _slices(count, block)
    for i, rows in enumerate(slices):
        for columns in slices[i:]:
            yield rows, columns


def _reach(points: Points, k: int, block: int) -> Float[Tensor, " point"]:
    """The squared distance of each point's k-th neighbour within the set."""
    best = torch.full((len(points), k), float("inf"))

    def merge(rows: slice, found: Tensor) -> None:
        both = torch.cat([best[rows], found], 1)
        best[rows] = both.topk(k, dim=1, largest=False, sorted=False).values

    for rows, columns in _pairs(len(points), block):
        tile = squared_distances(points, points, rows, columns)
        if rows == columns:
            tile.fill_diagonal_(float("inf"))
        else:
            merge(columns, smallest(tile, k, dim=0))
        merge(rows, smallest(tile, k))
    return best.amax(1)


class _Across:
    """Who lies in whose ball: one pass over all pairs of the two sets.

    Attributes:
        balls: in how many real balls each sample lies.
        hits: how many samples each real ball holds.
        covered: whether a real ball holds a sample.
        recalled: whether a real datum lies in a sample's ball.
    """

    def __init__(
        self, real: Points, samples: Points, reach: Tensor, reach_of_samples: Tensor, block: int
    ) -> None:
        self.balls = torch.zeros(len(samples))
        self.hits = torch.zeros(len(real))
        self.covered = torch.zeros(len(real), dtype=torch.bool)
        self.recalled = torch.zeros(len(real), dtype=torch.bool)
        for rows in _slices(len(real), block):
            for columns in _slices(len(samples), block):
                tile = squared_distances(real, samples, rows, columns)
                self.recalled[rows] |= (tile - reach_of_samples[columns]).amin(1) < 0
                self.covered[rows] |= tile.amin(1) < reach[rows]
                inside = tile.sub_(reach[rows, None]).lt_(0)
                self.balls[columns] += inside.sum(0)
                self.hits[rows] += inside.sum(1)
