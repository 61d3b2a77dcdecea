"""Probabilistic principal component analysis (Tipping & Bishop 1999)."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine import Algorithm, Batch, Maximise
from genus.model import Conditional, Encodes, Exact, Predicts
from genus.spaces import Real

__all__ = ["PPCA", "ClosedForm", "ExpectationMaximisation"]


class PPCA(Exact, Encodes, Predicts):
    """A Gaussian whose covariance is low rank plus noise of equal variance.

        z ~ N(0, I)    x = W z + μ + σ ε    so    x ~ N(μ, W Wᵀ + σ² I)

    Everything is exact: density, posterior of z, and any part of x given any other.

    Args:
        space: of the data; flattened to D numbers.
        num_components: q, the dimension of z, below D.
        method: "closed form" (eigenvectors of the covariance) or "em".

    Example:
        >>> import torch, genus
        >>> x = torch.randn(500, 5) @ torch.randn(5, 5)
        >>> model = genus.models.PPCA(genus.Real((5,)), num_components=2).fit(x)
        >>> model.log_prob(x).shape
        torch.Size([500])
    """

    def __init__(
        self,
        space: Real,
        num_components: int = 32,
        *,
        method: Literal["closed form", "em"] = "closed form",
    ) -> None:
        super().__init__()
        size = space.num_dimensions
        if not 1 <= num_components < size:
            raise ValueError(f"num_components must be 1 to {size - 1}, got {num_components}")
        if method not in ("closed form", "em"):
            raise ValueError(f"method must be 'closed form' or 'em', got {method!r}")
        self.space = space
        self.num_components = num_components
        self.method = method
        self.loadings = nn.Parameter(torch.randn(size, num_components) / math.sqrt(size))
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_variance = nn.Parameter(torch.zeros(()))

    def algorithm(self) -> Algorithm:
        """The closed form, or EM to convergence."""
        if self.method == "em":
            return Maximise(ExpectationMaximisation(), epochs=200)
        return Maximise(ClosedForm(), epochs=2, tolerance=-math.inf)

    @property
    def variance(self) -> Tensor:
        """σ², the variance of the noise."""
        return self.log_variance.exp()

    def _gram(self) -> Float[Tensor, "latent latent"]:
        """M = WᵀW + σ² I, all that is ever inverted."""
        identity = torch.eye(self.num_components).to(self.loadings)
        return self.loadings.T @ self.loadings + self.variance * identity

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, " batch"]:
        # |W Wᵀ + σ² I| = |M| σ^{2(D−q)};  C⁻¹ = (I − W M⁻¹ Wᵀ) / σ²
        centred = x.flatten(1) - self.mean
        size = self.space.num_dimensions
        factor = torch.linalg.cholesky(self._gram())
        projected = torch.linalg.solve_triangular(factor, (centred @ self.loadings).T, upper=False)
        distance = ((centred**2).sum(1) - (projected**2).sum(0)) / self.variance
        log_det = 2 * factor.diagonal().log().sum()
        log_det = log_det + (size - self.num_components) * self.log_variance
        return -0.5 * (distance + log_det + size * math.log(2 * math.pi))

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        mean = self._decode(self._prior(n), None)
        return mean + self.variance.sqrt() * torch.randn_like(mean)

    def _prior(self, n: int) -> Float[Tensor, "batch latent"]:
        return torch.randn(n, self.num_components).to(self.loadings)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return (z @ self.loadings.T + self.mean).reshape(len(z), *self.space.shape)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Float[Tensor, "batch latent"]:
        projected = (x.flatten(1) - self.mean) @ self.loadings
        return torch.linalg.solve(self._gram(), projected.T).T

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``(batch, latent)`` and the common covariance ``(latent, latent)`` of z given x."""
        return self.encode(x), self.variance * torch.linalg.inv(self._gram())

    def _complete(self, x: Tensor, observed: Tensor, condition: Tensor | None) -> Tensor:
        # p(z | observed) row by row: precision (σ² I + Wₒᵀ Wₒ) / σ²
        mask = observed.flatten(1).to(x.dtype)
        centred = (x.flatten(1) - self.mean) * mask
        identity = torch.eye(self.num_components).to(x)
        draws = []
        for rows, seen in zip(centred.split(256), mask.split(256), strict=True):
            gram = torch.einsum("bd,dq,dr->bqr", seen, self.loadings, self.loadings)
            factor = torch.linalg.cholesky(gram + self.variance * identity)
            mean = torch.cholesky_solve((rows @ self.loadings).unsqueeze(2), factor)
            noise = self.variance.sqrt() * torch.randn_like(mean)
            z = mean + torch.linalg.solve_triangular(factor.mT, noise, upper=True)
            draws.append(self._decode(z.squeeze(2), None))
        drawn = torch.cat(draws)
        return drawn + self.variance.sqrt() * torch.randn_like(drawn)

    def _conditional_log_prob(
        self, x: Tensor, observed: Tensor, condition: Tensor | None, effort: int | None
    ) -> Conditional:
        """log p(x) − log p(observed), both in closed form and float64."""
        everything = torch.ones_like(observed)
        value = self._marginal_log_prob(x, everything) - self._marginal_log_prob(x, observed)
        return Conditional(value.to(x.dtype), "=")

    def _marginal_log_prob(self, x: Tensor, observed: Tensor) -> Float[Tensor, " batch"]:
        """log p of the observed entries: that of PPCA with the other rows of W left out."""
        mask = observed.flatten(1).double()
        centred = (x.flatten(1).double() - self.mean.double()) * mask
        loadings, variance = self.loadings.double(), self.variance.double()
        identity = torch.eye(self.num_components).to(loadings)
        parts = []
        for rows, seen in zip(centred.split(256), mask.split(256), strict=True):
            gram = torch.einsum("bd,dq,dr->bqr", seen, loadings, loadings) + variance * identity
            factor = torch.linalg.cholesky(gram)
            products = (rows @ loadings).unsqueeze(2)
            projected = torch.linalg.solve_triangular(factor, products, upper=False).squeeze(2)
            distance = ((rows**2).sum(1) - (projected**2).sum(1)) / variance
            count = seen.sum(1)
            log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
            log_det = log_det + (count - self.num_components) * variance.log()
            parts.append(-0.5 * (distance + log_det + count * math.log(2 * math.pi)))
        return torch.cat(parts)


