"""Samples that another program drew: a folder of images, or an array of them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genus.data.arrays import channel_layout, open_archive, open_array
from genus.data.dataset import Dataset
from genus.data.images import SUFFIXES, Decoder, probe, resize_hint
from genus.data.listing import DecodedFiles, Listing, list_files
from genus.data.memory import parse_size
from genus.spaces import Numeric, Space

__all__ = ["Drawn", "read_samples"]

Channels = Literal["first", "last"]


@dataclass(frozen=True)
class Drawn:
    """Samples in the unit of a data set.

    Attributes:
        x: pictures on [0, 1] or points as they are, float32, shape ``(n, *shape)``.
        labels: the class of each, numbered as in the data set; None where nobody says.
        is_binary: whether every number is 0 or 1.
        origin: where they were read from.
    """

    x: Tensor
    labels: Tensor | None
    is_binary: bool
    origin: str


def read_samples(
    path: str | Path,
    data: Dataset,
    *,
    resize: int | None = None,
    channels: int | str | None = None,
    memory_limit: int | str | None = None,
) -> Drawn:
    """Samples to be compared with a data set.

    A folder holds images; sub-folders named like the classes of the data are their labels. A
    ``.npy`` or ``.npz`` file holds one sample a row, in the layouts of
    :func:`~genus.data.arrays.from_array` or flat: levels as integers, or floats on [0, 1]
    (points of the plane and other reals as they are); labels in a ``.npz`` file are y.

    Args:
        path: folder or file.
        data: that the samples shall be like; gives their shape.
        resize: crop images of a folder about their centre to a square of this side, and scale.
        channels: of a folder: 1 turns colour into grey; of an array: "first" or "last".
        memory_limit: largest size in memory, in bytes or as "8GB"; half of what is free by
            default.

    Raises:
        ValueError: where there are none, one cannot be read, or they are not of the data's shape
            and range.
    """
    place = Path(path).expanduser()
    limit = parse_size(memory_limit)
    if not isinstance(data.base.space, Numeric):
        raise ValueError(f"{data.name} lies in {data.base.space}; only pictures and reals compare")
    if place.is_dir():
        return _from_folder(place, data, resize, channels, limit)
    if not place.exists() or place.suffix.lower() not in (".npy", ".npz"):
        kind = "is neither a folder nor a .npy or .npz file" if place.exists() else "does not exist"
        raise ValueError(f"{place} {kind}; give the folder or the file that holds the samples")
    if resize is not None:
        raise ValueError("resize is for folders of images; scale an array before it is stored")
    return _from_file(place, data, channels, limit)


def _from_folder(
    path: Path, data: Dataset, resize: int | None, channels: int | str | None, limit: int
) -> Drawn:
    shape = data.base.space.shape
    if data.kind != "image" or len(shape) != 3:
        raise ValueError(f"{data.name} holds no pictures; give its samples as .npy or .npz")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels of a folder must be 1 (grey) or 3 (colour), got {channels!r}")
    found = list_files(path, SUFFIXES, "images")
    wanted = None if resize is None else (resize, resize)
    size, grey = probe(list(found.values()), wanted, shape[1])
    if size != shape[1:]:
        raise ValueError(
            f"the images in {path} are {size[0]}×{size[1]}, those of {data.name} "
            f"{shape[1]}×{shape[2]}; {resize_hint(shape[1])}"
        )
    if shape[0] == 1 and not grey and channels != 1:
        raise ValueError(
            f"{path} holds images in colour, {data.name} is grey; give --load channels=1 (in "
            "Python channels=1) to turn them grey"
        )
    decode = Decoder("L" if shape[0] == 1 else "RGB", size, resize is not None, channels == 1)
    parts, labels = [], []
    for listing in found.values():
        store = DecodedFiles(listing, decode)
        _check_size(store.num_bytes * 5, limit, path)
        parts.append(store.loaded().x)
        labels.append(_named(listing, data))
    levels = torch.cat(parts)
    known = [y for y in labels if y is not None]
    whole = torch.cat(known) if len(known) == len(labels) else None
    x = levels.float() / 255
    return Drawn(x, whole, _only_bits(x), str(path))


def _named(listing: Listing, data: Dataset) -> Tensor | None:
    """Labels where all sub-folders have the names of classes."""
    names = list(data.class_names)
    if not listing.class_names or set(listing.class_names) - set(names):
        return None
    order = torch.tensor([names.index(name) for name in listing.class_names])
    own = listing.labels()
    return order[own] if int(own.min()) >= 0 else None


def _from_file(path: Path, data: Dataset, channels: int | str | None, limit: int) -> Drawn:
    if channels not in (None, "first", "last"):
        raise ValueError(f"channels of an array must be 'first' or 'last', got {channels!r}")
    if path.suffix.lower() == ".npz":
        array, labels = open_archive(path, limit)
    else:
        array, labels = open_array(path, mapped=True), None
    if array.dtype.kind not in "biuf" or array.ndim < 1 or not len(array):
        raise ValueError(
            f"{path} must hold numbers with one sample a row, got {array.dtype} of shape "
            f"{array.shape}"
        )
    _check_size(array.size * 8, limit, path)
    x = _shaped(array, data.base.space, channels, path)
    bits = _only_bits(x)
    units = x.float() if bits else _to_units(x, array.dtype.kind == "f", data, path)
    return Drawn(units, _checked(labels, len(x), data, path), bits, str(path))


def _shaped(array: np.ndarray, space: Space, channels: int | str | None, path: Path) -> Tensor:
    """As ``(n, *space.shape)``."""
    shape = space.shape
    x = torch.from_numpy(np.array(array, dtype="float32" if array.dtype.kind == "f" else "int64"))
    if x.shape[1:] == shape and channels != "last":
        return x
    if x.ndim in (3, 4) and len(shape) == 3:
        layout = channel_layout(tuple(x.shape), channels, str(path))
        turned = x[:, None] if layout == "grey" else x
        turned = turned.permute(0, 3, 1, 2) if layout == "last" else turned
        if turned.shape[1:] == shape:
            return turned.contiguous()
    if x.ndim == 2 and x.shape[1] == math.prod(shape):
        return x.reshape(len(x), *shape)
    raise ValueError(
        f"{path} holds samples of shape {tuple(x.shape[1:])}, the data have {shape}; store them "
        f"as (n, {', '.join(map(str, shape))})"
    )


def _to_units(x: Tensor, is_float: bool, data: Dataset, path: Path) -> Tensor:
    """Levels and floats on [0, 1] as floats on [0, 1]; other reals as they are."""
    if is_float:
        finite = torch.isfinite(x).flatten(1).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise ValueError(f"{path} has NaN or infinite values, one in row {row}; drop that row")
        if data.kind == "image" and not (float(x.min()) >= 0 and float(x.max()) <= 1):
            raise ValueError(
                f"{path} holds floats from {float(x.min()):.3g} to {float(x.max()):.3g}; pictures "
                "as floats must lie on [0, 1], black to white: store (x + 1) / 2 where they lie on "
                "[-1, 1]"
            )
        return x
    if data.kind != "image":
        return x.float()
    space = data.stored_space
    levels = space.levels if isinstance(space, Numeric) and space.levels else 256
    if int(x.min()) < 0 or int(x.max()) >= levels:
        raise ValueError(
            f"{path} holds integers from {int(x.min())} to {int(x.max())}; {data.name} has levels "
            f"0 to {levels - 1}"
        )
    return x.float() / (levels - 1)


def _checked(labels: np.ndarray | None, n: int, data: Dataset, path: Path) -> Tensor | None:
    if labels is None or not data.num_classes:
        return None
    good = labels.shape == (n,) and labels.dtype.kind in "biu"
    if not good or labels.min() < 0 or labels.max() >= data.num_classes:
        raise ValueError(
            f"labels in {path} must be {n} integers from 0 to {data.num_classes - 1}, the classes "
            f"of {data.name}"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _only_bits(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _check_size(num_bytes: int, limit: int, path: Path) -> None:
    if num_bytes > limit:
        raise ValueError(
            f"the samples in {path} take {num_bytes / 1e9:.1f} GB, above memory_limit "
            f"({limit / 1e9:.1f} GB); give fewer"
        )
