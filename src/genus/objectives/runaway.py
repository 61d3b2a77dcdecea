"""Gaps in free energy that only a machine whose learning has run away can have."""

from torch import Tensor

__all__ = ["unless_runaway", "unless_runaway_value"]

MOST_TIMES = 100.0


def unless_runaway(gap: Tensor, log_states: float) -> Tensor:
    """The gap between data and chains, or infinity where learning has run away: it ends a run.

    The contrast of bounded units is finite whatever the weights, so that a learning rate which
    is far too large leaves no NaN behind. But as F(x) = −log p(x) − log Z, for draws of the model

        F(data) − F(draws) = E_data[−log p] − H(p),        0 ≤ H(p) ≤ log |X|

    with |X| states, and a model no worse than one that takes them all as equally likely has
    0 ≤ E_data[−log p] ≤ log |X|: the gap is at most log |X| either way. So it is for the gap of
    a variational bound, with |X| the states of all units. Chains lag behind and batches are
    noisy, hence the room: infinite is a gap beyond 100 log |X|, where each unit of a datum would
    be as unlikely as a hundred wrong guesses in a row at a coin.

    Args:
        gap: a scalar.
        log_states: log |X| in nats; infinite for reals, whose gap has no such bound, but whose
            variances and weights soon cease to be finite.
    """
    return gap.masked_fill(gap.abs() > MOST_TIMES * log_states, float("inf"))


def unless_runaway_value(gap: float, log_states: float) -> float:
    """The same of a number."""
    return float("inf") if abs(gap) > MOST_TIMES * log_states else gap
