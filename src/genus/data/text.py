"""Text as windows of characters."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genus.data.dataset import Dataset, Part, Parts
from genus.data.splits import by_position
from genus.data.stores import Store
from genus.spaces import Categorical, Sequence

__all__ = ["Windows", "text_file"]


class Windows(Store):
    """Windows of one long row of codes; only the codes and the starts are held.

    Args:
        codes: one for each character, in as few bytes as they need.
        starts: where each window begins.
        length: of a window.
    """

    def __init__(self, codes: Tensor, starts: Tensor, length: int) -> None:
        self.codes, self.starts, self.length = codes, starts, length
        self.num_examples = len(starts)
        self.num_bytes = codes.numel() * codes.element_size()

    def read(self, rows: Tensor) -> Tensor:
        """Windows as int64."""
        offsets = torch.arange(self.length, device=self.codes.device)
        starts = self.starts[rows.to(self.starts.device)]
        return self.codes[starts[:, None] + offsets].long()

    def take(self, rows: Tensor) -> "Windows":
        """The same text, fewer windows."""
        return Windows(self.codes, self.starts[rows], self.length)

    def stream(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """No work ahead."""
        for chunk in chunks:
            yield chunk, self.read(chunk)

    def to(self, device: torch.device) -> "Windows":
        """Codes and starts, moved once."""
        return Windows(self.codes.to(device), self.starts.to(device), self.length)


def text_file(
    path: str | Path,
    *,
    length: int = 128,
    stride: int | None = None,
    valid_fraction: float = 0.05,
    test_fraction: float = 0.05,
) -> Dataset:
    """The characters of a UTF-8 file in windows, over Sequence(Categorical).

    The first 90 % of the text train, the next 5 % validate, the last 5 % test; no window
    crosses. The vocabulary is every character of the whole file, in code-point order.

    Args:
        path: the file.
        length: of a window, in characters.
        stride: between the starts of training windows, ``length`` by default; windows for
            validation and test never overlap. Characters after the last window are left out.
        valid_fraction: share of characters for validation.
        test_fraction: share of characters for testing.

    Raises:
        ValueError: where the file is no text or too short for a window in each part.
    """
    if length < 1 or (stride is not None and stride < 1):
        raise ValueError(f"length and stride must be at least 1, got {length} and {stride}")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path} as UTF-8 text: {error}") from error
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    known, codes = np.unique(points, return_inverse=True)
    vocabulary = tuple(chr(point) for point in known)
    whole = torch.from_numpy(codes.astype(np.uint8 if len(known) <= 256 else np.int32))
    parts = []
    if len(text) >= 3:
        rows = by_position(len(text), valid_fraction=valid_fraction, test_fraction=test_fraction)
        strides = (stride or length, length, length)
        parts = [
            _windows(whole[part], length, step) for part, step in zip(rows, strides, strict=True)
        ]
    if not parts or any(part.store.num_examples == 0 for part in parts):
        shorter = max(1, len(text) // 20)
        raise ValueError(
            f"{path} has {len(text)} characters, too few for a window of {length} in each of "
            f"train, valid and test; give a smaller length, such as --load length={shorter} "
            f"(in Python length={shorter})"
        )
    return Dataset(
        name=Path(path).stem,
        kind="text",
        stored_space=Sequence(Categorical((), len(vocabulary)), length),
        parts=Parts(*parts),
        licence="the owner's",
        origin=str(path),
        split_rule=f"by position: the last {test_fraction:.0%} test, the {valid_fraction:.0%} "
        "before them valid",
        vocabulary=vocabulary,
    )


def _windows(codes: Tensor, length: int, stride: int) -> Part:
    return Part(Windows(codes, torch.arange(0, max(0, len(codes) - length + 1), stride), length))
