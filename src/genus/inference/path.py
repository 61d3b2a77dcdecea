"""How data turn into noise: Gaussian paths and everything that is known about them.

    q(xₜ | x₀) = N(αₜ x₀, σₜ² I),  t = 1 … T,  with α₀ = 1 and σ₀ = 0

A path is its two tables α and σ; which process made them does not matter to what follows
from them (Kingma et al. 2021). The tables are kept in float64 on the CPU, where the small
differences that the posteriors need lose no digits.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Path", "Prediction", "Schedule", "variance_preserving", "widen"]

Schedule = Literal["cosine", "linear", "log-linear"]
Prediction = Literal["x", "epsilon", "v", "score"]
Times = Int[Tensor, " batch"]

LEAST_LOG_SNR = -12.0
BETA_FIRST, BETA_LAST = 0.1, 20.0


def widen(values: Tensor, like: Tensor) -> Tensor:
    """One number a row, in the dtype, on the device and with the dimensions of ``like``."""
    return values.to(like).reshape(-1, *(1,) * (like.ndim - 1))


@dataclass(frozen=True, eq=False)
class Path:
    """A Gaussian path in T steps.

    Times are integer tensors on the CPU, one a row or one for all; noise grows with t.

    Attributes:
        alpha: αₜ, t = 0 … T, shape ``(T + 1,)``.
        sigma: σₜ, likewise.
    """

    alpha: Float[Tensor, " times"]
    sigma: Float[Tensor, " times"]

    def __post_init__(self) -> None:
        alpha, sigma = (table.detach().cpu().double() for table in (self.alpha, self.sigma))
        if alpha.ndim != 1 or alpha.shape != sigma.shape or len(alpha) < 2:
            raise ValueError(
                f"alpha and sigma must be tables of one length of at least 2, "
                f"got shapes {tuple(alpha.shape)} and {tuple(sigma.shape)}"
            )
        if alpha[0] != 1 or sigma[0] != 0 or not bool(((alpha / sigma).diff() < 0).all()):
            raise ValueError("alpha / sigma must fall from 1 / 0: noise grows with t")
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "sigma", sigma)

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.alpha) - 1

    def snr(self, t: Times) -> Float[Tensor, " batch"]:
        """The signal-to-noise ratio αₜ² / σₜ²."""
        return (self.alpha[t] / self.sigma[t]) ** 2

    def log_snr(self, t: Times) -> Float[Tensor, " batch"]:
        """λₜ = log αₜ² / σₜ²."""
        return 2 * (self.alpha[t].log() - self.sigma[t].log())

    def respaced(self, num_steps: int | None = None) -> list[int]:
        """At most ``num_steps`` times from T down to 1, evenly spaced; None takes all."""
        wanted = self.num_steps if num_steps is None else num_steps
        if wanted < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        spaced = torch.linspace(self.num_steps, 1, min(wanted, self.num_steps)).round()
        return [int(t) for t in spaced]

    def noised(self, x0: Tensor, t: Times, noise: Tensor) -> Tensor:
        """Xₜ = αₜ x₀ + σₜ ε."""
        return widen(self.alpha[t], x0) * x0 + widen(self.sigma[t], x0) * noise

    def transition(self, t: Times, s: Times) -> tuple[Tensor, Tensor]:
        """Scale and variance of q(xₜ | xₛ) = N(αₜₛ xₛ, σₜₛ² I), s < t.

        αₜₛ = αₜ / αₛ and σₜₛ² = σₜ² − αₜₛ² σₛ² = σₜ² (1 − e^{λₜ − λₛ}).
        """
        variance = -(self.sigma[t] ** 2) * torch.expm1(self.log_snr(t) - self.log_snr(s))
        return self.alpha[t] / self.alpha[s], variance

    def posterior(self, t: Times, s: Times) -> tuple[Tensor, Tensor, Tensor]:
        """A, b and v of q(xₛ | xₜ, x₀) = N(a xₜ + b x₀, v I), s < t.

        a = αₜₛ σₛ² / σₜ², b = αₛ σₜₛ² / σₜ², v = σₜₛ² σₛ² / σₜ².
        """
        scale, variance = self.transition(t, s)
        ratio = self.sigma[s] ** 2 / self.sigma[t] ** 2
        return scale * ratio, self.alpha[s] * variance / self.sigma[t] ** 2, variance * ratio

    def reverse(
        self, x_t: Tensor, x0: Tensor, t: Times, s: Times, spread: Tensor | float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Mean of shape ``x_t`` and variance of p(xₛ | xₜ) = ∫ q(xₛ | xₜ, x) N(x; x₀, r I) dx.

        The variance v + b² r spans Ho et al.'s two: their small one at r = 0, their large one
        at r = σₜ² of a path that preserves variance; the best r is the mean squared error of
        the denoiser (Bao et al. 2022).

        Args:
            x_t: shape ``(batch, ...)``.
            x0: what the denoiser makes of it.
            t: present times.
            s: earlier times.
            spread: r.
        """
        from_x_t, from_x0, variance = self.posterior(t, s)
        mean = widen(from_x_t, x_t) * x_t + widen(from_x0, x_t) * x0
        return mean, variance + from_x0**2 * spread

    def to_x0(self, kind: Prediction, value: Tensor, x_t: Tensor, t: Times) -> Tensor:
        """X₀ given xₜ and one of x₀, ε, v = αₜ ε − σₜ x₀, or the score −ε / σₜ."""
        alpha, sigma = widen(self.alpha[t], x_t), widen(self.sigma[t], x_t)
        match kind:
            case "x":
                return value
            case "epsilon":
                return (x_t - sigma * value) / alpha
            case "score":
                return (x_t + sigma**2 * value) / alpha
            case "v":
                return (alpha * x_t - sigma * value) / (alpha**2 + sigma**2)
        raise ValueError(f"kind must be x, epsilon, v or score, got {kind!r}")

    def from_x0(self, kind: Prediction, x0: Tensor, x_t: Tensor, t: Times) -> Tensor:
        """The inverse of :meth:`to_x0`."""
        alpha, sigma = widen(self.alpha[t], x_t), widen(self.sigma[t], x_t)
        match kind:
            case "x":
                return x0
            case "epsilon":
                return (x_t - alpha * x0) / sigma
            case "score":
                return (alpha * x0 - x_t) / sigma**2
            case "v":
                return (alpha * x_t - (alpha**2 + sigma**2) * x0) / sigma
        raise ValueError(f"kind must be x, epsilon, v or score, got {kind!r}")

    def error_scale(self, kind: Prediction, t: Times) -> Float[Tensor, " batch"]:
        """What a squared error of the prediction is multiplied with to be one of x₀."""
        alpha, sigma = self.alpha[t], self.sigma[t]
        match kind:
            case "x":
                return torch.ones_like(alpha)
            case "epsilon":
                return sigma**2 / alpha**2
            case "score":
                return sigma**4 / alpha**2
            case "v":
                return sigma**2 / (alpha**2 + sigma**2) ** 2
        raise ValueError(f"kind must be x, epsilon, v or score, got {kind!r}")

    def prior_divergence(self, x0: Tensor) -> Float[Tensor, " batch"]:
        """KL(q(x_T | x₀) ‖ N(0, (α_T² + σ_T²) I)) in nats, for data of about unit variance."""
        alpha, sigma = float(self.alpha[-1]), float(self.sigma[-1])
        total = alpha**2 + sigma**2
        square = x0.flatten(1).square().sum(1)
        constant = x0[0].numel() * (sigma**2 / total - 1 - math.log(sigma**2 / total))
        return 0.5 * (alpha**2 / total * square + constant)


