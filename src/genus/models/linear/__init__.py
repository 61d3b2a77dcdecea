"""Linear models with Gaussian noise."""

from genus.models.linear.ppca import PPCA

__all__ = ["PPCA"]
