"""Data by name or by path."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genus.data.archives import SUFFIXES as ARCHIVES
from genus.data.archives import unpacked
from genus.data.arrays import array_file
from genus.data.audio import SUFFIXES as RECORDINGS
from genus.data.audio import audio_folder
from genus.data.dataset import Dataset, View
from genus.data.images import SUFFIXES as IMAGES
from genus.data.images import image_folder
from genus.data.scaling import resized
from genus.data.selection import of_classes
from genus.data.tables import csv_file
from genus.data.text import text_file

__all__ = ["ENTRIES", "Entry", "load", "names"]

Loader = Callable[..., Dataset]


@dataclass(frozen=True)
class Entry:
    """A named data set.

    Attributes:
        summary: in a line.
        home: module and function that load it.
        view: by default; None leaves the data as stored.
        files: the name in ``home`` of the files that it needs, or None where it needs none.
        is_embedded: whether it can be had without those files.
    """

    summary: str
    home: tuple[str, str]
    view: View | None = None
    files: str | None = None
    is_embedded: bool = False

    @property
    def function(self) -> Loader:
        """The function that loads it."""
        module, name = self.home
        loader: Loader = getattr(importlib.import_module(f"genus.data.{module}"), name)
        return loader

    def available(self) -> bool:
        """Whether it can be loaded here without a download."""
        if self.files is None or self.is_embedded:
            return True
        module = importlib.import_module(f"genus.data.{self.home[0]}")
        return getattr(module, self.files).find() is not None


ENTRIES: dict[str, Entry] = {
    "mnist": Entry(
        "handwritten digits, 28×28 grey, 70,000 in 10 classes",
        ("mnist", "mnist"),
        view="binary",
        files="MNIST",
        is_embedded=True,
    ),
    "digits": Entry(
        "handwritten digits, 8×8 in 17 levels, 1,797 in 10 classes", ("digits", "digits")
    ),
    "fashion_mnist": Entry(
        "clothes, 28×28 grey, 70,000 in 10 classes",
        ("mnist", "fashion_mnist"),
        files="FASHION_MNIST",
    ),
    "cifar10": Entry(
        "photographs, 32×32 in colour, 60,000 in 10 classes",
        ("cifar10", "cifar10"),
        files="CIFAR10",
    ),
    "cifar10_jpeg": Entry(
        "CIFAR-10 re-encoded as JPEG: lossy, compares only with itself",
        ("cifar10", "cifar10_jpeg"),
        files="CIFAR10_JPEG",
    ),
    "gaussians_25": Entry(
        "25 Gaussians on a grid in the plane, density known", ("toys", "gaussians_25")
    ),
    "ring": Entry("8 Gaussians on a circle in the plane, density known", ("toys", "ring")),
    "two_moons": Entry("two half circles in the plane, density known", ("toys", "two_moons")),
    "stacked_mnist": Entry(
        "three digits as the channels of a picture, 1,000 modes known", ("stacked", "stacked_mnist")
    ),
    "bars_and_stripes": Entry(
        "binary 4×4 images of rows or columns, 30 equal probabilities",
        ("toys", "bars_and_stripes"),
    ),
}


def names() -> dict[str, dict[str, Any]]:
    """The named data sets: summary, default view, and whether they are here without download."""
    return {
        name: {"summary": entry.summary, "view": entry.view, "available": entry.available()}
        for name, entry in ENTRIES.items()
    }


def load(
    name: str | Path,
    *,
    view: View | None = None,
    classes: str | int | Sequence[str | int] | None = None,
    resize: int | tuple[int, int] | None = None,
    **options: Any,
) -> Dataset:
    """A data set by name, or the user's own data by path.

    A name is one of :func:`names`. A path is a folder of images or of WAV files, an archive
    of such a folder, a ``.npy`` or ``.npz`` file, a ``.csv`` or ``.tsv`` table, or a ``.txt``
    file; anything with a slash or a suffix is a path.

    Args:
        name: which data.
        view: of images: "pixels" as stored, "binary" drawn anew in every epoch, "static" drawn
            once. By default "binary" for MNIST and as stored for all else.
        classes: the names of those to keep, all by default; their labels count from 0.
        resize: of images: height and width (one number for both), to which they are cropped
            about their centre and scaled.
        options: of the loader: ``folder`` for named sets; for paths see
            :func:`~genus.data.images.image_folder`, :func:`~genus.data.arrays.array_file`,
            :func:`~genus.data.tables.csv_file`, :func:`~genus.data.text.text_file` and
            :func:`~genus.data.audio.audio_folder`.

    Raises:
        ValueError: where the data are unknown, missing or damaged, or an option does not fit.

    Example:
        >>> import genus
        >>> genus.data.load("digits").space
        Pixels(shape=(1, 8, 8), num_levels=17)
        >>> twos = genus.data.load("mnist", classes=2, resize=16)
        >>> twos.space, twos.train.num_examples
        (Binary(shape=(1, 16, 16)), 4968)
    """
    entry = ENTRIES.get(str(name))
    if entry is not None:
        chosen, loader = view or entry.view, entry.function
    else:
        chosen = view
        path = _path(str(name))
        if path.name.lower().endswith(ARCHIVES):
            path = _only_folder(unpacked(path))
        loader, options = _loader(path), {"path": path, **options}
    if resize is not None and "resize" in inspect.signature(loader).parameters:
        options, resize = {**options, "resize": resize}, None
    dataset = _call(str(name), loader, options)
    if classes is not None:
        dataset = of_classes(dataset, classes)
    if resize is not None:
        dataset = resized(dataset, resize)
    return dataset if chosen is None else dataset.viewed(chosen)


def _path(name: str) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path
    if "/" in name or "\\" in name or path.suffix:
        raise ValueError(f"there is no file or folder {name}; check the path")
    near = difflib.get_close_matches(name, ENTRIES, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"no data set is called {name!r}{hint} (data sets: {', '.join(ENTRIES)}; or give the path "
        "of a folder, .npy, .npz, .csv or .txt file)"
    )


def _only_folder(folder: Path) -> Path:
    """The folder itself, or the one folder that is all it holds."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _loader(path: Path) -> Loader:
    if path.is_dir():
        return _folder_loader(path)
    loaders: dict[str, Loader] = {
        ".npy": array_file,
        ".npz": array_file,
        ".csv": csv_file,
        ".tsv": csv_file,
        ".txt": text_file,
    }
    loader = loaders.get(path.suffix.lower())
    if loader is None:
        raise ValueError(
            f"{path} is of no known kind: expected a folder, or a file ending in "
            f"{', '.join((*loaders, *ARCHIVES))}"
        )
    return loader


def _folder_loader(path: Path) -> Loader:
    """By the first image or recording found, without reading the whole tree."""
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise ValueError(f"cannot read {folder}: {error}") from error
        for entry in entries:
            suffix = entry.suffix.lower()
            if suffix in IMAGES or suffix in RECORDINGS:
                return image_folder if suffix in IMAGES else audio_folder
        waiting += [e for e in reversed(entries) if e.is_dir() and not e.name.startswith(".")]
    raise ValueError(f"{path} holds neither images nor WAV files; give a folder that does")


def _call(name: str, loader: Loader, options: dict[str, Any]) -> Dataset:
    """The loader's data set; an option that it does not take is an error with a hint."""
    known = list(dict.fromkeys((*inspect.signature(loader).parameters, "classes", "resize")))
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            takes = ", ".join(n for n in known if n != "path")
            raise ValueError(f"{name} takes no option {option!r}{hint} (options: {takes})")
    return loader(**options)
