"""A feature network that the user gives as a file."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from genus.evaluation.feature_map import Features

__all__ = ["GivenNetwork"]

HOW = "save it by torch.jit.trace(network.eval(), x).save('network.pt')"


class GivenNetwork(Features):
    """A TorchScript program that maps pictures to features.

    It gets float32 of shape ``(n, channel, height, width)`` on [0, 1], black to white, in the
    size and the channels of the data, and must return ``(n, feature)``. It resizes and
    normalises by itself. A TorchScript file is a program: take it from people you trust.

    Args:
        path: of the file.
        example: some data in their unit, at least two; the network is tried on the first two.
        device: where it computes.

    Raises:
        ValueError: where the file cannot be read as TorchScript, or the network does not map
            the example to one row of finite features for each datum.
    """

    kind = "given"
    is_on_unit = True
    block = 64

    def __init__(self, path: Path, example: Tensor, device: torch.device | str = "cpu") -> None:
        self.shape = tuple(example.shape[1:])
        self.device = torch.device(device)
        content = _read(path)
        try:
            network = torch.jit.load(str(path), map_location=self.device)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"{path} is no TorchScript archive ({reason}); files of torch.save are not "
                f"loaded, because they can run code as they are read: {HOW}"
            ) from error
        self.network = network.eval()
        self.path = path
        found = self._tried(example[:2])
        digest = hashlib.sha256(content).hexdigest()
        self.name = f"{found.shape[1]} features of {path.name} (sha256 {digest[:8]})"

    def _features(self, x: Tensor) -> Tensor:
        with (
            torch.jit.optimized_execution(False),  # type: ignore[attr-defined]
            torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False),
        ):
            found = self.network(x)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"{self.path} must map pictures of shape {tuple(x.shape)} to features of shape "
                f"({len(x)}, f), got {shape}"
            )
        return found

    def _tried(self, x: Tensor) -> Tensor:
        try:
            found = self(x)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(
                f"{self.path} cannot take pictures of shape {tuple(x.shape)}: {reason}"
            ) from error
        if found.shape[1] < 1 or not bool(found.isfinite().all()):
            raise ValueError(f"{self.path} must give finite features, got NaN, infinity or none")
        return found


def _read(path: Path) -> bytes:
    if path.suffix == ".pt2":
        raise ValueError(
            f"{path}: archives of torch.export can hold pickles, which run code as they are "
            f"read; give a TorchScript file: {HOW}"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the feature network {path}: {error}") from error
