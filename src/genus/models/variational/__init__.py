"""Variational models."""

from genus.models.variational.vae import VAE

__all__ = ["VAE"]
