"""Diffusion models."""

from typing import Literal

from genus.data import Dataset
from genus.engine import Budget, Descend, Optimiser
from genus.models.diffusion import Diffusion
from genus.objectives.denoising import Denoising
from genus.recipes.recipe import Entry, Published, Recipe
from genus.recipes.suits import need_labels, need_numeric
from genus.spaces import Real

__all__ = ["ENTRIES", "ddpm"]

MOST_FOR_SCALE = 10_000


def ddpm(
    data: Dataset,
    *,
    channels: tuple[int, ...] | None = None,
    num_blocks: int = 2,
    num_steps: int = 1000,
    prediction: Literal["v", "epsilon", "x"] = "v",
    sampler: Literal["ddpm", "ddim"] = "ddpm",
    sampling_steps: int | None = None,
    conditional: bool = False,
    guidance: float = 1.0,
    learning_rate: float = 4e-3,
    ema: float | None = 0.999,
    batch_size: int = 128,
) -> Recipe:
    """A denoiser over all noise levels: a U-Net for pictures, a perceptron for points."""
    space = need_numeric(data, "ddpm")
    seen = need_labels(data, "ddpm") if conditional else data
    centre, scale = _spread(seen)
    model = Diffusion(
        space,
        channels=channels,
        num_blocks=num_blocks,
        num_steps=num_steps,
        prediction=prediction,
        sampler=sampler,
        sampling_steps=sampling_steps,
        condition=seen.train.condition if conditional else None,
        guidance=guidance,
        centre=centre,
        scale=scale,
    )
    algorithm = Descend(
        Denoising(),
        Optimiser(learning_rate=learning_rate, schedule="one-cycle", clip=1.0),
        batch_size=batch_size,
        ema=ema,
        budget=Budget(epochs=20),
    )
    return Recipe("ddpm", model, seen, algorithm, algorithm.budget)


def _spread(data: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of real data; levels need none."""
    if not isinstance(data.space, Real):
        return 0.0, 1.0
    x = data.materialise("train", min(MOST_FOR_SCALE, data.train.num_examples)).double()
    return float(x.mean()), float(x.std().clamp_min(1e-6)) if x.numel() > 1 else 1.0


ENTRIES = (
    Entry(
        "ddpm",
        family="diffusion",
        summary="a denoiser over 1000 noise levels, v-prediction",
        data="mnist",
        view="pixels",
        function=ddpm,
        source="Ho et al. 2020; Salimans & Ho 2022",
        published={
            "fid": Published(
                3.17,
                "~",
                "cifar10",
                "Ho et al. 2020, 1000 network evaluations",
                "pixels",
                "Inception",
            )
        },
        model="Diffusion",
    ),
)
