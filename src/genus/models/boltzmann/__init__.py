"""Boltzmann machines: densities that are known up to their constant."""

from genus.models.boltzmann.rbm import RBM

__all__ = ["RBM"]
