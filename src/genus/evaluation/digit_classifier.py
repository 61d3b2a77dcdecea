"""A small classifier of handwritten digits that ships with the package."""

import hashlib
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.engine import checkpoint
from genus.evaluation.feature_map import Classifies

__all__ = [
    "DigitClassifier",
    "DigitNetwork",
    "StackedDigits",
    "embedded_weights",
    "write_weights",
]

SHA256 = "5a4c56e8979f1277f32e92370b1d42a739a8cbe102d08a994a624e304824ea62"
FILE = "digit_classifier.safetensors"


def embedded_weights() -> Path:
    """Where the package keeps the weights."""
    return Path(str(resources.files("genus.evaluation") / "embedded" / FILE))


class DigitNetwork(nn.Module):
    """Four convolutions and a layer of 128 features, each followed by batch normalisation.

    Grey pictures of 28×28 on [0, 1], black to white, to ten logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(1, 32, 5, stride=2),
            *_convolution(32, 32, 3),
            *_convolution(32, 64, 3, stride=2),
            *_convolution(64, 64, 3),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 128, bias=False),
            nn.BatchNorm1d(128),
        )
        self.top = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of pictures."""
        return self.classes(self.body(x))

    def classes(self, features: Tensor) -> Tensor:
        """Logits from features."""
        return self.top(F.relu(features))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class DigitClassifier(Classifies):
    """The last hidden layer of the embedded classifier, before its rectifier, and its classes.

    Args:
        device: where it computes.

    Raises:
        ValueError: where the file of the package is damaged.
    """

    kind = "digits"
    shape = (1, 28, 28)
    is_on_unit = True
    num_classes = 10

    def __init__(self, device: torch.device | str = "cpu") -> None:
        path = embedded_weights()
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
            raise ValueError(
                "the embedded classifier of digits differs from its checksum; reinstall genus"
            )
        tensors, measured = checkpoint.read_tensors(path)
        with torch.device("meta"):
            network = DigitNetwork()
        # the counts of batches, which inference does not use, are not stored
        weights = dict.fromkeys(network.state_dict(), torch.tensor(0))
        weights |= {name: value.float() for name, value in tensors.items()}
        network.load_state_dict(weights, assign=True)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.accuracy = measured["accuracy"]
        self.accuracy_binarised: float = measured["binarised"]
        self.name = (
            f"128 features of the embedded classifier of digits, sha256 {SHA256[:8]} "
            f"({self.accuracy:.2%} on the test digits of MNIST)"
        )

    def _features(self, x: Tensor) -> Tensor:
        return self.network.body(x)

    def _logits(self, features: Tensor) -> Tensor:
        return self.network.classes(features)


class StackedDigits(Classifies):
    """Each channel through the classifier of digits: their features side by side.

    The class of a picture is the number whose digits its channels show, as in stacked MNIST; the
    channels are taken to be independent given the picture.

    Args:
        num_channels: how many digits are stacked.
        device: where it computes.
    """

    kind = "digits"
    is_on_unit = True

    def __init__(self, num_channels: int = 3, device: torch.device | str = "cpu") -> None:
        self.digits = DigitClassifier(device)
        self.device = self.digits.device
        self.shape = (num_channels, 28, 28)
        self.num_classes = 10**num_channels
        self.name = f"{num_channels} × {self.digits.name}"

    def _features(self, x: Tensor) -> Tensor:
        channels = x.reshape(-1, 1, *x.shape[2:])
        return self.digits.network.body(channels).reshape(len(x), -1)

    def _logits(self, features: Tensor) -> Tensor:
        """Σ over channels of log p(digit), for every number; the first channel counts most."""
        channels = features.unflatten(1, (self.shape[0], -1)).unbind(1)
        total = features.new_zeros(len(features), 1)
        for channel in channels:
            log_p = self.digits.network.classes(channel).log_softmax(1)
            total = (total[:, :, None] + log_p[:, None, :]).flatten(1)
        return total


def write_weights(network: DigitNetwork, path: Path, measured: dict[str, float]) -> str:
    """Writes the weights as float16 with what was measured; returns the file's SHA-256."""
    tensors = {
        name: tensor.half()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    checkpoint.write_tensors(path, tensors, measured)
    return hashlib.sha256(path.read_bytes()).hexdigest()
