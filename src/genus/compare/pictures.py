"""What a model looks like: its samples, reconstructions, completions and latent space."""

from pathlib import Path

import torch
from torch import Tensor

from genus.data import Dataset
from genus.engine import checkpoint
from genus.engine.seeding import address
from genus.evaluation import Report
from genus.evaluation.completion import Completed
from genus.evaluation.likelihood import conditions
from genus.evaluation.reference import Reference, nearest_real
from genus.evaluation.units import samples_to_units, to_units
from genus.model import Encodes, Latent, Model
from genus.report.grids import grid, png, scatter
from genus.spaces import Binary

__all__ = ["draw_pictures", "draw_real"]

COLUMNS, ROWS = 16, 5
EXAMPLES = 10
STEPS = 12
HIDDEN_GREY = 0.5


@torch.no_grad()
def draw_pictures(
    model: Model,
    data: Dataset,
    report: Report,
    folder: Path,
    reference: Reference | None = None,
    *,
    seed: int = 0,
) -> list[str]:
    """Writes the pictures that this model allows as PNG files and returns their names.

    ``samples``; ``means`` (what drawn codes stand for, where pixels are drawn black or white);
    ``nearest`` (samples above the training data most like them); ``reconstructions`` (data
    above what their codes give back); ``completion_…`` (for each mask: observed, completed,
    original); ``interpolation`` (between codes of two data, or two draws of the prior). Points
    of the plane get a scatter of ``samples``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = report.samples
    if samples is None:
        return []
    if data.kind == "points" and data.space.shape == (2,):
        drawn = samples_to_units(data, samples[:2000])
        real = to_units(data.base, data.base.materialise("test", 2000))
        return _write(folder, {"samples": scatter(drawn, real)})
    if data.kind != "image" or len(data.space.shape) != 3:
        return []
    found = {"samples": grid(samples_to_units(data, samples[: COLUMNS * ROWS]), COLUMNS)}
    if isinstance(model, Latent) and isinstance(data.space, Binary) and model.condition is None:
        codes = model.prior(COLUMNS * 2, seed=address(seed, "means"))
        found["means"] = grid(to_units(data, model.decode(codes)), COLUMNS)
    if reference is not None:
        few = samples[:COLUMNS]
        rows = [samples_to_units(data, few), nearest_real(few, reference)[0]]
        found["nearest"] = grid(torch.cat(rows), COLUMNS)
    if isinstance(model, Encodes):
        found["reconstructions"] = _reconstructions(model, data)
    for name, completed in (report.completed or {}).items():
        found[f"completion_{name.replace(' ', '_')}"] = _completion(completed)
    if isinstance(model, Latent) and model.condition is None:
        found["interpolation"] = _interpolation(model, data, seed)
    return _write(folder, found)


@torch.no_grad()
def draw_real(data: Dataset, folder: Path) -> list[str]:
    """Writes test data as ``real.png``, so that samples can be compared by eye."""
    folder.mkdir(parents=True, exist_ok=True)
    if data.kind != "image" or len(data.space.shape) != 3:
        return []
    x = to_units(data, data.materialise("test", COLUMNS * 2))
    return _write(folder, {"real": grid(x, COLUMNS)})


def _write(folder: Path, pictures: dict[str, Tensor]) -> list[str]:
    for name, picture in pictures.items():
        checkpoint.write_bytes(folder / f"{name}.png", png(picture))
    return list(pictures)


def _reconstructions(model: Encodes, data: Dataset) -> Tensor:
    x = data.materialise("test", COLUMNS)
    given = conditions(model, data, "test", len(x))
    seen = to_units(data, model.reconstruct(x, condition=given))
    return grid(torch.cat([to_units(data, x), seen]), COLUMNS)


def _completion(completed: Completed) -> Tensor:
    """Three rows of examples: observed, completed, original."""
    few = slice(EXAMPLES)
    original = completed.original[few]
    shown = torch.where(completed.observed[few], original, torch.full_like(original, HIDDEN_GREY))
    return grid(torch.cat([shown, completed.drawn[few], original]), len(original))


def _interpolation(model: Latent, data: Dataset, seed: int) -> Tensor:
    """Four walks on the line between two codes."""
    walks = 4
    if isinstance(model, Encodes):
        ends = model.encode(data.materialise("test", 2 * walks))
    else:
        ends = model.prior(2 * walks, seed=address(seed, "interpolation"))
    first, last = ends[:walks], ends[walks:]
    share = torch.linspace(0, 1, STEPS).to(first)
    weights = share.reshape(1, -1, *[1] * (first.ndim - 1))
    codes = first.unsqueeze(1) * (1 - weights) + last.unsqueeze(1) * weights
    if not isinstance(model, Encodes):
        codes = codes / ((1 - weights) ** 2 + weights**2).sqrt()
    return grid(to_units(data, model.decode(codes.flatten(0, 1))), STEPS)
