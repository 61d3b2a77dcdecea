"""A folder of files as parts with labels: what images and recordings have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genus.data.dataset import Part, Parts
from genus.data.listing import DecodedFiles, Listing
from genus.data.memory import held
from genus.data.splits import mixed, shuffled

__all__ = ["Foldered", "split_files"]


class Foldered(NamedTuple):
    """Parts, names of the labels, and the rule that made the parts."""

    parts: Parts
    class_names: tuple[str, ...]
    split_rule: str


def split_files(
    found: dict[str, Listing],
    decode: Callable[[Path], Tensor],
    *,
    valid_fraction: float,
    test_fraction: float,
    memory_limit: int | str | None,
    workers: int,
) -> Foldered:
    """The three parts of listed files, in memory where they fit.

    Folders named train, valid and test are kept as they are; a part that has no folder is
    taken from the training files by one fixed permutation.
    """
    main = found.get("train", found.get("all"))
    assert main is not None
    rows = _rows(found, len(main), valid_fraction, test_fraction)
    names = main.class_names if len(main.class_names) > 1 else ()
    stores, labels = [], []
    for split in ("train", "valid", "test"):
        listing = found.get(split, main)
        stores.append(DecodedFiles(listing, decode, rows[split], workers=workers))
        labels.append(_labels(listing, names, rows[split]))
    examples = held(stores, memory_limit)
    pairs = zip(examples, labels, strict=True)
    named = " and ".join(sorted(set(found) - {"all"}))
    drawn = f"{valid_fraction:.0%} valid and {test_fraction:.0%} test by one fixed permutation"
    rule = f"folders {named}; the rest {drawn}" if named else drawn
    return Foldered(Parts(*(Part(store, y) for store, y in pairs)), names, rule)


def _rows(
    found: dict[str, Listing], n: int, valid_fraction: float, test_fraction: float
) -> dict[str, Tensor]:
    """The rows of each part within its listing."""
    rows = {split: mixed(torch.arange(len(listing))) for split, listing in found.items()}
    missing = {"valid", "test"} - set(found)
    if missing:
        train, valid, test = shuffled(n, valid_fraction=valid_fraction, test_fraction=test_fraction)
        drawn = {"valid": valid, "test": test}
        kept = [train] + [drawn[split] for split in drawn if split not in missing]
        rows |= {split: drawn[split] for split in missing}
        rows["train"] = torch.cat(kept)
    return rows


def _labels(listing: Listing, names: tuple[str, ...], rows: Tensor) -> Tensor | None:
    """Labels of these rows, numbered as in the training folder."""
    if not names:
        return None
    labels = listing.labels()[rows]
    unknown = sorted(set(listing.class_names) - set(names))
    if unknown or int(labels.min()) < 0:
        stray = f"a class {unknown[0]!r}" if unknown else "files outside sub-folders"
        raise ValueError(
            f"{listing.root} has {stray}, which the training folder lacks; its classes are "
            f"{', '.join(names[:10])}"
        )
    return torch.tensor([names.index(name) for name in listing.class_names])[labels]
