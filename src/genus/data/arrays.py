"""The user's own arrays: ``.npy`` and ``.npz``."""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from genus.data.dataset import Dataset, Kind, Part, Parts
from genus.data.memory import held, parse_size
from genus.data.splits import shuffled
from genus.data.steps import Floats
from genus.data.stores import Conversion, Mapped
from genus.spaces import Binary, Categorical, Pixels, Real, Space

__all__ = [
    "Channels",
    "array_file",
    "channel_layout",
    "from_array",
    "open_archive",
    "open_array",
]

Channels = Literal["first", "last"]
COLOURS = (1, 3, 4)
DATA_NAMES = ("x", "X", "data", "images", "arr_0")
LABEL_NAMES = ("y", "Y", "labels", "targets", "arr_1")
SCAN = 1 << 22


def array_file(
    path: str | Path,
    *,
    labels: str | Path | np.ndarray | None = None,
    channels: Channels | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    memory_limit: int | str | None = None,
    workers: int = 2,
) -> Dataset:
    """Data in a ``.npy`` or ``.npz`` file, one example a row; see :func:`from_array`.

    A ``.npy`` file that takes more than ``memory_limit`` is read from disk as it is needed.
    A ``.npz`` file holds the data as x (or X, data, images) and may hold labels as y (or Y,
    labels, targets). Pickled objects are refused.

    Args:
        path: the file.
        labels: integers, one for each row, or the ``.npy`` file that holds them.
        channels: "first" or "last", for images with a channel axis.
        valid_fraction: share of examples for validation.
        test_fraction: share of examples for testing.
        memory_limit: largest size in memory, in bytes or as "8GB"; half of what is free by
            default.
        workers: reading threads.

    Raises:
        ValueError: where the file cannot be read or its content cannot be understood.
    """
    path = Path(path)
    limit = parse_size(memory_limit)
    if path.suffix.lower() == ".npz":
        x, y = open_archive(path, limit)
    else:
        x, y = open_array(path, mapped=True), None
    if labels is not None:
        y = labels if isinstance(labels, np.ndarray) else open_array(Path(labels))
    return from_array(
        x,
        y,
        name=path.stem,
        origin=str(path),
        channels=channels,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        memory_limit=limit,
        workers=workers,
    )


def from_array(
    x: Any,
    labels: Any = None,
    *,
    name: str = "array",
    origin: str = "an array",
    channels: Channels | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    memory_limit: int | str | None = None,
    workers: int = 2,
) -> Dataset:
    """A data set from an array or tensor, one example a row.

    The values decide the space: only 0 and 1 → Binary; uint8, and integers 0 to 255 in the
    shape of images → Pixels; other integers from 0 up → Categorical; floats → Real.
    The shape decides what it shows: (n, height, width) and (n, height, width, channel) or
    (n, channel, height, width) with 1, 3 or 4 channels are images, kept channel first; bytes
    and bits of another shape, two columns of reals, and all else are kept as they are.

    Args:
        x: the examples.
        labels: one integer from 0 up for each.
        name: of the data set.
        origin: where they come from.
        channels: "first" or "last" where both could be.
        valid_fraction: share of examples for validation.
        test_fraction: share of examples for testing.
        memory_limit: largest size in memory; half of what is free by default.
        workers: reading threads.

    Raises:
        ValueError: where values or shape cannot be understood, or a value is NaN.
    """
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asanyarray(x)
    if array.ndim < 2 or len(array) == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{origin} must hold numbers with one example a row, shape (n, ...), got "
            f"{array.dtype} of shape {array.shape}"
        )
    layout = channel_layout(array.shape, channels, origin)
    shape = _example_shape(array.shape, layout)
    space, convert = _space(array, shape, layout, origin)
    y, class_names = _labels(labels, len(array), origin)
    rows = shuffled(len(array), valid_fraction=valid_fraction, test_fraction=test_fraction)
    stores = held([Mapped(array, convert, part, workers=workers) for part in rows], memory_limit)
    pairs = zip(stores, rows, strict=True)
    return Dataset(
        name=name,
        kind=_kind(space, layout),
        stored_space=space,
        parts=Parts(*(Part(store, None if y is None else y[part]) for store, part in pairs)),
        class_names=class_names,
        licence="the owner's",
        origin=origin,
        split_rule=f"{valid_fraction:.0%} valid and {test_fraction:.0%} test by one fixed "
        "permutation",
        steps=(Floats(),) if isinstance(space, Binary) else (),
    )


Layout = Literal["plain", "grey", "first", "last"]


