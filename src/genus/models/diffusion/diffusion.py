"""Diffusion models (Sohl-Dickstein et al. 2015; Ho et al. 2020)."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.inference.path import Prediction, Schedule, variance_preserving
from genus.inference.solver import Denoise, Solution, ancestral, ddim, repaint
from genus.model import Completes, Latent, LowerBound
from genus.models.diffusion.bound import Chain, trajectory_bound, variational_bound
from genus.models.diffusion.last_step import LastStep
from genus.models.diffusion.network import Architecture, Network
from genus.nn.embedding import sinusoids
from genus.objectives.denoising import Denoising
from genus.spaces import Numeric, Space

__all__ = ["Diffusion"]

NUM_SINUSOIDS = 32
DECODING_STEPS = 50
COMPLETION_STEPS = 50
LEAST_SIGMA_REAL = 0.01


class Diffusion(LowerBound, Latent, Completes):
    """Noise turned into data by a denoiser, step by step.

        q(xₜ | x₀) = N(αₜ x₀, σₜ² I)    p(xₜ₋₁ | xₜ) = N(a xₜ + b x̂₀(xₜ, t), v + b² rₜ)

    with a, b, v those of q(xₜ₋₁ | xₜ, x₀) and rₜ the error that x̂₀ is expected to have. Levels
    lie evenly on [−1, 1]; the last step is a Gaussian cut into levels, so that ``log_prob``
    bounds the probability of the discrete datum itself.

    ``effort`` counts evaluations of the network for each datum. Below 2 T (T = ``num_steps``)
    the result is an unbiased draw of the variational bound, from ``effort`` of its T − 1
    steps (all of them from T − 1 on) beside an exact L_T and one draw of L₀: its mean stays,
    its variance falls. From 2 T on it is the bound over ``effort // T`` importance-weighted
    trajectories, whose mean rises to log p(x).

    ``prior`` and ``decode`` are the deterministic map of DDIM from noise to data.

    Args:
        space: Binary, Pixels or Real.
        architecture: "unet" for pictures, "mlp" for vectors, "auto" by the shape.
        channels: of each size of the U-Net, (32, 64), or width of the perceptron, (256,).
        num_blocks: at each size of the U-Net, or of the perceptron.
        attention: for each size of the U-Net; at the coarsest by default.
        num_heads: of attention.
        patch: side of the patches that the U-Net sees as channels; 2 for sides of at least 24.
        num_steps: T.
        schedule: of the noise, see :func:`~genus.inference.path.variance_preserving`.
        prediction: what the network predicts: "v", "epsilon" or "x".
        variance: of the reverse steps: "learnt" with the error rₜ learnt, "small" (rₜ = 0) or
            "large" (rₜ = σₜ²).
        sampler: "ddpm" draws every step, "ddim" only the start.
        sampling_steps: for fewer steps than T; may be changed on the model at any time (a
            checkpoint keeps what the constructor was given).
        condition: space of what data are conditioned on.
        condition_dropout: share of training examples whose condition is hidden.
        guidance: 1 for the model as it is; above 1, samples follow their condition more than
            data do (Ho & Salimans 2022), at twice the evaluations.
        centre: subtracted from real data.
        scale: by which real data are then divided; they should come to about unit variance.

    Example:
        >>> import torch, genus
        >>> model = genus.models.Diffusion(genus.Real((2,)), num_steps=20, channels=(32,))
        >>> model = model.fit(torch.randn(512, 2), epochs=2)
        >>> model.sample(3).shape
        torch.Size([3, 2])
    """

    effort = 8
    space: Numeric

    def __init__(
        self,
        space: Numeric,
        *,
        architecture: Architecture = "auto",
        channels: tuple[int, ...] | None = None,
        num_blocks: int = 2,
        attention: tuple[bool, ...] | None = None,
        num_heads: int = 4,
        patch: int | None = None,
        num_steps: int = 1000,
        schedule: Schedule = "cosine",
        prediction: Prediction = "v",
        variance: Literal["learnt", "small", "large"] = "learnt",
        sampler: Literal["ddpm", "ddim"] = "ddpm",
        sampling_steps: int | None = None,
        condition: Space | None = None,
        condition_dropout: float = 0.1,
        guidance: float = 1.0,
        centre: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        _check_choices(space, prediction, variance, sampler, condition_dropout, scale)
        self.space, self.condition = space, condition
        self.prediction: Prediction = prediction
        self.variance = variance
        self.learns_spread = variance == "learnt"
        self.sampler, self.sampling_steps = sampler, sampling_steps
        self.condition_dropout, self.guidance = condition_dropout, guidance
        levelled = space.levels is not None
        self.centre, self.scale = (0.0, 1.0) if levelled else (centre, scale)
        # with σ₁ a fifth of half a bin, a well-denoised x₁ tells its level almost surely
        least = 0.2 / (space.levels - 1) if space.levels is not None else LEAST_SIGMA_REAL
        self.path = variance_preserving(num_steps, schedule, least_sigma=least)
        self.path.respaced(sampling_steps)
        self.network = Network(
            space,
            condition,
            architecture=architecture,
            channels=channels,
            num_blocks=num_blocks,
            attention=attention,
            num_heads=num_heads,
            patch=patch,
        )
        if self.learns_spread:
            self.error = nn.Sequential(nn.Linear(NUM_SINUSOIDS, 32), nn.SiLU(), nn.Linear(32, 1))

    def algorithm(self) -> Algorithm:
        """Adam with one cycle of the learning rate and a moving average of the parameters."""
        return Descend(
            Denoising(),
            Optimiser(learning_rate=4e-3, schedule="one-cycle", clip=1.0),
            batch_size=64,
            ema=0.999,
            budget=Budget(epochs=20),
        )

    @property
    def num_evaluations(self) -> int:
        """Evaluations of the network for one batch of samples."""
        guided = self.condition is not None and self.guidance != 1.0
        return len(self.path.respaced(self.sampling_steps)) * (2 if guided else 1)

    def to_path(self, x: Tensor) -> Tensor:
        """Data on the real line that the path starts from."""
        return (self.space.to_real(x).to(self.example.dtype) - self.centre) / self.scale

    def predict(
        self, x_t: Tensor, t: Tensor, condition: Tensor | None, keep: Tensor | None = None
    ) -> Tensor:
        """What the network predicts, of kind ``prediction``, in at least float32.

        Args:
            x_t: noisy data, shape ``(batch, *shape)``.
            t: times, integers of shape ``(batch,)`` on the CPU.
            condition: or None.
            keep: booleans ``(batch,)``; false hides the condition. In training a share of
                ``condition_dropout`` is hidden.
        """
        if self.training and condition is not None and keep is None:
            keep = torch.rand(len(x_t), device=x_t.device) >= self.condition_dropout
        predicted = self.network(x_t, self.path.log_snr(t).to(x_t), condition, keep)
        return predicted.to(x_t.dtype)

    def denoiser(self, condition: Tensor | None = None, guidance: float = 1.0) -> Denoise:
        """The function from xₜ and t to x̂₀, within [−1, 1] where the space has levels."""
        if condition is None or guidance == 1.0:
            return lambda x_t, t: self._denoise(x_t, t, condition, None)

        def guided(x_t: Tensor, t: Tensor) -> Tensor:
            keep = torch.arange(2 * len(x_t), device=x_t.device) < len(x_t)
            both = self._denoise(
                torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([condition, condition]), keep
            )
            with_condition, without = both.chunk(2)
            return self._clamp(without + guidance * (with_condition - without))

        return guided

    def _denoise(
        self, x_t: Tensor, t: Tensor, condition: Tensor | None, keep: Tensor | None
    ) -> Tensor:
        predicted = self.predict(x_t, t, condition, keep)
        return self._clamp(self.path.to_x0(self.prediction, predicted, x_t, t))

    def _clamp(self, x0: Tensor) -> Tensor:
        return x0 if self.space.levels is None else x0.clamp(-1.0, 1.0)

    def log_error(self, t: Tensor) -> Float[Tensor, " batch"]:
        """log of the mean squared error that x̂₀ is expected to have, over σₜ²."""
        features = sinusoids(self.path.log_snr(t).to(self.example), NUM_SINUSOIDS)
        return self.error(features).squeeze(1).to(self.example.dtype)

    def spread(self) -> Float[Tensor, " times"]:
        """Rₜ, the error that x̂₀ is expected to have, t = 0 … T, in float64 on the CPU."""
        square = self.path.sigma**2
        if self.variance == "small":
            return torch.zeros_like(square)
        if self.variance == "large":
            return square
        times = torch.arange(1, self.path.num_steps + 1)
        relative = self.log_error(times).double().cpu().exp()
        return square * torch.cat([torch.ones(1, dtype=torch.float64), relative])

    def _last_step(self) -> LastStep:
        """With the deviation of x₁ / α₁ about x₀; for reals, that of the learnt error."""
        variance = (self.path.sigma[1] / self.path.alpha[1]) ** 2
        if self.space.levels is None and self.learns_spread:
            variance = self.spread()[1].detach()
        return LastStep(self.space, float(variance.sqrt()))

    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        y = self.to_path(x)
        chain = Chain(self.path, self.denoiser(condition), self.spread(), self._last_step())
        num_steps = self.path.num_steps
        if effort < 2 * num_steps:
            bound = variational_bound(chain, y, min(effort, num_steps - 1))
        else:
            bound = trajectory_bound(chain, y, effort // num_steps)
        return bound - y[0].numel() * torch.tensor(self.scale).log().to(y)

    def trajectory_bound(
        self, x: Any, num_trajectories: int, *, condition: Any = None, seed: int | None = None
    ) -> Float[Tensor, " batch"]:
        """The bound over importance-weighted trajectories, T evaluations each, in nats.

        One trajectory gives the variational bound, its divergences in closed form.

        Args:
            x: data of the space.
            num_trajectories: K; the bound closes as K grows.
            condition: for a conditional model.
            seed: makes the draws repeatable.
        """
        effort = num_trajectories * self.path.num_steps
        return self.lower_bound(x, effort=effort, condition=condition, seed=seed)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        times = self.path.respaced(self.sampling_steps)
        denoise, noise = self.denoiser(condition, self.guidance), self._prior(n)
        if self.sampler == "ddim":
            return self._from_path(ddim(self.path, denoise, noise, times).x0)
        solution = ancestral(self.path, denoise, noise, times, spread=self.spread())
        return self._from_path(self._last_draw(solution))

    def _last_draw(self, solution: Solution) -> Tensor:
        return solution.x0 + self._last_step().deviation * torch.randn_like(solution.x0)

    def _from_path(self, x0: Tensor) -> Tensor:
        return self.space.from_real(x0 * self.scale + self.centre)

    def _prior(self, n: int) -> Tensor:
        return torch.randn(n, *self.space.shape).to(self.example)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        steps = self.sampling_steps if self.sampler == "ddim" else DECODING_STEPS
        denoise = self.denoiser(condition, self.guidance)
        x0 = ddim(self.path, denoise, z, self.path.respaced(steps)).x0
        if self.space.levels is None:
            return x0 * self.scale + self.centre
        return (x0 + 1.0) * (0.5 * (self.space.levels - 1))

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        """Draws that follow p(missing | observed) approximately; see ``repaint``."""
        solution = repaint(
            self.path,
            self.denoiser(condition, self.guidance),
            self._prior(len(x)),
            self.path.respaced(COMPLETION_STEPS),
            known=self.to_path(x),
            observed=observed,
            spread=self.spread(),
        )
        return self._from_path(self._last_draw(solution))


def _check_choices(
    space: object, prediction: str, variance: str, sampler: str, dropout: float, scale: float
) -> None:
    """Raises ValueError for what no diffusion can be built from."""
    if not isinstance(space, Numeric):
        raise ValueError(
            f"space must be Binary, Pixels or Real, got {space}; embed categories as reals first"
        )
    for name, value, choices in (
        ("prediction", prediction, ("v", "epsilon", "x")),
        ("variance", variance, ("learnt", "small", "large")),
        ("sampler", sampler, ("ddpm", "ddim")),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"condition_dropout must be in [0, 1), got {dropout}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
