"""Learning of binary hidden causes that a recognition network infers.

Draws of binary units carry no gradient, so that each objective states how the gradient of the
recognition network q(h | x) is had. With K draws hₖ ~ q, wₖ = p(x, hₖ) / q(hₖ | x), their shares
w̄ₖ = wₖ / Σ w, and the bound L = log (1/K) Σ wₖ, all of them move the parameters θ of p by

    ∇θ L = Σₖ w̄ₖ ∇θ log p(x, hₖ).
"""

import math
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from genus.engine import Batch, Info

__all__ = ["VIMCO", "Explained", "Explains", "Sleep", "WakeSleep"]

Recognition = Literal["sleep", "wake", "both", "none"]


class Explained(NamedTuple):
    """What is known of draws h ~ q(h | x), in nats; the draws themselves carry no gradient.

    Attributes:
        log_joint: log p(x, h), with its gradient for p.
        log_recognition: log q(h | x), with its gradient for q.
    """

    log_joint: Float[Tensor, "batch samples"]
    log_recognition: Float[Tensor, "batch samples"]


class Explains(Protocol):
    """What these objectives ask of a model."""

    def _explain(self, x: Tensor, num_samples: int) -> Explained:
        """``num_samples`` draws from q(h | x) for each datum."""

    def _dream(self, n: int) -> Float[Tensor, " batch"]:
        """log q(h | x) of n draws (x, h) from the model itself."""


class Sleep:
    """−log q(h | x) of draws (x, h) from the model, in nats a dream.

    Its gradient is an unbiased one of E_p[−log q(h | x)], which is least where q is the
    posterior (the sleep phase of Hinton, Dayan, Frey & Neal 1995). It dreams as often as there
    are data in the batch, and moves q alone.
    """

    def __call__(self, model: Explains, batch: Batch) -> Info:
        """``loss``, the mean over the dreams."""
        return {"loss": -model._dream(len(batch.x)).mean()}


class WakeSleep:
    """Wake–sleep (Hinton et al. 1995), reweighted where K > 1 (Bornschein & Bengio 2015).

    The wake phase moves p by ∇θ L, an unbiased gradient of the bound E[L] in θ, that tends to
    the one of log p(x) as K grows: for K = 1 to the complete data (x, h), for K > 1 each with
    its share w̄. The recognition network moves by one of

        sleep    ∇ log q(h | x) for dreams (x, h) ~ p, see :class:`Sleep`
        wake     Σₖ w̄ₖ ∇ log q(hₖ | x), which as K grows makes KL(p(h | x) ‖ q) less
        both     half of either
        none     not at all, as where it is a player of its own

    The loss is −L, in nats a datum; what moves q adds a gradient to it and no value.

    Args:
        num_samples: K.
        recognition: "sleep", "wake", "both" or "none".

    Raises:
        ValueError: where K is below 1, or 1 with a wake phase of q, whose only share would be 1
            whatever the draw is worth.
    """

    def __init__(self, num_samples: int = 1, recognition: Recognition = "sleep") -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if recognition not in get_args(Recognition):
            known = ", ".join(map(repr, get_args(Recognition)))
            raise ValueError(f"recognition must be one of {known}, got {recognition!r}")
        if num_samples == 1 and recognition in ("wake", "both"):
            raise ValueError(
                f"recognition={recognition!r} weighs draws against one another; give num_samples "
                "of at least 2, or recognition='sleep'"
            )
        self.num_samples = num_samples
        self.recognition = recognition

    def __call__(self, model: Explains, batch: Batch) -> Info:
        """``loss``, ``effective_samples`` (1 / Σ w̄², from 1 to K) and, with dreams, ``sleep``."""
        log_joint, log_recognition = model._explain(batch.x, self.num_samples)
        weights = log_joint - log_recognition.detach()
        shares = weights.detach().softmax(1)
        info = {
            "loss": -_bound(weights).mean(),
            "effective_samples": (1 / shares.square().sum(1)).mean(),
        }
        half = 0.5 if self.recognition == "both" else 1.0
        if self.recognition in ("wake", "both"):
            awake = -(shares * log_recognition).sum(1).mean()
            info["loss"] = info["loss"] + half * _slope(awake)
        if self.recognition in ("sleep", "both"):
            info["sleep"] = Sleep()(model, batch)["loss"]
            info["loss"] = info["loss"] + half * _slope(info["sleep"])
        return info


class VIMCO:
    """−L with an unbiased gradient of E[L] for p and q alike (Mnih & Rezende 2016).

        ∇ E[L] = E[ Σₖ (L − L₋ₖ) ∇ log q(hₖ | x) + Σₖ w̄ₖ ∇ log wₖ ]

    The baseline L₋ₖ of each draw is L with its weight replaced by the geometric mean of the
    others', which does not depend on it.

    Args:
        num_samples: K, at least 2.

    Raises:
        ValueError: where K is below 2: a draw alone has no others to be measured by.
    """

    def __init__(self, num_samples: int = 50) -> None:
        if num_samples < 2:
            raise ValueError(f"num_samples must be at least 2, got {num_samples}")
        self.num_samples = num_samples

    def __call__(self, model: Explains, batch: Batch) -> Info:
        """``loss`` and ``effective_samples``, 1 / Σ w̄², between 1 and K."""
        log_joint, log_recognition = model._explain(batch.x, self.num_samples)
        weights = log_joint - log_recognition
        bound, fixed = _bound(weights), weights.detach()
        signal = bound.detach().unsqueeze(1) - leave_one_out(fixed)
        score = (signal * log_recognition).sum(1)
        return {
            "loss": -(bound + _slope(score)).mean(),
            "effective_samples": (1 / fixed.softmax(1).square().sum(1)).mean(),
        }


def leave_one_out(weights: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """L₋ₖ of log weights: log (1/K) (Σ_{j≠k} wⱼ + the geometric mean of those wⱼ)."""
    count = weights.shape[1]
    others = (weights.sum(1, keepdim=True) - weights) / (count - 1)
    own = torch.eye(count, dtype=torch.bool, device=weights.device)
    return _bound(torch.where(own, others.unsqueeze(2), weights.unsqueeze(1)))


def _bound(weights: Tensor) -> Tensor:
    """L of log weights, over the last dimension."""
    return weights.logsumexp(-1) - math.log(weights.shape[-1])


def _slope(value: Tensor) -> Tensor:
    """Zero, with the gradient of the value."""
    return value - value.detach()
