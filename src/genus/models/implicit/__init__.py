"""Implicit models: they draw, and know no density."""

from genus.models.implicit.gan import GAN

__all__ = ["GAN"]
