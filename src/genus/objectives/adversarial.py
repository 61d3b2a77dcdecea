"""What critic and generator play for."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genus.distributions.head import at_least_float32
from genus.engine import Batch, Info

__all__ = [
    "CriticLoss",
    "Generates",
    "GeneratorLoss",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "PlayerLoss",
    "Relativistic",
    "Wasserstein",
    "gradient_penalty",
]

Scores = Float[Tensor, " batch"]


class PlayerLoss(ABC):
    """A pair of losses over the critic's scores, higher meaning more real.

    Attributes:
        paired: whether the generator's loss looks at the scores of real data too.
    """

    paired: bool = False

    @abstractmethod
    def critic(self, real: Scores, fake: Scores) -> Scores:
        """What the critic minimises, for each pair of a real datum and a fake."""

    @abstractmethod
    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """What the generator minimises; ``real`` is there where the loss is paired."""


class NonSaturating(PlayerLoss):
    """−log σ(real) − log(1 − σ(fake)) against −log σ(fake) (Goodfellow et al. 2014).

    The best critic is log p/q, p being the density of the data and q of the fakes. The
    generator's loss keeps its gradient where the critic is sure that it sees a fake.

    Args:
        smoothing: real data count as real with probability 1 − smoothing only, which bounds
            the critic's confidence. One-sided: fakes stay fakes, or the critic would
            strengthen the generator where it already errs (Salimans et al. 2016).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        if not 0.0 <= smoothing < 0.5:
            raise ValueError(f"smoothing must be in [0, 0.5), got {smoothing}")
        self.smoothing = smoothing

    def critic(self, real: Scores, fake: Scores) -> Scores:
        """Cross-entropy of "real or fake?"."""
        return F.softplus(-real) + self.smoothing * real + F.softplus(fake)

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """−log σ(fake)."""
        return F.softplus(-fake)


class Minimax(NonSaturating):
    """The game whose value is the Jensen–Shannon divergence (Goodfellow et al. 2014).

    The generator minimises log(1 − σ(fake)), whose gradient fades where fakes are easily told.
    """

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """Log-probability of being told for a fake."""
        return -F.softplus(fake)


class LeastSquares(PlayerLoss):
    """½ (real − 1)² + ½ fake² against ½ (fake − 1)² (Mao et al. 2017)."""

    def critic(self, real: Scores, fake: Scores) -> Scores:
        """Squared distance from the labels 1 and 0."""
        return 0.5 * ((real - 1) ** 2 + fake**2)

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """Squared distance from the label of real data."""
        return 0.5 * (fake - 1) ** 2


class Hinge(PlayerLoss):
    """max(0, 1 − real) + max(0, 1 + fake) against −fake (Lim & Ye 2017)."""

    def critic(self, real: Scores, fake: Scores) -> Scores:
        """Nothing to gain beyond a margin of one."""
        return F.relu(1 - real) + F.relu(1 + fake)

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """Minus the score."""
        return -fake


class Wasserstein(PlayerLoss):
    """fake − real against −fake (Arjovsky et al. 2017); needs a critic held to be smooth."""

    def critic(self, real: Scores, fake: Scores) -> Scores:
        """Difference of the scores."""
        return fake - real

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """Minus the score."""
        return -fake


class Relativistic(PlayerLoss):
    """log(1 + e^{fake − real}) against its mirror image (Jolicoeur-Martineau 2019).

    Every fake is judged beside a real datum, so that ignoring a mode of the data costs.
    """

    paired = True

    def critic(self, real: Scores, fake: Scores) -> Scores:
        """−log σ(real − fake)."""
        return F.softplus(fake - real)

    def generator(self, fake: Scores, real: Scores | None = None) -> Scores:
        """−log σ(fake − real)."""
        if real is None:
            raise ValueError("a relativistic generator needs the scores of real data, got None")
        return F.softplus(real - fake)


class Generates(Protocol):
    """What these objectives ask of a model."""

    def _appearance(self, x: Tensor) -> Tensor:
        """Data as the critic sees them."""

    def _fakes(self, n: int, condition: Tensor | None) -> Tensor:
        """Draws as the critic sees them, differentiable in the model's parameters."""


Critic = Callable[[Tensor, Tensor | None], Scores]


def gradient_penalty(scores: Scores, x: Tensor) -> Scores:
    """|∂ score / ∂x|² for each datum, differentiable (Mescheder et al. 2018).

    Args:
        scores: of each row of x, each depending on that row alone.
        x: requires a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return at_least_float32(gradient).flatten(1).square().sum(1)


def _disturbed(x: Tensor, noise: float) -> Tensor:
    return x + noise * torch.randn_like(x) if noise else x


class CriticLoss:
    """The critic's side: its loss, and R1, γ/2 E|∇ score|² on the data.

    R1 pulls the critic's slope to zero where the data are: at the equilibrium nothing
    pushes the fakes any more, which is what makes the game converge (Mescheder et al. 2018).

    Args:
        critic: from data (as seen) and condition to scores; scaffolding of the algorithm.
        loss: the pair of losses.
        gamma: weight of R1; 0 leaves it out and saves half of the critic's work.
        noise: standard deviation of Gaussian noise on all that the critic sees.
    """

    def __init__(
        self, critic: Critic, loss: PlayerLoss, *, gamma: float = 0.0, noise: float = 0.0
    ) -> None:
        _check_weight("gamma", gamma)
        _check_weight("noise", noise)
        self.critic, self.loss = critic, loss
        self.gamma, self.noise = gamma, noise

    def __call__(self, model: Generates, batch: Batch) -> Info:
        """``loss``, the mean scores ``real`` and ``fake``, and ``penalty`` E|∇ score|²."""
        with torch.no_grad():
            fakes = _disturbed(model._fakes(len(batch.x), batch.condition), self.noise)
            data = _disturbed(model._appearance(batch.x), self.noise)
        data.requires_grad_(self.gamma > 0)
        real = at_least_float32(self.critic(data, batch.condition))
        fake = at_least_float32(self.critic(fakes, batch.condition))
        loss = self.loss.critic(real, fake).mean()
        info = {"loss": loss, "real": real.mean(), "fake": fake.mean()}
        if self.gamma > 0:
            info["penalty"] = gradient_penalty(real, data).mean()
            info["loss"] = loss + 0.5 * self.gamma * info["penalty"]
        return info


class GeneratorLoss:
    """The generator's side.

    Args:
        critic: as for :class:`CriticLoss`.
        loss: the pair of losses.
        noise: as for :class:`CriticLoss`.
    """

    def __init__(self, critic: Critic, loss: PlayerLoss, *, noise: float = 0.0) -> None:
        _check_weight("noise", noise)
        self.critic, self.loss, self.noise = critic, loss, noise

    def __call__(self, model: Generates, batch: Batch) -> Info:
        """``loss``."""
        fakes = _disturbed(model._fakes(len(batch.x), batch.condition), self.noise)
        fake = at_least_float32(self.critic(fakes, batch.condition))
        real = None
        if self.loss.paired:
            with torch.no_grad():
                data = _disturbed(model._appearance(batch.x), self.noise)
                real = at_least_float32(self.critic(data, batch.condition))
        return {"loss": self.loss.generator(fake, real).mean()}


def _check_weight(name: str, value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be at least 0 and finite, got {value}")
