"""The names by which checkpoints know the models of this package."""

import importlib
from pathlib import Path
from typing import Any

import torch

from genus import spaces
from genus.engine import checkpoint
from genus.model import Model

__all__ = ["CLASSES", "find", "load"]

CLASSES: dict[str, str] = {
    "PPCA": "genus.models.linear.ppca",
    "RBM": "genus.models.boltzmann.rbm",
    "BoltzmannMachine": "genus.models.boltzmann.machine",
    "DeepBoltzmannMachine": "genus.models.boltzmann.deep_boltzmann",
    "DeepBeliefNetwork": "genus.models.boltzmann.deep_belief",
    "HiddenBoltzmannMachine": "genus.models.boltzmann.hidden_machine",
    "MADE": "genus.models.autoregressive.made",
    "PixelCNN": "genus.models.autoregressive.pixelcnn",
    "SigmoidBeliefNetwork": "genus.models.variational.sigmoid_belief",
    "VAE": "genus.models.variational.vae",
    "GAN": "genus.models.implicit.gan",
    "Diffusion": "genus.models.diffusion.diffusion",
}


def find(name: str) -> type[Model]:
    """The model class of this name.

    Raises:
        ValueError: where the package has none.
    """
    if name not in CLASSES:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(sorted(CLASSES))}")
    cls: type[Model] = getattr(importlib.import_module(CLASSES[name]), name)
    return cls


def load(
    folder: str | Path,
    *,
    cls: type[Model] | None = None,
    device: str | torch.device = "cpu",
) -> Model:
    """The model that :meth:`genus.Model.save` or a training run wrote to a folder.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.
        cls: the class, for one that is not of this package.
        device: where to put it.

    Raises:
        ValueError: where a file is missing, damaged, or of another class.
    """
    path = Path(folder)
    if not (path / "config.json").exists():
        raise ValueError(f"there is no run or model at {path} (no config.json)")
    described = checkpoint.read_json(path / "config.json")
    for key in ("class", "config"):
        if key not in described:
            raise ValueError(f"{path / 'config.json'} has no {key!r}; it describes no model")
    wanted = find(described["class"]) if cls is None else cls
    if wanted.__name__ != described["class"]:
        raise ValueError(f"{path} holds a {described['class']}, not a {wanted.__name__}")
    tensors, written = checkpoint.read_tensors(path / "model.safetensors")
    if written.get("class") != described["class"] or written.get("config") != described["config"]:
        raise ValueError(f"config.json and model.safetensors in {path} are of different models")
    try:
        model = wanted(**{name: _build(value) for name, value in described["config"].items()})
        model.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold a {wanted.__name__}: {error}") from error
    return model.to(device).eval()


def _build(value: Any) -> Any:
    """Constructor arguments from JSON."""
    if isinstance(value, dict) and "space" in value:
        return spaces.from_config(value)
    if isinstance(value, list):
        return tuple(_build(item) for item in value)
    return value
