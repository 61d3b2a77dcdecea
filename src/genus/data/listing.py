"""A folder's files by sub-folder, held compactly: two million names fit into 100 MB."""

import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from genus.data.stores import Streamed

__all__ = ["DecodedFiles", "Listing", "list_files"]

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


class Listing:
    """Paths in one run of bytes with their offsets, and an int32 label for each.

    A name costs its length plus 12 bytes, where a list of Python strings costs 60 more.

    Attributes:
        root: the folder.
        class_names: first-level sub-folders that hold files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.class_names: tuple[str, ...] = ()
        self._names = bytearray()
        self._ends = array("q", [0])
        self._labels = array("i")

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, name: str, label: int) -> None:
        """One more file, relative to the root."""
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))
        self._labels.append(label)

    def path(self, row: int) -> Path:
        """The path of one file."""
        name = self._names[self._ends[row] : self._ends[row + 1]]
        return self.root / os.fsdecode(bytes(name))

    def labels(self) -> Tensor:
        """The number of each file's sub-folder, int64; −1 for files in the root."""
        return torch.tensor(self._labels, dtype=torch.int64)

    @property
    def num_bytes(self) -> int:
        """What the listing takes."""
        return len(self._names) + 8 * len(self._ends) + 4 * len(self._labels)


class DecodedFiles(Streamed):
    """Files that are decoded as they are read.

    Args:
        listing: the files.
        decode: from a path to an example; raises ValueError naming the file.
        rows: of the listing; all by default.
        workers: reading threads.
    """

    def __init__(
        self,
        listing: Listing,
        decode: Callable[[Path], Tensor],
        rows: Tensor | None = None,
        *,
        workers: int = 2,
    ) -> None:
        self.listing, self.decode, self.workers = listing, decode, workers
        self.rows = torch.arange(len(listing)) if rows is None else rows
        self.num_examples = len(self.rows)
        example = decode(listing.path(int(self.rows[0])))
        self.num_bytes = self.num_examples * example.numel() * example.element_size()

    def _restricted(self, rows: Tensor) -> "DecodedFiles":
        return DecodedFiles(self.listing, self.decode, rows, workers=self.workers)

    def _read(self, rows: Tensor) -> Tensor:
        return torch.stack([self.decode(self.listing.path(row)) for row in rows.tolist()])


def list_files(folder: Path, suffixes: frozenset[str], what: str) -> dict[str, Listing]:
    """The files of a folder, under "all", or under "train", "valid" and "test".

    First-level sub-folders name labels. Where they are named train, valid (or val) and test
    they are parts instead, with labels one level below. Hidden files are passed over.

    Raises:
        ValueError: where there are none, or some lie beside labelled sub-folders.
    """
    try:
        folders = {entry.name for entry in os.scandir(folder) if _is_folder(entry)}
    except OSError as error:
        raise ValueError(f"cannot read {folder}: {error}") from error
    parts = {SPLITS[name.lower()]: name for name in folders if name.lower() in SPLITS}
    if "train" in parts and len(parts) == len(folders) > 1:
        found = {split: _list(folder / name, suffixes) for split, name in parts.items()}
    else:
        found = {"all": _list(folder, suffixes)}
    for listing in found.values():
        if not len(listing):
            raise ValueError(
                f"{listing.root} holds no {what} ({', '.join(sorted(suffixes))}); "
                "give a folder that does"
            )
    return found


def _list(root: Path, suffixes: frozenset[str]) -> Listing:
    listing = Listing(root)
    top = sorted(entry.name for entry in os.scandir(root) if _is_folder(entry))
    used: list[str] = []
    for name in top:
        before = len(listing)
        for file in _walk(root, name, suffixes):
            listing.add(file, len(used))
        if len(listing) > before:
            used.append(name)
    below = len(listing)
    for file in _files(root, "", suffixes):
        listing.add(file, -1)
    if 0 < below < len(listing) and len(used) > 1:
        raise ValueError(
            f"{listing.path(below)} lies beside the labelled sub-folders {used[0]!r} and "
            f"{used[1]!r}; move it into one of them, or all files into one folder"
        )
    listing.class_names = tuple(used)
    return listing


def _walk(root: Path, inside: str, suffixes: frozenset[str]) -> Iterator[str]:
    yield from _files(root, inside, suffixes)
    with os.scandir(root / inside) as entries:
        folders = sorted(entry.name for entry in entries if _is_folder(entry))
    for name in folders:
        yield from _walk(root, f"{inside}/{name}", suffixes)


def _files(root: Path, inside: str, suffixes: frozenset[str]) -> list[str]:
    prefix = f"{inside}/" if inside else ""
    with os.scandir(root / inside) as entries:
        return sorted(
            prefix + entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in suffixes
            and entry.is_file()
        )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith(".") and entry.is_dir()
