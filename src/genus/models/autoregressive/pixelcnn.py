"""Gated PixelCNN (van den Oord et al. 2016)."""

import torch
from jaxtyping import Float
from torch import Tensor

from genus import distributions
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.inference import particles
from genus.model import Conditional, Exact, Predicts
from genus.nn.causal import CausalWalk, GatedCausalNetwork
from genus.nn.entries import entries, num_entry_features
from genus.nn.features import features, num_features
from genus.objectives.likelihood import NegativeLogLikelihood
from genus.spaces import Space

__all__ = ["PixelCNN"]

MOST_ROWS = 1024


class PixelCNN(Exact, Predicts):
    """Images, one entry after the other: row by row, pixel by pixel, channel by channel.

        p(x) = Π_i p(x_i | x_1 … x_{i−1})

    Draws come from a walk with caches: an image costs about one pass of the network.

    Args:
        space: Binary, Categorical or Pixels, of shape (channel, height, width).
        channels: features of the vertical and of the horizontal stack.
        num_layers: gated layers.
        kernel: odd width of the kernels.
        first_kernel: odd width of the first layer's, which is cheap and may be large.
        num_skip: features of the skip connections; 0 for none.
        residual: whether the horizontal layers have residual connections.
        positional: whether the first layer has a learnt map of places.
        head: distribution of an entry, see :func:`genus.distributions.head`.
        num_mixtures: of a logistic head.
        condition: space of a condition that every layer sees, such as labels.
        num_particles: for each datum where :meth:`complete` has observed entries behind
            missing ones.

    Example:
        >>> import torch, genus
        >>> model = genus.models.PixelCNN(genus.Binary((1, 5, 4)), channels=8, num_layers=2)
        >>> model.sample(3, seed=0).shape
        torch.Size([3, 1, 5, 4])
    """

    def __init__(
        self,
        space: Space,
        *,
        channels: int = 32,
        num_layers: int = 5,
        kernel: int = 3,
        first_kernel: int = 15,
        num_skip: int = 0,
        residual: bool = True,
        positional: bool = True,
        head: distributions.HeadKind = "default",
        num_mixtures: int = 5,
        condition: Space | None = None,
        num_particles: int = 32,
    ) -> None:
        super().__init__()
        if len(space.shape) != 3:
            raise ValueError(f"space must have shape (channel, height, width), got {space.shape}")
        least = space.shape[0]
        if channels < least or 0 < num_skip < least or num_skip < 0:
            raise ValueError(
                f"channels and num_skip must be at least the image's {least} channels, "
                f"got {channels} and {num_skip}"
            )
        for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
            if size < 3 or size % 2 == 0:
                raise ValueError(f"{name} must be odd and at least 3, got {size}")
        if num_layers < 2 or num_particles < 1:
            raise ValueError(
                "num_layers must be at least 2 and num_particles at least 1, "
                f"got {num_layers} and {num_particles}"
            )
        self.space, self.condition = space, condition
        self.num_particles = num_particles
        self.head = distributions.head(space, head, num_mixtures=num_mixtures)
        channel, height, width = space.shape
        self.network = GatedCausalNetwork(
            (channel, height, width),
            num_entry_features(space),
            self.head.num_parameters,
            channels=channels,
            num_layers=num_layers,
            kernel=kernel,
            first_kernel=first_kernel,
            num_skip=num_skip,
            residual=residual,
            positional=positional,
            num_given=num_features(condition),
        )

    def algorithm(self) -> Algorithm:
        """Maximum likelihood by Adam with a one-cycle rate."""
        return Descend(
            NegativeLogLikelihood(),
            Optimiser(learning_rate=4e-3, schedule="one-cycle", clip=200.0),
            batch_size=16,
            budget=Budget(epochs=3),
        )

    def predict(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Parameters of every entry, shape ``(batch, parameter, *space.shape)``."""
        parameters: Tensor = self.network(self._features(x), self._given(condition))
        return parameters

    def walk(self, n: int, condition: Tensor | None = None) -> CausalWalk:
        """A pass over the entries of ``n`` images, one after the other."""
        return CausalWalk(self.network, n, self._given(condition))

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        return self.head.log_prob(self.predict(x, condition), x).flatten(1).sum(1)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        drawn = []
        for rows in torch.arange(n, device=self.example.device).split(MOST_ROWS):
            walk = self.walk(len(rows), None if condition is None else condition[rows])
            drawn.append(particles.draw(walk, self.head, self._features))
        return self._from_raster(torch.cat(drawn))

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        parts = self._completions(x, observed, condition, self.num_particles)
        return self._from_raster(torch.cat([part.x for part in parts]))

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log p(x) − log p̂(observed): exact where what is observed comes first.

        Else E[p̂] = p(observed), so that the difference is at least log p(missing | observed)
        on average, by Jensen's inequality.
        """
        parts = self._completions(x, observed, condition, effort or self.num_particles)
        evidence = torch.cat([part.log_evidence for part in parts])
        exact = particles.observed_first(self._to_raster(observed))
        return Conditional(self._log_prob(x, condition) - evidence, "=" if exact else "<=")

    def _completions(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, num_particles: int
    ) -> list[particles.Completion]:
        """Completions in raster order and log evidence, a few images at a time."""
        known, seen = self._to_raster(x), self._to_raster(observed)
        size = max(1, MOST_ROWS // num_particles)
        done = []
        for rows in torch.arange(len(x), device=x.device).split(size):
            walk = self.walk(len(rows), None if condition is None else condition[rows])
            done.append(
                particles.complete(
                    walk, self.head, self._features, known[rows], seen[rows], num_particles
                )
            )
        return done

    def _to_raster(self, x: Tensor) -> Tensor:
        """Entries in the order of the model, shape ``(batch, step)``."""
        return x.permute(0, 2, 3, 1).flatten(1)

    def _from_raster(self, x: Tensor) -> Tensor:
        channel, height, width = self.space.shape
        return x.reshape(-1, height, width, channel).permute(0, 3, 1, 2).contiguous()

    def _features(self, x: Tensor) -> Tensor:
        return entries(self.space, x, self.example)

    def _given(self, condition: Tensor | None) -> Tensor | None:
        if condition is None or self.condition is None:
            return None
        return features(self.condition, condition, self.example)
