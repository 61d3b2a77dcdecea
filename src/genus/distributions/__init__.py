"""Output heads that all families share."""

from typing import Literal

from genus import spaces
from genus.distributions.bernoulli import Bernoulli
from genus.distributions.categorical import Categorical
from genus.distributions.gaussian import Gaussian
from genus.distributions.head import Head
from genus.distributions.logistic_mixture import LogisticMixture

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Head", "HeadKind", "LogisticMixture", "head"]

HeadKind = Literal["default", "bernoulli", "categorical", "gaussian", "logistic"]

_DEFAULTS: dict[type[spaces.Space], HeadKind] = {
    spaces.Binary: "bernoulli",
    spaces.Categorical: "categorical",
    spaces.Pixels: "logistic",
    spaces.Real: "gaussian",
}


def head(space: spaces.Space, kind: HeadKind = "default", *, num_mixtures: int = 5) -> Head:
    """The head of this kind for the entries of ``space``.

    Args:
        space: Binary, Categorical, Pixels, Real, or a Sequence of one of them.
        kind: "default" takes Bernoulli, categorical, logistic and Gaussian, in that order.
        num_mixtures: for "logistic".

    Raises:
        ValueError: where the kind does not suit the space.
    """
    entry = space.of if isinstance(space, spaces.Sequence) else space
    wanted = _DEFAULTS[type(entry)] if kind == "default" else kind
    match wanted, entry:
        case "bernoulli", spaces.Binary():
            return Bernoulli()
        case "categorical", spaces.Categorical():
            return Categorical(entry.num_categories)
        case "categorical", spaces.Binary() | spaces.Pixels():
            return Categorical(entry.levels, entry.dtype)
        case "gaussian", spaces.Real():
            return Gaussian()
        case "logistic", spaces.Pixels() | spaces.Real() | spaces.Binary():
            return LogisticMixture(entry, num_mixtures)
    raise ValueError(f"a {wanted!r} head does not suit {space}")
