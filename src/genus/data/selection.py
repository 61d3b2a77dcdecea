"""Part of a data set: some of its classes."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from genus.data.dataset import Dataset, Part, Parts

__all__ = ["of_classes"]


def of_classes(data: Dataset, classes: str | int | Sequence[str | int]) -> Dataset:
    """The examples of some classes, whose labels count from 0 in the order given.

    Args:
        data: with labels.
        classes: names among ``data.class_names``, also joined by commas; a number is the name
            that it spells.

    Raises:
        ValueError: where the data have no labels, a class is unknown or given twice, or a part
            holds none of its examples.

    Example:
        >>> import genus
        >>> twos = of_classes(genus.data.load("digits"), 2)
        >>> twos.class_names, twos.train.num_examples
        (('2',), 141)
    """
    names = _names(data, classes)
    known = data.class_names
    number = torch.full((len(known),), -1)
    number[[known.index(name) for name in names]] = torch.arange(len(names))
    parts = []
    for split, part in data.parts._asdict().items():
        assert part.labels is not None
        labels = number[part.labels]
        rows = (labels >= 0).nonzero().flatten()
        if not len(rows):
            raise ValueError(
                f"the {split} part of {data.name} holds no example of {', '.join(names)}; "
                "give more classes"
            )
        parts.append(Part(part.store.take(rows), labels[rows]))
    rule = f"{data.split_rule}; of them the classes {', '.join(names)}"
    return replace(data, parts=Parts(*parts), class_names=names, split_rule=rule, truth=None)


def _names(data: Dataset, classes: str | int | Sequence[str | int]) -> tuple[str, ...]:
    """The classes by name, checked."""
    known = data.class_names
    if not known or any(part.labels is None for part in data.parts):
        raise ValueError(f"classes chooses among labels, and {data.name} has none; drop classes")
    if isinstance(classes, str) and classes not in known:
        classes = [name.strip() for name in classes.split(",")]
    chosen = [classes] if isinstance(classes, str | int) else list(classes)
    names = tuple(str(name) for name in chosen)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        raise ValueError(
            f"classes must be different ones of {data.name}, got {classes!r} (classes: {shown})"
        )
    return names
