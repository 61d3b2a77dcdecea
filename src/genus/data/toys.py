"""Toys whose true distribution is known, in the plane and on a small grid."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genus.data.dataset import Dataset, Part, Parts
from genus.data.steps import Floats
from genus.data.stores import InMemory
from genus.data.truth import Truth
from genus.engine.seeding import address, seeded
from genus.spaces import Binary, Real, Space

__all__ = ["bars_and_stripes", "gaussians_25", "ring", "two_moons"]

SIZES = {"train": 50_000, "valid": 5_000, "test": 5_000}
NUM_NODES = 256


def gaussians_25(*, spacing: float = 2.0, standard_deviation: float = 0.05) -> Dataset:
    """25 equal Gaussians on a 5×5 grid (Srivastava et al. 2017); labels name the mode.

    Args:
        spacing: between neighbouring centres.
        standard_deviation: of each Gaussian in each direction.
    """
    line = (torch.arange(5.0) - 2.0) * spacing
    return _mixture("gaussians_25", torch.cartesian_prod(line, line), standard_deviation)


def ring(*, num_modes: int = 8, radius: float = 2.0, standard_deviation: float = 0.02) -> Dataset:
    """Equal Gaussians on a circle (Metz et al. 2017); labels name the mode.

    Args:
        num_modes: how many.
        radius: of the circle.
        standard_deviation: of each Gaussian in each direction.
    """
    _check_positive(num_modes=num_modes, radius=radius)
    angle = torch.arange(num_modes) * (2.0 * math.pi / num_modes)
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return _mixture("ring", centres, standard_deviation)


def two_moons(*, standard_deviation: float = 0.1) -> Dataset:
    """Two half circles that reach into each other, blurred; labels name the moon.

    The density is an integral over the angle, taken by Gauss–Legendre quadrature.

    Args:
        standard_deviation: of the blur, at least 0.02, where the quadrature is exact.
    """
    if not standard_deviation >= 0.02:
        raise ValueError(f"standard_deviation must be at least 0.02, got {standard_deviation}")
    nodes, weights = _legendre()
    angle = (nodes + 1.0) * (0.5 * math.pi)
    centres = torch.cat([_moon(angle, torch.tensor(label)) for label in (0, 1)])
    log_weights = (weights / weights.sum() / 2.0).log().repeat(2)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(0, 2, (n,))
        points = _moon(torch.rand(n) * math.pi, labels)
        return points + standard_deviation * torch.randn(n, 2), labels

    truth = Truth(_gaussian_mixture(centres, log_weights, standard_deviation), torch.empty(0, 2))
    return _dataset("two_moons", Real((2,)), draw, truth, ("upper", "lower"))


def bars_and_stripes(*, side: int = 4) -> Dataset:
    """Binary images of only full rows or only full columns, each pattern equally likely.

    There are 2^(side + 1) − 2 patterns; the empty and the full image count once
    (MacKay 2003, section 43.3, where they count twice).

    Args:
        side: height and width, 2 to 10.
    """
    if not 2 <= side <= 10:
        raise ValueError(f"side must be 2 to 10, got {side}")
    lines = Binary((side,)).points()
    stripes = lines[:, :, None].expand(-1, side, side)
    patterns = torch.cat([stripes, stripes.transpose(1, 2)[1:-1]])[:, None].contiguous()

    def log_prob(x: Tensor) -> Tensor:
        flat = x.reshape(len(x), -1).to(patterns)
        known = (flat[:, None] == patterns.flatten(1)[None]).all(2).any(1)
        return torch.where(known, -math.log(len(patterns)), -math.inf)

    def draw(n: int) -> tuple[Tensor, None]:
        return patterns[torch.randint(0, len(patterns), (n,))].to(torch.uint8), None

    space = Binary((1, side, side))
    return _dataset("bars_and_stripes", space, draw, Truth(log_prob, patterns), ())


def _mixture(name: str, centres: Float[Tensor, "mode 2"], deviation: float) -> Dataset:
    _check_positive(standard_deviation=deviation)
    log_weights = torch.full((len(centres),), -math.log(len(centres)))

    def draw(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(0, len(centres), (n,))
        return centres[labels] + deviation * torch.randn(n, 2), labels

    truth = Truth(_gaussian_mixture(centres, log_weights, deviation), centres, deviation)
    names = tuple(str(number) for number in range(len(centres)))
    return _dataset(name, Real((2,)), draw, truth, names)


def _gaussian_mixture(
    centres: Float[Tensor, "mode 2"], log_weights: Float[Tensor, " mode"], deviation: float
) -> Callable[[Tensor], Tensor]:
    """Log density of Σ w N(x; c, s² I) in the plane."""

    def log_prob(x: Tensor) -> Tensor:
        rows = []
        for part in x.split(4096):
            points, around = part.double(), centres.to(part.device).double()
            square = points.square().sum(1, keepdim=True) + around.square().sum(1)
            distance = square - 2.0 * points @ around.T
            terms = log_weights.to(distance) - 0.5 * distance / deviation**2
            rows.append(terms.logsumexp(1) - math.log(2.0 * math.pi * deviation**2))
        return torch.cat(rows).to(x.dtype)

    return log_prob


def _legendre() -> tuple[Tensor, Tensor]:
    """Nodes in (−1, 1) and weights."""
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    return torch.from_numpy(nodes).float(), torch.from_numpy(weights).float()


def _moon(angle: Float[Tensor, " point"], label: Tensor) -> Float[Tensor, "point 2"]:
    """(cos t, sin t) for the upper moon, (1 − cos t, ½ − sin t) for the lower one."""
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    lower = torch.stack([1.0 - angle.cos(), 0.5 - angle.sin()], dim=1)
    return torch.where((label == 0).reshape(-1, 1), upper, lower)


def _dataset(
    name: str,
    space: Space,
    draw: Callable[[int], tuple[Tensor, Tensor | None]],
    truth: Truth,
    class_names: tuple[str, ...],
) -> Dataset:
    parts = []
    for split, size in SIZES.items():
        with seeded(address(0, name, split), torch.device("cpu")):
            x, labels = draw(size)
        parts.append(Part(InMemory(x), labels))
    binary = isinstance(space, Binary)
    return Dataset(
        name=name,
        kind="image" if binary else "points",
        stored_space=space,
        parts=Parts(*parts),
        class_names=class_names,
        licence="Apache-2.0",
        origin="drawn by genus from a known distribution",
        split_rule="50,000 / 5,000 / 5,000 independent draws by fixed seeds",
        truth=truth,
        steps=(Floats(),) if binary else (),
    )


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
