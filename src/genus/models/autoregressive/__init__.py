"""Autoregressive models: p(x) as a product of conditionals."""

from genus.models.autoregressive.made import MADE
from genus.models.autoregressive.pixelcnn import PixelCNN

__all__ = ["MADE", "PixelCNN"]
