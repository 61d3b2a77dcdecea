"""How a restricted machine learns where nobody says otherwise."""

from genus.engine import Algorithm, Budget, Descend, Optimiser
from genus.engine.algorithm import Objective
from genus.models.boltzmann.gaussian_units import Gaussian
from genus.models.boltzmann.rectified_units import Rectified
from genus.models.boltzmann.units import Units
from genus.objectives.contrastive import PersistentContrastiveDivergence
from genus.objectives.tempering import TemperedContrastiveDivergence

__all__ = ["algorithm_for"]

LEAST_RATE, MOST_RATE = 1e-3, 3e-2


def algorithm_for(visible: Units, hidden: Units) -> Algorithm:
    """Contrastive divergence from 100 persistent chains, centred, for 20 epochs; 40 of real data.

    Among bounded units by momentum; where outliers make gradients large by Adam, at 0.002.

    Real data may be clusters many σ apart, between which Gibbs chains no longer move once σ is
    learnt: nothing then holds the masses of the clusters. So the chains of real data are
    tempered, at ten temperatures. Adam's rate is a hundredth of the typical σ, from 0.001 to 0.03,
    as W and b are in units of the data. Scale data that deviate far less than 0.1 or more than
    3, and centre those whose mean is several deviations from 0: there c must follow σ closely.
    """
    budget = Budget(epochs=20)
    objective: Objective = PersistentContrastiveDivergence(1, num_chains=100)
    optimiser = Optimiser("sgd", 0.2, betas=(0.5, 0.0), schedule="linear")
    if any(isinstance(units, Gaussian | Rectified) for units in (visible, hidden)):
        optimiser = Optimiser("adam", 0.002, schedule="linear")
    if visible.log_variance is not None and not isinstance(hidden, Gaussian):
        objective = TemperedContrastiveDivergence(10, 1, num_chains=100)
        typical = float((0.5 * visible.log_variance.detach().mean()).exp())
        rate = min(max(0.01 * typical, LEAST_RATE), MOST_RATE)
        optimiser, budget = Optimiser("adam", rate, schedule="linear"), Budget(epochs=40)
    return Descend(objective, optimiser, batch_size=100, budget=budget)
