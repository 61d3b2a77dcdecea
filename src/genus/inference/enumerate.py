"""Sums over every binary vector: the judge of all estimates, where there are few enough."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["MOST_UNITS", "binary_chunks", "log_sum", "log_sum_pairs"]

MOST_UNITS = 25
CHUNK = 1 << 12
LARGEST_EXPONENT = 700.0
BLOCK = 1 << 19
SHARE = 256


def binary_chunks(
    num_units: int, *, device: torch.device | None = None, chunk: int = CHUNK
) -> Iterator[Tensor]:
    """All of {0, 1}^num_units in counting order, ``chunk`` rows at a time, in float64.

    Args:
        num_units: length of a row, the first unit counting most.
        device: where the rows are made.
        chunk: most rows at a time.

    Raises:
        ValueError: for more than 25 units (33 million rows).
    """
    if not 1 <= num_units <= MOST_UNITS:
        raise ValueError(
            f"num_units must be 1 to {MOST_UNITS} for a sum over all 2^num_units vectors, "
            f"got {num_units}; estimate the sum instead"
        )
    shifts = torch.arange(num_units - 1, -1, -1, device=device)
    for start in range(0, 1 << num_units, chunk):
        codes = torch.arange(start, min(start + chunk, 1 << num_units), device=device)
        yield ((codes.unsqueeze(1) >> shifts) & 1).double()


def log_sum(
    function: Callable[[Tensor], Tensor], num_units: int, *, device: torch.device | None = None
) -> Tensor:
    """Log Σₓ exp f(x) over all x in {0, 1}^num_units, in float64.

    Args:
        function: f, from rows ``(chunk, num_units)`` in float64 to values ``(chunk,)``.
        num_units: length of x.
        device: where the sum is taken.

    Raises:
        ValueError: for more than 25 units.
    """
    total = torch.full((), -torch.inf, dtype=torch.float64, device=device)
    for rows in binary_chunks(num_units, device=device):
        total = torch.logaddexp(total, torch.logsumexp(function(rows), 0))
    return total


def log_sum_pairs(
    weights: Float[Tensor, "near far"], near: Float[Tensor, " near"], far: Float[Tensor, " far"]
) -> Tensor:
    """Log Σ_{x, y} exp(near·x + far·y + xᵀ W y) over all binary x and y, in float64.

        = log Σₓ exp(near·x) Πⱼ (1 + exp(farⱼ + Σᵢ xᵢ Wᵢⱼ))

    The exponentials factorise over the first and the last units of x, so each term costs one
    product, and several terms share a logarithm as long as their product cannot overflow. 2²⁵
    terms of 784 factors take half a minute on a core and some 30 MB. As many threads as
    torch may use share the work, each with a part of its own: they wait for one another once.
    Carries no gradient.

    Raises:
        ValueError: where x has more than 25 units.
    """
    if len(near) > MOST_UNITS:
        raise ValueError(
            f"weights must have at most {MOST_UNITS} rows for a sum over all states of x, got "
            f"{len(near)}; sum over the other side (weights.T, far, near), or estimate the sum"
        )
    weights, near, far = (given.detach().double() for given in (weights, near, far))
    if len(far) == 0:
        return softplus(near, threshold=30.0).sum()
    most = (far + weights.clamp_min(0).sum(0)).max()
    highest = torch.stack([most, far.max(), weights.abs().sum(0).max()]).max()
    if not bool(highest < LARGEST_EXPONENT):
        return log_sum(
            lambda rows: rows @ near + softplus(rows @ weights + far, threshold=30.0).sum(1),
            len(near),
            device=weights.device,
        )
    together = int(LARGEST_EXPONENT / (float(most.clamp_min(0)) + 1.0))
    num_last = min(len(near), max(1, (BLOCK // len(far)).bit_length() - 1))
    num_first = len(near) - num_last
    last = next(binary_chunks(num_last, device=weights.device, chunk=1 << num_last))
    factors, constant = (last @ weights[num_first:]).exp(), last @ near[num_first:]
    if num_first == 0:
        return _log_terms(factors * far.exp(), constant, together)

    def total(rows: Tensor) -> Tensor:
        room = torch.empty_like(factors)
        others = (rows @ weights[:num_first] + far).exp()
        parts = [
            _log_terms(torch.mul(factors, other, out=room), constant, together) for other in others
        ]
        return (torch.stack(parts) + rows @ near[:num_first]).logsumexp(0)

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        chunks = binary_chunks(num_first, device=weights.device, chunk=SHARE)
        totals = list(pool.map(total, chunks))
    torch.set_num_threads(threads)
    return torch.stack(totals).logsumexp(0)


def _log_terms(products: Tensor, constant: Tensor, together: int) -> Tensor:
    """Log Σ exp(constant) Π (1 + products), the product along each row; overwrites."""
    products.add_(1.0)
    while together >= 2 and products.shape[1] >= 2:
        half = products.shape[1] // 2
        products[:, :half].mul_(products[:, -half:])
        products = products[:, : products.shape[1] - half]
        together //= 2
    return (products.log_().sum(1) + constant).logsumexp(0)
