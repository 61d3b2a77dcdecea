"""Diffusion models."""

from genus.models.diffusion.diffusion import Diffusion

__all__ = ["Diffusion"]
