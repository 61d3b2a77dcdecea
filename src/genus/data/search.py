"""Where the files of a named set are: an explicit folder, GENUS_DATA, the cache, the publisher."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Files", "cache_folder", "search_path"]


def cache_folder() -> Path:
    """The user's cache folder of this package (not created here)."""
    import pooch  # slow to import, and only named sets need it

    return Path(pooch.os_cache("genus"))


def search_path(folder: str | Path | None = None) -> list[Path]:
    """Folders to look in, in order: ``folder``, those of GENUS_DATA, the user's cache."""
    explicit = [] if folder is None else [Path(folder)]
    listed = [Path(p) for p in os.environ.get("GENUS_DATA", "").split(os.pathsep) if p]
    return [*explicit, *listed, cache_folder()]


@dataclass(frozen=True)
class Files:
    """The files of a named set.

    Attributes:
        name: of the set, and of the sub-folder that holds its files.
        checksums: the publisher's, as ``"md5:…"`` or ``"sha256:…"``, by file name.
        address: the publisher's, before the file name; None where there is none.
    """

    name: str
    checksums: Mapping[str, str]
    address: str | None = None

    def find(self, folder: str | Path | None = None) -> dict[str, Path] | None:
        """The files in the first folder of the search path that has them all.

        A folder counts with the files in ``NAME/`` or directly in it, each as published or
        without its ``.gz``.

        Raises:
            ValueError: where ``folder`` is given and does not hold them.
        """
        for place in search_path(folder):
            for candidate in (place / self.name, place):
                found = self._all_in(candidate)
                if found is not None:
                    return found
            if folder is not None:
                raise ValueError(
                    f"folder {place} does not hold {self.name}: expected "
                    f"{', '.join(self.checksums)} there or in {place / self.name}"
                )
        return None

    def _all_in(self, folder: Path) -> dict[str, Path] | None:
        found = {name: _existing(folder, name) for name in self.checksums}
        present = {name: path for name, path in found.items() if path is not None}
        return present if len(present) == len(found) else None

    def fetch(self, folder: str | Path | None = None) -> dict[str, Path]:
        """The files, downloaded into the cache where no folder has them.

        A download is checked against the publisher's checksum before it is used.

        Raises:
            ValueError: where they are absent and cannot be downloaded; says what was searched.
        """
        found = self.find(folder)
        if found is not None:
            return found
        try:
            return self._download(cache_folder() / self.name)
        except Exception as error:  # any failure of network, disk or checksum ends here
            raise ValueError(self._absence(search_path(folder), error)) from error

    def _download(self, target: Path) -> dict[str, Path]:
        import pooch

        if self.address is None:
            raise FileNotFoundError("it has no address to download from")
        get = pooch.HTTPDownloader(timeout=30, progressbar=False)
        paths = {}
        for name, checksum in self.checksums.items():
            url = self.address + name
            paths[name] = Path(pooch.retrieve(url, checksum, name, target, downloader=get))
        return paths

    def _absence(self, searched: Sequence[Path], error: Exception) -> str:
        return (
            f"{self.name} is not here and could not be downloaded ({self._reason(error)}). "
            f"Searched {', '.join(str(path) for path in searched)} "
            f"for {', '.join(self.checksums)}. "
            f"Put these files in a folder {self.name}/ and set GENUS_DATA to its parent, or "
            "connect to the network and try again"
        )

    def _reason(self, error: Exception) -> str:
        """Why a download failed, without what the libraries below say to each other."""
        host = urlsplit(self.address or "").netloc
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return f"{host} answers {status}"
        if type(error).__module__.partition(".")[0] in ("requests", "urllib3"):
            return f"no connection to {host}"
        return " ".join(str(error).split())[:200]


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None