def variance_preserving(
    num_steps: int, schedule: Schedule = "cosine", *, least_sigma: float = 0.01
) -> Path:
    """A path with αₜ² + σₜ² = 1.

    "cosine" moves evenly through the angle between data and noise (Nichol & Dhariwal 2021),
    "log-linear" through log α²/σ² (Kingma et al. 2021), both from σ₁ = ``least_sigma`` to
    log α²/σ² = −12; "linear" is that of Ho et al. (2020), whose variances βₜ rise evenly from
    0.1/T to 20/T, in its continuous form log αₜ² = −∫ β (Song et al. 2021), for any T.

    Args:
        num_steps: T, at least 2.
        schedule: see above.
        least_sigma: σ₁; the finest detail that the path resolves.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2, got {num_steps}")
    if not 0 < least_sigma < 0.9:
        raise ValueError(f"least_sigma must be between 0 and 0.9, got {least_sigma}")
    passed = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    most = math.log1p(-(least_sigma**2)) - 2 * math.log(least_sigma)
    match schedule:
        case "cosine":
            first, last = math.asin(least_sigma), math.atan(math.exp(-0.5 * LEAST_LOG_SNR))
            angle = first + (last - first) * passed
            alpha, sigma = angle.cos(), angle.sin()
        case "log-linear":
            log_snr = most + (LEAST_LOG_SNR - most) * passed
            alpha, sigma = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        case "linear":
            u = torch.arange(1, num_steps + 1, dtype=torch.float64) / num_steps
            log_alpha_squared = -(BETA_FIRST * u + 0.5 * (BETA_LAST - BETA_FIRST) * u**2)
            alpha = (0.5 * log_alpha_squared).exp()
            sigma = (-torch.expm1(log_alpha_squared)).sqrt()
        case _:
            raise ValueError(f"schedule must be cosine, linear or log-linear, got {schedule!r}")
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return Path(torch.cat([start[:1], alpha]), torch.cat([start[1:], sigma]))
