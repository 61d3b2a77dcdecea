"""A folder of recordings as waveforms."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genus.data.dataset import Dataset
from genus.data.folders import split_files
from genus.data.listing import Listing, list_files
from genus.spaces import Real

__all__ = ["SUFFIXES", "audio_folder", "read_wave"]

SUFFIXES = frozenset((".wav", ".wave"))
FULL_SCALE = {1: 1 << 7, 2: 1 << 15, 3: 1 << 23, 4: 1 << 31}


def audio_folder(
    path: str | Path,
    *,
    length: int | None = None,
    crop: str = "start",
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    memory_limit: int | str | None = None,
    workers: int = 4,
) -> Dataset:
    """WAV files in a folder, as amplitudes in [−1, 1] over Real((length,)).

    First-level sub-folders are labels; sub-folders train, valid and test are parts. Several
    channels are averaged. Files that are no plain PCM need the extra ``genus[speech]``.

    Args:
        path: the folder.
        length: in samples. Longer recordings are cropped, shorter ones end in silence. Needed
            where lengths differ.
        crop: which part of a longer recording is kept: "start" or "centre".
        valid_fraction: share of examples for validation, where no folder says otherwise.
        test_fraction: share of examples for testing, likewise.
        memory_limit: largest size in memory, in bytes or as "8GB"; half of what is free by
            default.
        workers: reading threads.

    Raises:
        ValueError: where there are no recordings, their rates or lengths differ, or one
            cannot be read.
    """
    if crop not in ("start", "centre"):
        raise ValueError(f"crop must be 'start' or 'centre', got {crop!r}")
    if length is not None and length < 1:
        raise ValueError(f"length must be at least 1 sample, got {length}")
    found = list_files(Path(path), SUFFIXES, "recordings")
    decode = _decoder(next(iter(found.values())), length, crop)
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
        kind="audio",
        stored_space=Real((decode.length,)),
        parts=folder.parts,
        class_names=folder.class_names,
        licence="the owner's",
        origin=str(path),
        split_rule=folder.split_rule,
        sample_rate=decode.rate,
    )


@dataclass(frozen=True)
class Decoder:
    """From a recording to amplitudes.

    Attributes:
        length: in samples.
        rate: in Hz, that every recording must have.
        crop: "start" or "centre"; None refuses recordings of another length.
        example: a recording of this rate and length, for errors.
    """

    length: int
    rate: int
    crop: str | None
    example: Path

    def __call__(self, path: Path) -> Tensor:
        """The amplitudes.

        Raises:
            ValueError: where the file cannot be read or does not fit; names it.
        """
        sound, rate = read_wave(path)
        if rate != self.rate:
            raise ValueError(
                f"recordings differ in rate: {self.example} has {self.rate} Hz, {path} {rate} Hz; "
                "resample them to one rate"
            )
        if self.crop is None and len(sound) != self.length:
            raise ValueError(
                f"recordings differ in length: {self.example} has {self.length} samples, {path} "
                f"{len(sound)}; give --load length={self.length} "
                f"(in Python length={self.length}) to crop longer and pad shorter ones"
            )
        start = max(0, len(sound) - self.length) // 2 if self.crop == "centre" else 0
        fitted = torch.zeros(self.length)
        kept = torch.from_numpy(sound[start : start + self.length])
        fitted[: len(kept)] = kept
        return fitted


def _decoder(listing: Listing, length: int | None, crop: str) -> Decoder:
    first = listing.path(0)
    sound, rate = read_wave(first)
    return Decoder(length or len(sound), rate, None if length is None else crop, first)


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Amplitudes in [−1, 1], float32 and averaged over channels, and the rate in Hz.

    Raises:
        ValueError: where the file cannot be read; names it.
    """
    try:
        with wave.open(str(path)) as file:
            promised, width = file.getnframes(), file.getsampwidth()
            channels, rate = file.getnchannels(), file.getframerate()
            content = file.readframes(promised)
    except wave.Error as error:
        return _read_other(path, error)
    except (OSError, EOFError) as error:
        raise ValueError(f"cannot read recording {path}: {error or 'it is truncated'}") from error
    if width not in FULL_SCALE or len(content) != promised * width * channels or not content:
        raise ValueError(f"recording {path} is empty or truncated; remove or replace it")
    values = _integers(content, width).reshape(-1, channels).mean(1)
    return (values / FULL_SCALE[width]).astype(np.float32), rate


def _integers(content: bytes, width: int) -> np.ndarray:
    """Little-endian PCM; only 8-bit samples are unsigned."""
    if width == 1:
        return np.frombuffer(content, np.uint8).astype(np.float64) - 128.0
    if width == 3:
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float64) / 256.0
    return np.frombuffer(content, f"<i{width}").astype(np.float64)


def _read_other(path: Path, reason: Exception) -> tuple[np.ndarray, int]:
    try:
        import soundfile
    except ImportError as error:
        raise ValueError(
            f"{path} is no plain PCM recording ({reason}); install genus[speech] to read it"
        ) from error
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"cannot read recording {path}: {error}") from error
    return sound.mean(1), int(rate)
