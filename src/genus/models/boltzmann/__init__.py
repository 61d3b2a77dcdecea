"""Boltzmann machines: densities that are known up to their constant."""

from genus.models.boltzmann.classifier import SigmoidClassifier
from genus.models.boltzmann.couplings import grid_pairs, pairs_of
from genus.models.boltzmann.deep_belief import DeepBeliefNetwork
from genus.models.boltzmann.deep_boltzmann import DeepBoltzmannMachine
from genus.models.boltzmann.hidden_machine import HiddenBoltzmannMachine
from genus.models.boltzmann.machine import BoltzmannMachine
from genus.models.boltzmann.rbm import RBM

__all__ = [
    "RBM",
    "BoltzmannMachine",
    "DeepBeliefNetwork",
    "DeepBoltzmannMachine",
    "HiddenBoltzmannMachine",
    "SigmoidClassifier",
    "grid_pairs",
    "pairs_of",
]
