"""The IDX format of MNIST and its kin: a header, then bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

__all__ = ["FILES", "read_idx", "read_set"]

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
UNSIGNED_BYTES = 0x08


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, gzipped or not.

    Raises:
        ValueError: where the file cannot be read, is truncated, or holds something else.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot read {path}: {error}; fetch it again") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTES]):
        raise ValueError(f"{path} is no IDX file of unsigned bytes; fetch it again")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else (-1,)
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} is truncated or damaged: its header promises {shape}, "
            f"{max(len(content) - start, 0)} bytes follow; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_set(paths: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the training and the test files, one after the other.

    Raises:
        ValueError: where images and labels do not go together.
    """
    train_x, train_y, test_x, test_y = (read_idx(paths[name]) for name in FILES)
    for images, labels, name in ((train_x, train_y, FILES[0]), (test_x, test_y, FILES[2])):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"{paths[name]} holds {images.shape} but its labels {labels.shape}; "
                "expected images (n, height, width) and n labels"
            )
    return np.concatenate([train_x, test_x]), np.concatenate([train_y, test_y])
