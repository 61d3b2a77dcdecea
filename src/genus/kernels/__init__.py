"""Whole steps of learning in C++, where much of the time would pass between operations.

Each says in its own file which Python it stands in for; tests hold the two against each other.
"""

from genus.kernels.contrast import BinaryContrast, Contrasted

__all__ = ["BinaryContrast", "Contrasted"]
