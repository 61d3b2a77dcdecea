"""Training: algorithms, the loop that runs them, and what a run remembers."""

from genus.engine.algorithm import Algorithm, Info, Objective, State
from genus.engine.alternate import Alternate, Player
from genus.engine.batches import Batch, Source, Tensors
from genus.engine.budget import Budget, Progress
from genus.engine.descend import Descend
from genus.engine.ema import EMA
from genus.engine.known import Known, KnowsGradient, Traceable, with_gradient
from genus.engine.loop import Callback, NotFiniteError, Run, run
from genus.engine.maximise import Maximise, Statistics
from genus.engine.optimisers import Optimiser
from genus.engine.remembers import Remembers
from genus.engine.stages import Stage, Stages

__all__ = [
    "EMA",
    "Algorithm",
    "Alternate",
    "Batch",
    "Budget",
    "Callback",
    "Descend",
    "Info",
    "Known",
    "KnowsGradient",
    "Maximise",
    "NotFiniteError",
    "Objective",
    "Optimiser",
    "Player",
    "Progress",
    "Remembers",
    "Run",
    "Source",
    "Stage",
    "Stages",
    "State",
    "Statistics",
    "Tensors",
    "Traceable",
    "run",
    "with_gradient",
]
