"""A folder of images: sub-folders are labels."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from genus.data.dataset import Dataset
from genus.data.folders import split_files
from genus.data.listing import Listing, list_files
from genus.data.scaling import check_size
from genus.spaces import Pixels

__all__ = ["SUFFIXES", "Decoder", "decode_members", "image_folder", "probe", "resize_hint"]

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
MOST_PROBES = 1000
CHANNELS = "give --load channels=3 or channels=1 (in Python channels=3 or channels=1)"
GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")
FAULTS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def image_folder(
    path: str | Path,
    *,
    resize: int | tuple[int, int] | None = None,
    channels: int | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    memory_limit: int | str | None = None,
    workers: int = 4,
) -> Dataset:
    """Images in a folder, as 256 levels of shape (channel, height, width).

    First-level sub-folders are labels; sub-folders train, valid and test are parts. Images
    that take more than ``memory_limit`` are read again in every epoch, by threads. The first
    frame counts, transparency is dropped, and grey images in a colour set become colours.

    Args:
        path: the folder.
        resize: height and width (one number for both): images are cropped about their centre
            to this shape and scaled. Needed where sizes differ.
        channels: 1 for grey, 3 for colour; by default colour where any image has it.
        valid_fraction: share of examples for validation, where no folder says otherwise.
        test_fraction: share of examples for testing, likewise.
        memory_limit: largest size in memory, in bytes or as "8GB"; half of what is free by
            default.
        workers: reading threads.

    Raises:
        ValueError: where there are no images, sizes differ, or one cannot be read.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    found = list_files(Path(path), SUFFIXES, "images")
    size, grey = probe(list(found.values()), None if resize is None else check_size(resize))
    fixed_mode = channels is not None
    mode = "L" if channels == 1 or (channels is None and grey) else "RGB"
    decode = Decoder(mode, size, resize is not None, fixed_mode)
    folder = split_files(
        found,
        decode,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        memory_limit=memory_limit,
        workers=workers,
    )
    return Dataset(
        name=Path(path).resolve().name,
        kind="image",
        stored_space=Pixels((1 if mode == "L" else 3, *size)),
        parts=folder.parts,
        class_names=folder.class_names,
        licence="the owner's",
        origin=str(path),
        split_rule=folder.split_rule,
    )


@dataclass(frozen=True)
class Decoder:
    """From an image file to levels of shape (channel, height, width).

    Attributes:
        mode: "L" or "RGB".
        size: height and width.
        scales: whether images of other sizes are cropped and scaled, or refused.
        converts: whether colour becomes grey where the mode is "L", or is refused.
    """

    mode: str
    size: tuple[int, int]
    scales: bool
    converts: bool

    def __call__(self, path: Path) -> Tensor:
        """The image.

        Raises:
            ValueError: where it cannot be read or does not fit; names the file.
        """
        return torch.from_numpy(_opened(path, path, self._levels))

    def _levels(self, image: Image.Image, path: Path) -> np.ndarray:
        height, width = self.size
        if self.mode == "L" and not self.converts and image.mode not in GREY_MODES:
            raise ValueError(f"{path} is in colour, others are grey; {CHANNELS}")
        if not self.scales and image.size != (width, height):
            raise ValueError(
                f"{path} is {image.height}×{image.width}, others are {height}×{width}; "
                f"{resize_hint(min(self.size))}"
            )
        converted = image.convert(self.mode)
        if self.scales and image.size != (width, height):
            converted = ImageOps.fit(converted, (width, height), Image.Resampling.LANCZOS)
        levels = np.array(converted)
        return levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1).copy()


def _opened(
    source: Path | IO[bytes], path: Path, use: Callable[[Image.Image, Path], np.ndarray]
) -> np.ndarray:
    """What ``use`` makes of an image; its faults become errors that name the file."""
    try:
        with Image.open(source) as image:
            if image.mode.split(";")[0] in DEEP_MODES:
                raise ValueError(f"{path} has more than 8 bits a channel; convert it first")
            image.load()
            return use(image, path)
    except FAULTS as error:
        if str(path) in str(error) and isinstance(error, ValueError):
            raise
        raise ValueError(f"cannot read image {path}: {error}; remove or replace it") from error


def resize_hint(side: int) -> str:
    """What to type so that images have one size."""
    return (
        f"give --load resize={side} (in Python resize={side}), or a height and width, to crop and "
        "scale them all"
    )


def probe(
    listings: list[Listing], resized: tuple[int, int] | None, side: int | None = None
) -> tuple[tuple[int, int], bool]:
    """The common size, and whether all images are grey, from up to 1000 headers.

    The rest are checked as they are decoded. Where sizes differ, ``side`` is what is advised.
    """
    first: tuple[Path, tuple[int, int]] | None = None
    grey = True
    for listing in listings:
        for row in range(0, len(listing), max(1, len(listing) // MOST_PROBES)):
            path = listing.path(row)
            size, mode = _header(path)
            grey = grey and mode in GREY_MODES
            if first is None:
                first = (path, size)
            elif size != first[1] and resized is None:
                raise ValueError(
                    f"images differ in size: {first[0]} is {first[1][0]}×{first[1][1]}, "
                    f"{path} is {size[0]}×{size[1]}; {resize_hint(side or min(*size, *first[1]))}"
                )
    assert first is not None
    return resized or first[1], grey


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """Height and width, and mode, without decoding."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.mode
    except FAULTS as error:
        raise ValueError(f"cannot read image {path}: {error}; remove or replace it") from error


def decode_members(path: Path, mode: str) -> dict[str, np.ndarray]:
    """All images in a tar archive by name, decoded without unpacking it.

    Raises:
        ValueError: where the archive or an image in it is damaged.
    """
    images: dict[str, np.ndarray] = {}

    def levels(image: Image.Image, member: Path) -> np.ndarray:
        return np.array(image.convert(mode))

    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if _is_image(member) else None
                if file is not None:
                    content = BytesIO(file.read())
                    images[member.name] = _opened(content, path / member.name, levels)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"cannot read {path}: {error}; fetch it again") from error
    return images


def _is_image(member: tarfile.TarInfo) -> bool:
    return member.isfile() and Path(member.name).suffix.lower() in SUFFIXES
