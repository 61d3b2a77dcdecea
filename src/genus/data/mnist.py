"""MNIST, embedded in the package, and Fashion-MNIST, which has its form."""

import hashlib
import itertools
import lzma
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from genus.data.dataset import Dataset, Part, Parts
from genus.data.idx import FILES, read_set
from genus.data.search import Files
from genus.data.stores import InMemory
from genus.spaces import Pixels

__all__ = ["FASHION_MNIST", "MNIST", "fashion_mnist", "mnist", "read_embedded", "write_embedded"]

NUM_TRAIN, NUM_VALID = 60_000, 10_000
SHAPE = (70_000, 28, 28)
SHA256 = "69bd15132a70501a55ccc9cf0d3ffb3de973edb9ec353720cf437f8d199393c7"

MNIST = Files("mnist", dict.fromkeys(FILES, ""))
FASHION_MNIST = Files(
    "fashion_mnist",
    {
        FILES[0]: "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        FILES[1]: "md5:25c81989df183df01b3e8a0aad5dffbe",
        FILES[2]: "md5:bef4ecab320f06d8554ea6380940ec79",
        FILES[3]: "md5:bb300cfdad3c16e7a12a480ee83cd310",
    },
    address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
GARMENTS = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
RULE = (
    "the publisher's 60,000 training images, the last 10,000 of them for validation, "
    "and the publisher's 10,000 test images"
)


def mnist(*, folder: str | Path | None = None) -> Dataset:
    """Handwritten digits, 28×28, 256 levels (LeCun, Cortes, Burges).

    Args:
        folder: with the four IDX files. Otherwise they are looked for in GENUS_DATA and the
            cache, and the copy in the package serves where they are not.
    """
    found = MNIST.find(folder)
    images, labels = read_embedded() if found is None else read_set(found)
    origin = "embedded in the package" if found is None else str(found[FILES[0]].parent)
    return _dataset(
        "mnist",
        images,
        labels,
        class_names=tuple("0123456789"),
        licence="CC BY-SA 3.0",
        origin=f"LeCun, Cortes and Burges; {origin}",
    )


def fashion_mnist(*, folder: str | Path | None = None) -> Dataset:
    """Photographs of clothes, 28×28, 256 levels (Zalando Research).

    Args:
        folder: with the four IDX files; otherwise the search path, then the publisher.
    """
    found = FASHION_MNIST.fetch(folder)
    images, labels = read_set(found)
    return _dataset(
        "fashion_mnist",
        images,
        labels,
        class_names=GARMENTS,
        licence="MIT",
        origin=f"Zalando Research; {found[FILES[0]].parent}",
    )


def _dataset(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: tuple[str, ...],
    licence: str,
    origin: str,
) -> Dataset:
    if len(images) != SHAPE[0] or int(labels.max()) >= len(class_names):
        raise ValueError(
            f"{name} has {SHAPE[0]} images in {len(class_names)} classes, found {len(images)} "
            f"and label {labels.max()}; other IDX files can be given as .npy arrays"
        )
    x = torch.from_numpy(images.copy())[:, None]
    y = torch.from_numpy(labels.astype(np.int64))
    ends = (0, NUM_TRAIN - NUM_VALID, NUM_TRAIN, len(x))
    parts = [Part(InMemory(x[start:end]), y[start:end]) for start, end in itertools.pairwise(ends)]
    return Dataset(
        name=name,
        kind="image",
        stored_space=Pixels(tuple(x.shape[1:])),
        parts=Parts(*parts),
        class_names=class_names,
        licence=licence,
        origin=origin,
        split_rule=RULE,
    )


def read_embedded() -> tuple[np.ndarray, np.ndarray]:
    """All images ``(70000, 28, 28)`` and labels ``(70000,)`` in the publisher's order.

    Raises:
        ValueError: where the file of the package is damaged.
    """
    packed = (resources.files("genus.data") / "embedded" / "mnist.xz").read_bytes()
    try:
        content = lzma.decompress(packed)
    except lzma.LZMAError as error:
        raise ValueError(f"the embedded MNIST is damaged ({error}); reinstall genus") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError("the embedded MNIST differs from its checksum; reinstall genus")
    values = np.frombuffer(content, np.uint8)
    return values[SHAPE[0] :].reshape(SHAPE), values[: SHAPE[0]]


def write_embedded(images: np.ndarray, labels: np.ndarray, path: Path) -> str:
    """Packs all labels, then all images, and returns the SHA-256 of the unpacked bytes."""
    content = labels.astype(np.uint8).tobytes() + images.astype(np.uint8).tobytes()
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": 1 << 26,
            # bytes of an image have no words to align to, and their high bits say most
            "lc": 4,
            "lp": 0,
            "pb": 0,
        }
    ]
    path.write_bytes(lzma.compress(content, filters=filters))
    return hashlib.sha256(content).hexdigest()
