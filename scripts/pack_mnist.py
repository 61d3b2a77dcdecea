"""Packs the four IDX files of MNIST into the file that the package embeds.

    python scripts/pack_mnist.py FOLDER

FOLDER holds the publisher's files. The script checks that what it wrote unpacks to the same
bytes and prints their SHA-256, which stands in ``genus/data/mnist.py``.
"""

import argparse
import hashlib
import lzma
from pathlib import Path

import genus.data
from genus.data.idx import read_set
from genus.data.mnist import MNIST, write_embedded


def main() -> None:
    """Reads, packs, checks."""
    parser = argparse.ArgumentParser(description="pack MNIST for the package")
    parser.add_argument("folder", type=Path, help="with the four IDX files")
    folder = parser.parse_args().folder
    paths = MNIST.find(folder)
    assert paths is not None
    images, labels = read_set(paths)
    target = Path(genus.data.__file__).parent / "embedded" / "mnist.xz"
    checksum = write_embedded(images, labels, target)
    content = lzma.decompress(target.read_bytes())
    assert content == labels.tobytes() + images.tobytes()
    assert hashlib.sha256(content).hexdigest() == checksum
    print(f"{target}: {target.stat().st_size:,} bytes, SHA-256 of the content {checksum}")


if __name__ == "__main__":
    main()