class ClosedForm:
    """Maximum likelihood from the covariance: the mean in one pass, the covariance in a second.

    W = U (Λ − σ² I)^½ with the q leading eigenpairs, σ² the mean of the remaining
    eigenvalues (Tipping & Bishop 1999, equations 7 and 8). The second pass
    centres on the mean of the first, so that nothing cancels, whatever the scale of the data.
    """

    def expect(self, model: PPCA, batch: Batch) -> dict[str, Tensor]:
        """Sums of x − m and (x − m)(x − m)ᵀ about the present mean m, in float64."""
        x = batch.x.flatten(1)
        centred = x.double() - model.mean.double()
        return {
            "num_examples": torch.tensor(float(len(x)), dtype=torch.float64, device=x.device),
            "first": centred.sum(0),
            "second": centred.T @ centred,
            "log_likelihood": model._log_prob(x, None).double().sum(),
        }

    def solve(self, model: PPCA, totals: dict[str, Tensor]) -> None:
        """Sets μ, W and σ²."""
        n, q = totals["num_examples"], model.num_components
        offset = totals["first"] / n
        covariance = totals["second"] / n - torch.outer(offset, offset)
        values, vectors = torch.linalg.eigh(covariance)
        variance = values[:-q].clamp_min(0).mean()
        if not variance > 1e-12 * values.sum():
            raise ValueError(
                f"{int(n)} examples leave no noise beside {q} components; "
                "use fewer components or more examples"
            )
        leading = vectors[:, -q:].flip(1)
        signs = torch.sign(leading.gather(0, leading.abs().argmax(0, keepdim=True)))
        scale = (values[-q:].flip(0) - variance).clamp_min(0).sqrt()
        model.loadings.copy_(leading * signs * scale)
        model.mean.add_(offset.to(model.mean))
        model.log_variance.copy_(variance.log())


class ExpectationMaximisation:
    """EM for PPCA; the mean is one more column of W, so that both are solved at once.

    Needs O(D q) memory where the closed form needs O(D²).
    """

    def expect(self, model: PPCA, batch: Batch) -> dict[str, Tensor]:
        """Sums over z̃ = (z, 1): Σ x E[z̃]ᵀ, Σ E[z̃ z̃ᵀ] and Σ |x|², about the present mean."""
        x = batch.x.flatten(1)
        centred = (x - model.mean).double()
        mean = model._encode(x, None).double()
        ones = torch.ones(len(x), 1).to(mean)
        extended = torch.cat([mean, ones], dim=1)
        second = extended.T @ extended
        spread = model.variance * torch.linalg.inv(model._gram())
        second[:-1, :-1] += len(x) * spread.double()
        return {
            "num_examples": torch.tensor(float(len(x)), dtype=torch.float64, device=x.device),
            "cross": centred.T @ extended,
            "second": second,
            "square": (centred**2).sum(),
            "log_likelihood": model._log_prob(x, None).double().sum(),
        }

    def solve(self, model: PPCA, totals: dict[str, Tensor]) -> None:
        """[W μ] = (Σ x z̃ᵀ)(Σ z̃ z̃ᵀ)⁻¹;  σ² = (Σ|x|² − tr [W μ]ᵀ Σ x z̃ᵀ) / (n D)."""
        solved = torch.linalg.solve(totals["second"], totals["cross"].T).T
        residual = totals["square"] - (solved * totals["cross"]).sum()
        variance = residual / (totals["num_examples"] * len(model.mean))
        model.loadings.copy_(solved[:, :-1])
        model.mean.add_(solved[:, -1].to(model.mean))
        model.log_variance.copy_(variance.clamp_min(1e-300).log())
