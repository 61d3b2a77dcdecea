"""Whole steps of learning in C++, for what separate operations spend most of their time between.

Each says in its own file which Python it stands in for; tests hold the two against each other.
"""

from genus.kernels.contrast import BinaryContrast, Contrasted

__all__ = ["BinaryContrast", "Contrasted"]
