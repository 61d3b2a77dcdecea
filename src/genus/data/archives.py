"""Archives unpacked within their folder, and decoded arrays kept for the next time."""

import contextlib
import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genus.data.search import cache_folder

__all__ = ["SUFFIXES", "cached_arrays", "fingerprint", "unpacked"]

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")


def fingerprint(path: Path) -> str:
    """A name for the present content of a file: from its path, size and time of change."""
    status = path.stat()
    text = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unpacked(path: Path) -> Path:
    """The folder that an archive unpacks to, in the user's cache; unpacked at most once.

    Raises:
        ValueError: where the archive is damaged, has a member that would leave the folder, or
            the cache cannot be written.
    """
    target = cache_folder() / "unpacked" / f"{path.name.split('.')[0]}-{fingerprint(path)}"
    if target.is_dir():
        return target
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-")
        _extract(path, Path(temporary))
        with contextlib.suppress(FileExistsError, OSError):  # another process was first
            os.replace(temporary, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"cannot unpack {path}: {error}; unpack it and give the folder") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _extract(path: Path, folder: Path) -> None:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.namelist(), folder)
            archive.extractall(folder)
        return
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")


def _check_members(names: list[str], folder: Path) -> None:
    root = folder.resolve()
    for name in names:
        if not (root / name).resolve().is_relative_to(root):
            raise zipfile.BadZipFile(f"its member {name!r} would leave the folder")


def cached_arrays(
    key: str, make: Callable[[], dict[str, np.ndarray]], names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Arrays from the user's cache, or made and, where it can be written, kept there.

    Args:
        key: names the content; another content needs another key.
        make: gives the arrays, under exactly ``names``.
        names: of the arrays.
    """
    folder = cache_folder() / "decoded" / key
    with contextlib.suppress(OSError, ValueError, EOFError):
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
    arrays = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, no more
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _write_array(folder / f"{name}.npy", arrays[name])
    return arrays


def _write_array(path: Path, array: np.ndarray) -> None:
    """Writes the file at once or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
