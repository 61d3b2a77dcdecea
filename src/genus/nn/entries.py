"""What a network sees of each entry of a datum, apart from the other entries."""

from torch import Tensor
from torch.nn import functional as F

from genus.spaces import Categorical, Numeric, Space

__all__ = ["entries", "num_entry_features"]


def num_entry_features(space: Space) -> int:
    """How many numbers :func:`entries` gives for one entry.

    Raises:
        ValueError: for a space that is not made of single entries.
    """
    match space:
        case Categorical():
            return space.num_categories
        case Numeric():
            return 1
    raise ValueError(f"space must be Binary, Categorical, Pixels or Real, got {space}")


def entries(space: Space, x: Tensor, like: Tensor) -> Tensor:
    """One number in [−1, 1] for each numeric entry, an indicator vector for each category.

    Args:
        space: of the data.
        x: data or any entries of them, shape ``(batch, *rest)``.
        like: a tensor whose device and dtype the result takes.

    Returns:
        Shape ``(batch, num_entry_features(space), *rest)``.
    """
    if isinstance(space, Numeric):
        return space.to_real(x).to(like).unsqueeze(1)
    return F.one_hot(x.long(), num_entry_features(space)).movedim(-1, 1).to(like)
