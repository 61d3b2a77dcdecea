"""Learning to tell data from the noise that was added to them."""

from typing import Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genus.engine import Batch, Info
from genus.inference.path import Path, Prediction

__all__ = ["Denoises", "Denoising", "Times", "Weighting", "draw_times"]

Weighting = Literal["simple", "min-snr", "bound"]
Times = Literal["stratified", "uniform", "logit-normal"]

MOST_SNR = 5.0


class Denoises(Protocol):
    """What this objective asks of a model."""

    path: Path
    prediction: Prediction
    learns_spread: bool

    def to_path(self, x: Tensor) -> Tensor:
        """Data on the real line that the path starts from."""

    def predict(self, x_t: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """What the network predicts, of kind ``prediction``."""

    def log_error(self, t: Tensor) -> Float[Tensor, " batch"]:
        """log of the mean squared error that x̂₀ is expected to have, over σₜ²."""


class Denoising:
    """The weighted squared error of a denoiser at random times.

        E wₜ |prediction − target|² / D

    "simple" takes wₜ = 1 in the units that the network predicts (Ho et al. 2020), "min-snr"
    min(αₜ²/σₜ², 5) in the units of x₀ (Hang et al. 2023), "bound" the weights with which the
    errors enter the variational bound, in nats a dimension. A model that learns the size of
    its errors is also taught that, by the likelihood of what it just saw, which leaves the
    denoiser alone.

    Args:
        weighting: see above.
        times: "stratified" spreads the times of a batch evenly over 1 … T, which lowers the
            variance (Kingma et al. 2021); "uniform" draws them independently; "logit-normal"
            favours the middle (Esser et al. 2024), evenly spread too.
    """

    def __init__(self, weighting: Weighting = "simple", times: Times = "stratified") -> None:
        if weighting not in ("simple", "min-snr", "bound"):
            raise ValueError(f"weighting must be simple, min-snr or bound, got {weighting!r}")
        if times not in ("stratified", "uniform", "logit-normal"):
            raise ValueError(f"times must be stratified, uniform or logit-normal, got {times!r}")
        self.weighting = weighting
        self.times = times

    def __call__(self, model: Denoises, batch: Batch) -> Info:
        """``loss``, its part ``denoising``, and ``relative_error``, that of x̂₀ over σₜ²."""
        path, x0 = model.path, model.to_path(batch.x)
        t = draw_times(self.times, len(x0), path.num_steps)
        x_t = path.noised(x0, t, torch.randn_like(x0))
        target = path.from_x0(model.prediction, x0, x_t, t)
        predicted = model.predict(x_t, t, batch.condition)
        squares = (predicted - target).square().flatten(1).mean(1)
        loss = (self.weights(path, model.prediction, t).to(squares) * squares).mean()
        scale = path.error_scale(model.prediction, t) / path.sigma[t] ** 2
        error = squares.detach() * scale.to(squares)
        info = {"denoising": loss, "relative_error": error.mean()}
        if model.learns_spread:
            log_error = model.log_error(t)
            loss = loss + 0.5 * (log_error + error * (-log_error).exp()).mean()
        return {"loss": loss, **info}

    def weights(
        self, path: Path, prediction: Prediction, t: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Wₜ, for squared errors in the units of the prediction."""
        if self.weighting == "simple":
            return torch.ones(len(t), dtype=torch.float64)
        scale = path.error_scale(prediction, t)
        if self.weighting == "min-snr":
            return path.snr(t).clamp(max=MOST_SNR) * scale
        # Lₜ₋₁ = ½ (SNRₜ₋₁ − SNRₜ) |x₀ − x̂₀|², and L₀ = ½ SNR₁ |x₀ − x̂₀|² up to a constant
        earlier = torch.where(t > 1, path.snr((t - 1).clamp(min=1)), 2 * path.snr(t))
        return 0.5 * path.num_steps * (earlier - path.snr(t)) * scale


def draw_times(kind: Times, n: int, num_steps: int) -> Int[Tensor, " batch"]:
    """n times from 1 … T, on the CPU."""
    uniform = torch.rand(n, dtype=torch.float64)
    if kind != "uniform":
        uniform = (torch.arange(n) + uniform) / n
    if kind == "logit-normal":
        uniform = torch.special.ndtri(uniform.clamp(1e-12, 1 - 1e-12)).sigmoid()
    return (1 + (uniform * num_steps).long()).clamp(max=num_steps)