@dataclass(frozen=True)
class Rows(Conversion):
    """Rows as tensors: channel first, of one dtype, reals finite.

    Attributes:
        dtype: of the tensors.
        layout: of the rows.
        origin: for errors.
    """

    dtype: torch.dtype
    layout: Layout
    origin: str

    def __call__(self, values: np.ndarray, rows: np.ndarray) -> Tensor:
        """A copy of the values."""
        x = torch.from_numpy(np.array(values, dtype=str(self.dtype).removeprefix("torch.")))
        if self.dtype.is_floating_point:
            finite = torch.isfinite(x).flatten(1).all(1)
            if not bool(finite.all()):
                row = int(rows[int((~finite).nonzero()[0])])
                raise ValueError(
                    f"{self.origin} has NaN or infinite values, one in row {row}; "
                    "drop or fill them first"
                )
        if self.layout == "grey":
            return x[:, None]
        return x.permute(0, 3, 1, 2).contiguous() if self.layout == "last" else x


def channel_layout(shape: tuple[int, ...], channels: Any, origin: str) -> Layout:
    """Where the channels of an array of images are.

    Raises:
        ValueError: where it could be both.
    """
    if channels not in (None, "first", "last"):
        raise ValueError(f"channels must be 'first' or 'last', got {channels!r}")
    if len(shape) == 3:
        return "grey"
    if len(shape) != 4:
        return "plain"
    first, last = shape[1] in COLOURS, shape[3] in COLOURS
    if channels is not None:
        return "first" if channels == "first" else "last"
    if first and last:
        raise ValueError(
            f"{origin} has shape {shape}; give --load channels=first or channels=last (in "
            "Python channels='first' or channels='last')"
        )
    return "first" if first else "last" if last else "plain"


def _example_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    if layout == "grey":
        return (1, *shape[1:])
    return (shape[3], *shape[1:3]) if layout == "last" else tuple(shape[1:])


def _kind(space: Space, layout: Layout) -> Kind:
    if layout != "plain" and not isinstance(space, Categorical):
        return "image"
    return "points" if isinstance(space, Real) and space.shape == (2,) else "table"


def _space(
    array: np.ndarray, shape: tuple[int, ...], layout: Layout, origin: str
) -> tuple[Space, Rows]:
    if _only_bits(array):
        return Binary(shape), Rows(torch.uint8, layout, origin)
    if array.dtype.kind == "f":
        return Real(shape), Rows(torch.float32, layout, origin)
    if array.dtype == np.uint8:
        return Pixels(shape), Rows(torch.uint8, layout, origin)
    parts = [(int(part.min()), int(part.max())) for part in _chunks(array)]
    low, high = min(part[0] for part in parts), max(part[1] for part in parts)
    if low < 0:
        raise ValueError(
            f"{origin} holds negative integers (down to {low}); shift categories to start at 0, "
            "or store reals as floats"
        )
    if layout != "plain" and high <= 255:
        return Pixels(shape), Rows(torch.uint8, layout, origin)
    return Categorical(shape, high + 1), Rows(torch.int64, layout, origin)


def _only_bits(array: np.ndarray) -> bool:
    if array.dtype.kind == "b":
        return True
    return all(bool(((part == 0) | (part == 1)).all()) for part in _chunks(array))


def _chunks(array: np.ndarray) -> Any:
    """Runs of rows of about four million values."""
    step = max(1, SCAN // max(1, math.prod(array.shape[1:])))
    return (array[start : start + step] for start in range(0, len(array), step))


def _labels(labels: Any, n: int, origin: str) -> tuple[Tensor | None, tuple[str, ...]]:
    if labels is None:
        return None, ()
    values = np.asarray(labels)
    if values.shape != (n,) or values.dtype.kind not in "biu" or values.min() < 0:
        raise ValueError(
            f"labels of {origin} must be {n} integers from 0 up, got {values.dtype} of shape "
            f"{values.shape}"
        )
    y = torch.from_numpy(values.astype(np.int64))
    return y, tuple(str(number) for number in range(int(y.max()) + 1))


def open_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """The array in a ``.npy`` file.

    Raises:
        ValueError: where there is none, or it holds Python objects.
    """
    try:
        found = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"cannot read {path} as an array: {_fault(error)}") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"cannot read {path} as an array: it is an archive; store one as .npy")
    return found


def _fault(error: Exception) -> str:
    """NumPy advises to unpickle objects from any file; that would run what a stranger wrote."""
    if "pickle" in str(error) or "Python objects" in str(error):
        return "it holds Python objects or no array at all; store numbers with numpy.save"
    return str(error)


def open_archive(path: Path, limit: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The data and the labels in a ``.npz`` file of at most ``limit`` bytes.

    Raises:
        ValueError: where it cannot be read, is larger, or nothing in it is named as data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > limit:
            raise ValueError(
                f"it unpacks to {size / 1e9:.1f} GB, above memory_limit ({limit / 1e9:.1f} GB), "
                "and .npz cannot be read in parts; store x as .npy"
            )
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored)
            x = [name for name in DATA_NAMES if name in names] or (names if len(names) == 1 else [])
            if not x:
                raise ValueError(f"it holds {', '.join(names)}; name the data x and the labels y")
            y = [name for name in LABEL_NAMES if name in names]
            return stored[x[0]], stored[y[0]] if y else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot read {path}: {_fault(error)}") from error
