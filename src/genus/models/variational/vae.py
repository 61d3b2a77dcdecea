"""Variational autoencoder (Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from genus import distributions
from genus.distributions import HeadKind
from genus.distributions.head import at_least_float32
from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.model import Conditional, Encodes, Predicts, WeightedBound
from genus.models.variational.networks import Architecture, Decoder, Encoder, check_architecture
from genus.nn.features import features
from genus.objectives.variational import BoundTerms, EvidenceLowerBound
from genus.spaces import Space

__all__ = ["VAE"]

HIDDEN: dict[str, tuple[int, ...]] = {"mlp": (500,), "convolutional": (32, 64)}
LARGEST_LOG_SCALE = 8.0
MOST_ROWS = 2048
NUM_COMPLETIONS = 4
NUM_SAMPLES = 1000


class VAE(WeightedBound, Encodes, Predicts):
    """A deep latent-variable model with a recognition network.

        z ~ N(0, I)    x ~ head(decoder(z))    q(z | x) = N(μ(x), diag σ²(x))

    ``lower_bound`` with effort 1 is the evidence lower bound, one draw of z with the KL
    divergence in closed form; effort K is the importance-weighted bound of Burda et al.
    (2016), log (1/K) Σ p(x, zᵢ)/q(zᵢ | x), which rises to log p(x). Both are computed in
    pieces, so that memory does not grow with K. ``complete`` is Metropolis-within-Gibbs
    (Mattei & Frellsen 2018): its chain leaves p(missing | observed) unchanged whatever the
    recognition network, and reaches it as ``num_sweeps`` grows.

    log σ is bounded softly, log σ = c tanh(s / c) with c = 8, and the bounded value is what
    every formula uses, so that nothing is approximated.

    Args:
        space: of the data: Binary, Pixels, Real or Categorical.
        num_latent: dimension of z.
        architecture: "mlp", or "convolutional" for images.
        hidden: units of the layers of the encoder (mlp) or channels (convolutional, each
            layer halves the image); the decoder mirrors them. None takes (500,) or (32, 64).
        head: what each entry of x follows given z: "bernoulli" (Binary), "gaussian" (Real,
            variance learnt for each entry from z, standard deviation at least 0.001),
            "logistic" (Pixels and Real, a mixture), "categorical", or "default".
        num_mixtures: components of the logistic head.
        condition: the space of labels or other things given with each datum.
        num_sweeps: steps of the chain that completes.

    Raises:
        ValueError: where an argument is out of range or the head does not suit the space.

    Example:
        >>> import torch, genus
        >>> x = torch.bernoulli(torch.full((64, 6), 0.3))
        >>> model = genus.models.VAE(genus.Binary((6,)), num_latent=2, hidden=(8,))
        >>> model.fit(x, epochs=1).lower_bound(x, effort=10).shape
        torch.Size([64])
    """

    def __init__(
        self,
        space: Space,
        num_latent: int = 32,
        *,
        architecture: Architecture = "mlp",
        hidden: tuple[int, ...] | None = None,
        head: HeadKind = "default",
        num_mixtures: int = 5,
        condition: Space | None = None,
        num_sweeps: int = 200,
    ) -> None:
        super().__init__()
        for name, value in (("num_latent", num_latent), ("num_sweeps", num_sweeps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        widths = HIDDEN.get(architecture, ()) if hidden is None else tuple(hidden)
        check_architecture(space, architecture, widths)
        self.space = space
        self.condition = condition
        self.num_latent = num_latent
        self.num_sweeps = num_sweeps
        self.head = distributions.head(space, head, num_mixtures=num_mixtures)
        self.encoder = Encoder(space, condition, 2 * num_latent, architecture, widths)
        self.decoder = Decoder(
            space, condition, num_latent, self.head.num_parameters, architecture, widths
        )

    def algorithm(self) -> Algorithm:
        """Adam on the evidence lower bound."""
        optimiser = Optimiser(learning_rate=2e-3, schedule="one-cycle")
        return Descend(EvidenceLowerBound(), optimiser, budget=Budget(epochs=20))

    def _given(self, condition: Tensor | None) -> Tensor | None:
        """The features of the condition."""
        if self.condition is None or condition is None:
            return None
        return features(self.condition, condition, self.example)

    def _posterior(self, x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z | x), each ``(batch, num_latent)``."""
        outputs = at_least_float32(self.encoder(features(self.space, x, self.example), given))
        mean, raw = outputs.chunk(2, dim=1)
        return mean, LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE)

    def _log_likelihood(self, parameters: Tensor, x: Tensor) -> Float[Tensor, " batch"]:
        """log p(x | z) from the parameters that the decoder computed of z."""
        return self.head.log_prob(parameters, x).flatten(1).sum(1)

    def _bound_terms(self, x: Tensor, condition: Tensor | None) -> BoundTerms:
        """One draw of log p(x | z), and KL = ½ Σ (μ² + σ² − 1 − log σ²)."""
        given = self._given(condition)
        mean, log_scale = self._posterior(x, given)
        scale = log_scale.exp()
        z = mean + scale * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + scale**2 - 1).sum(1) - log_scale.sum(1)
        return BoundTerms(self._log_likelihood(self.decoder(z, given), x), kl)

    def _log_weights(
        self, x: Tensor, condition: Tensor | None, num_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """log p(x, z) − log q(z | x) for ``num_samples`` draws of z from q."""
        given = self._given(condition)
        mean, log_scale = self._posterior(x, given)
        noise = torch.randn(len(x), num_samples, self.num_latent).to(mean)
        z = mean.unsqueeze(1) + log_scale.exp().unsqueeze(1) * noise
        # log N(z; 0, I) − log N(z; μ, σ²) = Σ ½ ε² + log σ − ½ z²
        log_ratio = 0.5 * (noise**2 - z**2).sum(2) + log_scale.sum(1, keepdim=True)
        repeated = None if given is None else given.repeat_interleave(num_samples, 0)
        parameters = self.decoder(z.flatten(0, 1), repeated)
        log_likelihood = self._log_likelihood(parameters, x.repeat_interleave(num_samples, 0))
        return log_likelihood.reshape(len(x), num_samples) + log_ratio

    def _lower_bound(
        self, x: Tensor, condition: Tensor | None, effort: int
    ) -> Float[Tensor, " batch"]:
        size = max(1, MOST_ROWS // effort)
        labels = [None] * len(x) if condition is None else condition.split(size)
        return torch.cat(
            [
                self._bound_of(rows, given, effort)
                for rows, given in zip(x.split(size), labels, strict=condition is not None)
            ]
        )

    def _bound_of(self, x: Tensor, condition: Tensor | None, effort: int) -> Tensor:
        """The bound of a few data, with at most MOST_ROWS codes in memory at a time."""
        if effort == 1:
            terms = self._bound_terms(x, condition)
            return terms.log_likelihood - terms.kl
        done, total = 0, None
        while done < effort:
            count = min(effort - done, MOST_ROWS)
            part = self._log_weights(x, condition, count).logsumexp(1)
            total = part if total is None else torch.logaddexp(total, part)
            done += count
        assert total is not None
        return total - math.log(effort)

    def _prior(self, n: int) -> Float[Tensor, "batch latent"]:
        return torch.randn(n, self.num_latent).to(self.example)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        labels = [None] * n if condition is None else condition.split(MOST_ROWS)
        codes = self._prior(n).split(MOST_ROWS)
        return torch.cat(
            [
                self.head.sample(self.decoder(z, self._given(given)))
                for z, given in zip(codes, labels, strict=condition is not None)
            ]
        )

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.head.mean(self.decoder(z, self._given(condition)))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch latent"]:
        return self._posterior(x, self._given(condition))[0]

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        """Algorithm 1 of Mattei & Frellsen (2018), begun by pseudo-Gibbs (Rezende et al. 2014).

        Pseudo-Gibbs accepts every proposal; it finds a plausible region quickly but leaves
        only q's idea of the conditional unchanged, so the later sweeps accept or refuse.
        """
        start = self.head.sample(self.decoder(self._prior(len(x)), self._given(condition)))
        state = torch.where(observed, x, start.to(x.dtype))
        z = None
        for sweep in range(self.num_sweeps):
            state, z = self._sweep(state, z, observed, condition, 5 * sweep < self.num_sweeps)
        return state

    def _sweep(
        self,
        x: Tensor,
        z: Tensor | None,
        observed: Tensor,
        condition: Tensor | None,
        accept_all: bool,
    ) -> tuple[Tensor, Tensor]:
        """Proposes z' ~ q(z | x), accepts it with its Metropolis ratio, draws what is missing.

        The ratio is that of the weights p(x, z) / q(z | x) of z' and z, x being the present state.
        """
        given = self._given(condition)
        mean, log_scale = self._posterior(x, given)
        proposal = mean + log_scale.exp() * torch.randn_like(mean)
        parameters = self.decoder(proposal, given)
        if z is not None and not accept_all:
            former = self.decoder(z, given)
            ratio = self._log_weight(x, proposal, parameters, mean, log_scale)
            ratio = ratio - self._log_weight(x, z, former, mean, log_scale)
            refused = torch.rand_like(ratio).log() >= ratio
            proposal = torch.where(refused.unsqueeze(1), z, proposal)
            keep = refused.reshape(-1, *(1 for _ in parameters.shape[1:]))
            parameters = torch.where(keep, former, parameters)
        drawn = self.head.sample(parameters).to(x.dtype)
        return torch.where(observed, x, drawn), proposal

    def _log_weight(
        self, x: Tensor, z: Tensor, parameters: Tensor, mean: Tensor, log_scale: Tensor
    ) -> Float[Tensor, " batch"]:
        """log p(x, z) − log q(z | x) of given codes."""
        noise = (z - mean) * (-log_scale).exp()
        log_ratio = (0.5 * (noise**2 - z**2) + log_scale).sum(1)
        return self._log_likelihood(parameters, x) + log_ratio

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log p(x) − log p(observed), both from the same importance samples of z.

        They come from an even mixture of q(z | x) and q(z | completion) for some completions of
        what is observed, so that both integrals are covered. The difference of two lower bounds
        is no bound, but both close as ``effort`` (samples, 1,000 by default) grows.
        """
        seen = torch.cat([x.unsqueeze(1), self._several(x, observed, condition)], dim=1)
        count = math.ceil((effort or NUM_SAMPLES) / seen.shape[1])
        size = max(1, MOST_ROWS // (count * seen.shape[1]))
        parts = [
            self._conditional_of(
                x[rows],
                seen[rows],
                observed[rows],
                None if condition is None else condition[rows],
                count,
            )
            for rows in torch.arange(len(x), device=x.device).split(size)
        ]
        return Conditional(torch.cat(parts), "~")

    def _several(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        """Completions, shape ``(batch, NUM_COMPLETIONS, *shape)``; missing entries are not read."""
        rows = torch.arange(len(x), device=x.device).repeat_interleave(NUM_COMPLETIONS)
        parts = [
            self._complete(x[some], observed[some], None if condition is None else condition[some])
            for some in rows.split(MOST_ROWS)
        ]
        return torch.cat(parts).unflatten(0, (len(x), NUM_COMPLETIONS)).to(x.dtype)

    def _conditional_of(
        self,
        x: Tensor,
        seen: Tensor,
        observed: Tensor,
        condition: Tensor | None,
        count: int,
    ) -> Float[Tensor, " batch"]:
        """log Σ w p(missing | z) / Σ w with w = p(z) p(observed | z) / r(z).

        ``count`` codes come from q(z | s) of each version s in ``seen``, and r is the mixture of
        all versions. A few codes at a time: memory does not grow with ``count``.
        """
        batch, versions = seen.shape[:2]
        given = self._given(condition)
        repeated = None if given is None else given.repeat_interleave(versions, 0)
        mean, log_scale = self._posterior(seen.flatten(0, 1), repeated)
        mean, log_scale = (t.reshape(batch, versions, -1) for t in (mean, log_scale))
        most = max(1, MOST_ROWS // (batch * versions))
        parts = []
        for start in range(0, count, most):
            number = min(most, count - start)
            noise = torch.randn(batch, number, versions, self.num_latent).to(mean)
            z = (mean.unsqueeze(1) + log_scale.exp().unsqueeze(1) * noise).flatten(1, 2)
            labels = None if given is None else given.repeat_interleave(z.shape[1], 0)
            rows = x.repeat_interleave(z.shape[1], 0)
            each = self.head.log_prob(self.decoder(z.flatten(0, 1), labels), rows)
            each = each.reshape(batch, z.shape[1], -1)
            known = observed.reshape(batch, 1, -1)
            log_w = torch.where(known, each, 0.0).sum(2) + _log_prior_ratio(z, mean, log_scale)
            both = torch.stack([log_w, log_w + torch.where(known, 0.0, each).sum(2)])
            parts.append(both.logsumexp(2))
        evidence, joint = torch.stack(parts).logsumexp(0)
        return joint - evidence


def _log_prior_ratio(z: Tensor, mean: Tensor, log_scale: Tensor) -> Float[Tensor, "batch sample"]:
    """log N(z; 0, I) − log Σₘ N(z; μₘ, σₘ²), where constants are left out that cancel."""
    noise = (z.unsqueeze(2) - mean.unsqueeze(1)) * (-log_scale).exp().unsqueeze(1)
    mixture = (-0.5 * (noise**2).sum(3) - log_scale.sum(2).unsqueeze(1)).logsumexp(2)
    return -0.5 * (z**2).sum(2) - mixture
