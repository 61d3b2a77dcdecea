"""Scalars to minimise, each saying what it asks of a model."""

from genus.objectives.adversarial import CriticLoss, GeneratorLoss, NonSaturating
from genus.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.cross_entropy import CrossEntropy
from genus.objectives.denoising import Denoising
from genus.objectives.denoising_score_matching import DenoisingScoreMatching
from genus.objectives.doubled import DoubledContrast
from genus.objectives.enumeration import EnumeratedLikelihood
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.likelihood import NegativeLogLikelihood, RandomOrder
from genus.objectives.persistent import PersistentGibbs
from genus.objectives.persistent_layers import PersistentLayers
from genus.objectives.pseudo_likelihood import PseudoLikelihood
from genus.objectives.ratio_matching import RatioMatching
from genus.objectives.score_matching import ScoreMatching
from genus.objectives.sparsity import Sparsity
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.objectives.up_down import UpDown
from genus.objectives.variational import EvidenceLowerBound, ImportanceWeighted
from genus.objectives.wake_sleep import VIMCO, Sleep, WakeSleep

__all__ = [
    "VIMCO",
    "ContrastiveDivergence",
    "CriticLoss",
    "CrossEntropy",
    "Denoising",
    "DenoisingScoreMatching",
    "DoubledContrast",
    "EnumeratedLikelihood",
    "EvidenceLowerBound",
    "FastPersistentContrastiveDivergence",
    "GeneratorLoss",
    "ImportanceWeighted",
    "LayerContrast",
    "NegativeLogLikelihood",
    "NonSaturating",
    "PersistentContrastiveDivergence",
    "PersistentGibbs",
    "PersistentLayers",
    "PseudoLikelihood",
    "RandomOrder",
    "RatioMatching",
    "ScoreMatching",
    "Sleep",
    "Sparsity",
    "TemperedContrastiveDivergence",
    "UpDown",
    "WakeSleep",
]
