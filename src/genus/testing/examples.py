"""Small data sets without symmetry, one for every kind of space."""

import torch
from torch import Tensor

from genus.spaces import Binary, Categorical, Pixels, Real, Sequence, Space

__all__ = ["lopsided"]


def lopsided(space: Space, n: int = 240, seed: int = 0) -> Tensor:
    """n examples around two unlike prototypes of unequal weight, shape ``(n, *space.shape)``.

    Real data are Gaussian about the prototypes, with uneven scales and a common direction;
    the others copy a prototype and replace every tenth entry by a random one.

    Args:
        space: any space of the package.
        n: how many.
        seed: the same gives the same.
    """
    generator = torch.Generator().manual_seed(seed)
    if isinstance(space, Sequence):
        return lopsided(space.of, n * space.max_length, seed).reshape(n, *space.shape)
    size = space.num_dimensions
    which = (torch.rand(n, generator=generator) < 0.3).long()
    if isinstance(space, Real):
        centres = torch.randn(2, size, generator=generator) * 2 + 1
        scales = torch.linspace(0.3, 1.2, size)
        shared = torch.randn(n, 1, generator=generator) * torch.linspace(-1, 1, size)
        x = centres[which] + scales * torch.randn(n, size, generator=generator) + shared
        return x.reshape(n, *space.shape)
    levels = _levels(space)
    prototypes = torch.randint(0, levels, (2, size), generator=generator)
    noise = torch.randint(0, levels, (n, size), generator=generator)
    changed = torch.rand(n, size, generator=generator) < 0.1
    x = torch.where(changed, noise, prototypes[which]).reshape(n, *space.shape)
    return x.to(torch.get_default_dtype() if space.dtype is None else space.dtype)


def _levels(space: Space) -> int:
    if isinstance(space, Categorical):
        return space.num_categories
    if isinstance(space, Pixels):
        return space.num_levels
    if isinstance(space, Binary):
        return 2
    raise ValueError(f"no example data for {space}; give the Case data of its own")
