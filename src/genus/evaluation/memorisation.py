"""Whether samples are copies of training data, measured against data the model never saw."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genus.evaluation.bootstrap import bootstrapped_mean
from genus.evaluation.figure import Figure
from genus.evaluation.neighbours import nearest
from genus.evaluation.rows import check_alike, check_rows

__all__ = ["Memorisation", "memorisation"]


@dataclass(frozen=True)
class Memorisation:
    """How near samples lie to training data, beside how near held-out data lie to them.

    Attributes:
        near_copies: share of samples nearer to a training datum than the ``quantile`` of held-out
            data is; a model that copies nothing has about ``quantile``.
        quantile: the share of held-out data that passes for near-copies.
        threshold: the distance below which a datum passes for one.
        nearer_train: share of samples nearer to training data than to as many held-out data (ties
            count half); 0.5 where the model knows no more of the one than of the other.
        copying: C_T of Meehan et al. 2020 in one cell: the Mann–Whitney z-score of samples' against
            held-out data's distances. Below −3 samples are nearer to the training data than chance
            allows, above +3 they are farther (the model underfits).
        median_distance: of samples to their nearest training datum.
        held_out_distance: the same of held-out data.
        suspects: the nearest pairs (sample, training datum), nearest first.
        distances: of those pairs.
    """

    near_copies: Figure
    quantile: float
    threshold: float
    nearer_train: Figure
    copying: float
    median_distance: float
    held_out_distance: float
    suspects: Int[Tensor, "pair 2"]
    distances: Float[Tensor, " pair"]


def memorisation(
    samples: Float[Tensor, "sample feature"],
    train: Float[Tensor, "train feature"],
    held_out: Float[Tensor, "test feature"],
    *,
    quantile: float = 0.01,
    num_suspects: int = 16,
    seed: int = 0,
) -> Memorisation:
    """Distances of samples to training data against those of held-out data.

    Args:
        samples: features, or pixels, of samples.
        train: of the data that the model learnt, all of them: a copy of one that is left out is
            not seen.
        held_out: of data that it did not learn, at least 1/quantile of them for a threshold that
            is no extreme.
        quantile: the share of held-out data below the threshold.
        num_suspects: how many pairs are named.
        seed: of the interval and of the training data that stand beside the held-out ones.

    Raises:
        ValueError: for an empty set, NaN, different features, or a quantile outside 0 to 1.
    """
    x = check_rows(samples, "samples")
    learnt, unseen = check_rows(train, "train"), check_rows(held_out, "held_out")
    check_alike(x, learnt, "samples and train")
    check_alike(x, unseen, "samples and held_out")
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie between 0 and 1, got {quantile}")
    near, index = (column[:, 0] for column in nearest(x, learnt))
    usual = nearest(unseen, learnt)[0][:, 0].double()
    near = near.double()
    threshold = float(torch.quantile(usual, quantile))
    note = f"the nearest {quantile:.2%} of held-out data pass for copies too"
    if threshold == 0:
        note = "held-out data are themselves copies of training data; " + note
    order = near.argsort(stable=True)[:num_suspects]
    size, generator = min(len(learnt), len(unseen)), torch.Generator().manual_seed(seed)
    beside = learnt[torch.randperm(len(learnt), generator=generator)[:size]]
    gap = nearest(x, beside)[0][:, 0] - nearest(x, unseen[:size])[0][:, 0]
    return Memorisation(
        near_copies=bootstrapped_mean((near <= threshold).double(), "~", note, seed=seed),
        quantile=quantile,
        threshold=threshold,
        nearer_train=bootstrapped_mean(
            (gap < 0).double() + 0.5 * (gap == 0).double(), "~", seed=seed
        ),
        copying=_z_score(near, usual),
        median_distance=float(near.median()),
        held_out_distance=float(usual.median()),
        suspects=torch.stack([order, index[order]], 1),
        distances=near[order],
    )


def _z_score(first: Tensor, second: Tensor) -> float:
    """Mann–Whitney: above zero where the first numbers are larger; ties count half.

    z = (U − mn/2) / √(mn (m + n + 1) / 12), with the variance reduced by Σ (t³ − t) over groups of
    t ties; 0 where all numbers are the same.
    """
    m, n = len(first), len(second)
    both, ties = torch.cat([first, second]).unique(return_counts=True)
    upper = ties.cumsum(0)
    ranks = (upper - ties + 1 + upper).double() / 2
    total = ranks[torch.searchsorted(both, first)].sum()
    u = total - m * (m + 1) / 2
    tied = (ties.double() ** 3 - ties).sum() / ((m + n) * (m + n - 1))
    variance = m * n / 12 * (m + n + 1 - tied)
    return float((u - m * n / 2) / variance.sqrt()) if float(variance) > 1e-9 else 0.0
