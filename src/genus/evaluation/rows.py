"""Rows of features as every metric wants them: finite, two-dimensional and enough."""

import torch
from torch import Tensor

__all__ = ["check_alike", "check_rows"]


def check_rows(rows: Tensor, name: str, *, least: int = 1) -> Tensor:
    """The rows themselves, on the CPU and detached, once they are fit for a metric.

    Args:
        rows: shape ``(row, feature)``.
        name: of the argument, for the error.
        least: how many rows the metric needs.

    Raises:
        ValueError: for another number of axes, for no feature, for fewer rows than ``least``, or
            where a number is NaN or infinite.
    """
    if rows.ndim != 2 or rows.shape[1] < 1:
        raise ValueError(
            f"{name} must have shape (row, feature), got {tuple(rows.shape)}; "
            "flatten each datum with x.flatten(1) first"
        )
    if len(rows) < least:
        raise ValueError(
            f"{name} must have at least {least} rows, got {len(rows)}; draw more samples"
        )
    values = rows.detach().cpu()
    values = values if values.is_floating_point() else values.double()
    if not bool(torch.isfinite(values.sum())) and not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).any(1).sum())
        raise ValueError(
            f"{name} hold NaN or infinite numbers in {bad} of {len(rows)} rows; "
            "look at the samples first"
        )
    return values


def check_alike(first: Tensor, second: Tensor, names: str) -> None:
    """Raises ValueError where two sets of rows differ in their number of features."""
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"{names} must have the same features, got {tuple(first.shape[1:])} and "
            f"{tuple(second.shape[1:])}; both sets must pass through the same feature network"
        )
