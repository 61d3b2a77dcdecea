"""Generative adversarial network (Goodfellow et al. 2014; Radford et al. 2015)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Alternate, Budget, Optimiser, Player
from genus.model import Latent
from genus.models.implicit.critic import Critic
from genus.nn.convolution import Grow
from genus.nn.features import features, num_features
from genus.nn.perceptron import Perceptron
from genus.objectives.adversarial import CriticLoss, GeneratorLoss, NonSaturating, PlayerLoss
from genus.spaces import Binary, Numeric, Space

__all__ = ["GAN"]

Architecture = Literal["mlp", "dcgan"]
Range = Literal["default", "tanh", "linear"]

HIDDEN: dict[str, tuple[int, ...]] = {"mlp": (256, 256), "dcgan": (64, 32)}
MOST_ROWS = 2048


class GAN(Latent):
    """A generator: data are made from noise, and no density is known.

        z ~ N(0, I)    x = G(z)

    Over Pixels, x is the nearest level to G(z) in [−1, 1]. Over Binary, G(z) gives the
    probability of a one, and the coin is tossed: the critic sees tossed coins as it sees
    binary data, and the gradient passes straight through the toss (Bengio et al. 2013).
    With grey fakes a critic would tell them from black and white data without looking at
    shapes. Over Real, x is G(z).

    Learning is a game against a critic, which belongs to the algorithm and is not kept.

    Args:
        space: of the data: Real, Pixels or Binary.
        num_latent: dimension of z.
        architecture: "mlp", or "dcgan" for images.
        hidden: units of the generator's layers (mlp), or channels from coarse to fine, each
            layer doubling the image (dcgan). None takes (256, 256) or (64, 32).
        output_range: of a Real space: "tanh" for data in [−1, 1], "linear" for any;
            "default" is linear for Real. Levels always lie in [−1, 1].
        condition: the space of labels or other things given with each datum.

    Raises:
        ValueError: where an argument is out of range.

    Example:
        >>> import torch, genus
        >>> x = torch.randn(256, 2) + torch.tensor([3.0, 0.0])
        >>> model = genus.models.GAN(genus.Real((2,)), num_latent=2, hidden=(16,))
        >>> model.fit(x, epochs=1).sample(5).shape
        torch.Size([5, 2])
    """

    space: Numeric

    def __init__(
        self,
        space: Numeric,
        num_latent: int = 64,
        *,
        architecture: Architecture = "mlp",
        hidden: tuple[int, ...] | None = None,
        output_range: Range = "default",
        condition: Space | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(space, Numeric):
            raise ValueError(f"a GAN needs data on a line (Real, Pixels or Binary), got {space}")
        if num_latent < 1:
            raise ValueError(f"num_latent must be at least 1, got {num_latent}")
        if architecture not in HIDDEN:
            raise ValueError(f"architecture must be one of {sorted(HIDDEN)}, got {architecture!r}")
        widths = HIDDEN[architecture] if hidden is None else tuple(hidden)
        if not widths or min(widths) < 1:
            raise ValueError(f"hidden must hold positive integers, at least one, got {hidden}")
        if output_range not in ("default", "tanh", "linear"):
            raise ValueError(
                f"output_range must be 'default', 'tanh' or 'linear', got {output_range!r}"
            )
        if output_range == "linear" and space.levels is not None:
            raise ValueError(f"output_range='linear' needs a Real space; {space} has levels")
        self.space = space
        self.condition = condition
        self.num_latent = num_latent
        self.architecture: Architecture = architecture
        self.hidden = widths
        self.bounded = output_range == "tanh" or space.levels is not None
        inputs = num_latent + num_features(condition)
        if architecture == "dcgan":
            self.generator: nn.Module = Grow(inputs, space.shape, widths, norm="batch")
        else:
            self.generator = Perceptron((inputs, *widths, space.num_dimensions))

    def algorithm(
        self,
        *,
        loss: PlayerLoss | None = None,
        gamma: float = 0.1,
        noise: float = 0.0,
        learning_rate: float = 1e-3,
        critic_rate: float | None = None,
        critic_hidden: tuple[int, ...] | None = None,
        batch_size: int = 64,
        ema: float | None = 0.99,
    ) -> Alternate:
        """The game: critic and generator in turn, each with Adam.

        Args:
            loss: the pair of losses, non-saturating by default.
            gamma: weight of the gradient penalty R1 on the data, 0 for none.
            noise: standard deviation of noise on all that the critic sees.
            learning_rate: of the generator.
            critic_rate: of the critic; that of the generator by default.
            critic_hidden: as ``hidden``, in the critic's order; the generator's mirrored.
            batch_size: examples a step.
            ema: decay of the average of the generator that is kept, or None.
        """
        widths = critic_hidden or self.hidden[::-1]
        critic = Critic(self.space, self.architecture, widths, self.condition).to(self.example)
        game = loss or NonSaturating()
        betas = (0.5, 0.99)
        players = [
            Player(
                "critic",
                lambda model: critic,
                CriticLoss(critic, game, gamma=gamma, noise=noise),
                Optimiser(learning_rate=critic_rate or learning_rate, betas=betas),
            ),
            Player(
                "generator",
                lambda model: model,
                GeneratorLoss(critic, game, noise=noise),
                Optimiser(learning_rate=learning_rate, betas=betas),
            ),
        ]
        return Alternate(
            players,
            scaffolding={"critic": critic},
            batch_size=batch_size,
            ema=ema,
            budget=Budget(epochs=20),
        )

    def _output(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """G(z): levels in [−1, 1], reals in their units."""
        values = z
        if self.condition is not None and condition is not None:
            values = torch.cat([z, features(self.condition, condition, self.example)], dim=1)
        output = self.generator(values).reshape(len(z), *self.space.shape)
        output = output if output.dtype.itemsize >= 4 else output.float()
        return torch.tanh(output) if self.bounded else output

    def _appearance(self, x: Tensor) -> Tensor:
        """Data as the critic sees them: levels evenly in [−1, 1]."""
        return self.space.to_real(x).to(self.example)

    def _fakes(self, n: int, condition: Tensor | None) -> Tensor:
        """Draws as the critic sees them, differentiable in the generator's parameters."""
        output = self._output(self._prior(n), condition)
        if not isinstance(self.space, Binary):
            return output
        tossed = self._toss(output)
        return output + (tossed - output).detach()

    @staticmethod
    def _toss(output: Tensor) -> Tensor:
        """1 with probability (1 + output)/2, else −1."""
        return torch.where(2 * torch.rand_like(output) - 1 < output, 1.0, -1.0).to(output)

    def _prior(self, n: int) -> Float[Tensor, "batch latent"]:
        return torch.randn(n, self.num_latent).to(self.example)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        output = self._output(z, condition)
        if self.space.levels is None:
            return output
        return (output + 1) * (0.5 * (self.space.levels - 1))

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        labels = [None] * n if condition is None else condition.split(MOST_ROWS)
        codes = self._prior(n).split(MOST_ROWS)
        draws = []
        for z, given in zip(codes, labels, strict=condition is not None):
            output = self._output(z, given)
            draws.append(self._toss(output) if isinstance(self.space, Binary) else output)
        return self.space.from_real(torch.cat(draws))
