"""The 8×8 digits that scikit-learn ships."""

import torch

from genus.data.dataset import Dataset, Part, Parts
from genus.data.splits import shuffled
from genus.data.stores import InMemory
from genus.spaces import Pixels

__all__ = ["digits"]


def digits() -> Dataset:
    """1,797 handwritten digits, 8×8, 17 levels (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits  # slow to import

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images).to(torch.uint8).reshape(-1, 1, 8, 8)
    y = torch.from_numpy(labels).long()
    return Dataset(
        name="digits",
        kind="image",
        stored_space=Pixels((1, 8, 8), 17),
        parts=Parts(*(Part(InMemory(x[rows]), y[rows]) for rows in shuffled(len(x)))),
        class_names=tuple("0123456789"),
        licence="CC BY 4.0",
        origin="UCI, optical recognition of handwritten digits (test set); in scikit-learn",
        split_rule="80/10/10 by one fixed permutation",
    )
