"""Variational models."""

from genus.models.variational.sigmoid_belief import SigmoidBeliefNetwork
from genus.models.variational.vae import VAE

__all__ = ["VAE", "SigmoidBeliefNetwork"]
