"""CIFAR-10: the publisher's binary version, or an image folder of it."""

import tarfile
import warnings
from pathlib import Path

import numpy as np
import torch

from genus.data.archives import cached_arrays, fingerprint
from genus.data.dataset import Dataset, Part, Parts
from genus.data.images import decode_members
from genus.data.search import Files
from genus.data.splits import mixed
from genus.data.stores import InMemory
from genus.spaces import Pixels

__all__ = ["CIFAR10", "CIFAR10_JPEG", "cifar10", "cifar10_jpeg"]

CIFAR10 = Files(
    "cifar10",
    {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
    address="https://www.cs.toronto.edu/~kriz/",
)
CIFAR10_JPEG = Files("cifar10_jpeg", {"cifar10_jpeg.tar.gz": ""})
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
NUM_TEST = 10_000
RULE = "the publisher's training images, the last tenth of {} for validation, and its test images"


def cifar10(*, folder: str | Path | None = None) -> Dataset:
    """Photographs of ten classes, 32×32 in colour (Krizhevsky 2009).

    Args:
        folder: with ``cifar-10-binary.tar.gz``; otherwise the search path. Where only the JPEG
            version is found that is loaded, with a warning and under its own name.
    """
    if CIFAR10.find(folder) is None and CIFAR10_JPEG.find() is not None:
        warnings.warn(
            "the publisher's CIFAR-10 is not here; loading CIFAR-10 (JPEG), with which neither "
            "FID nor bits per dimension compare",
            stacklevel=2,
        )
        return cifar10_jpeg()
    path = CIFAR10.fetch(folder)["cifar-10-binary.tar.gz"]
    x, y = _read_binary(path)
    return _dataset("cifar10", x, y, f"Krizhevsky 2009, binary version; {path}", "them")


def cifar10_jpeg(*, folder: str | Path | None = None) -> Dataset:
    """CIFAR-10 re-encoded as JPEG: lossy, so that figures compare only with figures on it.

    Args:
        folder: with ``cifar10_jpeg.tar.gz``, an archive of ``train/CLASS/*.jpg`` and
            ``test/CLASS/*.jpg``; otherwise the search path.
    """
    path = CIFAR10_JPEG.fetch(folder)["cifar10_jpeg.tar.gz"]
    key = f"cifar10_jpeg-{fingerprint(path)}"
    arrays = cached_arrays(key, lambda: _read_jpeg(path), ("x", "y"))
    origin = f"Krizhevsky 2009, re-encoded as JPEG; {path}"
    return _dataset("cifar10_jpeg", arrays["x"], arrays["y"], origin, "each class")


def _dataset(name: str, x: np.ndarray, y: np.ndarray, origin: str, of: str) -> Dataset:
    images, labels = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    last = len(x) - NUM_TEST
    valid = _last_tenth(labels[:last]) if of == "each class" else torch.arange(last * 9 // 10, last)
    is_train = torch.ones(last, dtype=torch.bool)
    is_train[valid] = False
    rows = (is_train.nonzero().flatten(), valid, torch.arange(last, len(x)))
    if of == "each class":
        rows = (mixed(rows[0]), mixed(rows[1]), mixed(rows[2]))
    return Dataset(
        name=name,
        kind="image",
        stored_space=Pixels(SHAPE),
        parts=Parts(*(Part(InMemory(images[part]), labels[part]) for part in rows)),
        class_names=CLASSES,
        licence="not stated by the publisher; for research",
        origin=origin,
        split_rule=RULE.format(of),
    )


def _last_tenth(labels: torch.Tensor) -> torch.Tensor:
    """The last tenth of each class, for images that are stored class by class."""
    rows = [(labels == label).nonzero().flatten() for label in range(len(CLASSES))]
    return torch.cat([found[len(found) * 9 // 10 :] for found in rows])


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label and 3072 values, channel by channel, row by row."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = Path(member.name).name
                file = tar.extractfile(member) if name in FILES else None
                if file is not None:
                    contents[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"cannot read {path}: {error}; fetch it again") from error
    joined = bytearray().join(contents.get(name, b"") for name in FILES)
    if len(contents) != len(FILES) or len(joined) % RECORD or len(joined) <= NUM_TEST * RECORD:
        raise ValueError(f"{path} is not the binary version of CIFAR-10; fetch it again")
    records = np.frombuffer(joined, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0]


def _read_jpeg(path: Path) -> dict[str, np.ndarray]:
    """All training images, class by class, then all test images."""
    members = decode_members(path, "RGB")
    names = sorted(members, key=lambda name: (name.split("/")[-3] != "train", name))
    labels = np.array([CLASSES.index(name.split("/")[-2]) for name in names], np.uint8)
    x = np.empty((len(names), *SHAPE), np.uint8)
    for row, name in enumerate(names):
        x[row] = members.pop(name).transpose(2, 0, 1)
    return {"x": x, "y": labels}
