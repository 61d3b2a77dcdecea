"""What every objective with chains refuses."""

import pytest

from genus import objectives
from genus.engine import Descend, Optimiser
from genus.models import MADE, RBM, BoltzmannMachine
from genus.spaces import Binary

CHAINS = (
    objectives.ContrastiveDivergence,
    objectives.PersistentContrastiveDivergence,
    objectives.FastPersistentContrastiveDivergence,
    objectives.TemperedContrastiveDivergence,
    objectives.LayerContrast,
    objectives.PersistentLayers,
    objectives.PersistentGibbs,
    objectives.UpDown,
    lambda **settings: objectives.DoubledContrast(1, **settings),
)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "a", None])
@pytest.mark.parametrize("objective", CHAINS)
def test_steps_must_be_counted(objective, bad):
    with pytest.raises(ValueError, match=f"k must be a positive integer, got {bad!r}"):
        objective(k=bad)


@pytest.mark.parametrize("bad", [0, 1.5, True, "a"])
@pytest.mark.parametrize("objective", CHAINS[1:-1])
def test_chains_must_be_counted(objective, bad):
    with pytest.raises(ValueError, match=f"num_chains must be a positive integer, got {bad!r}"):
        objective(num_chains=bad)


@pytest.mark.parametrize("objective", CHAINS[:4])
@pytest.mark.parametrize("model", [MADE(Binary((4,)), (5,)), BoltzmannMachine(Binary((4,)))])
def test_contrast_asks_for_a_restricted_machine(objective, model):
    said = f"needs visible and hidden units .* as in an RBM; {type(model).__name__} learns by"
    with pytest.raises(ValueError, match=said):
        model.fit(model.space.random(8), algorithm=Descend(objective()), epochs=1)


def test_gibbs_chains_ask_for_joined_units():
    model = RBM(Binary((4,)), 3)
    with pytest.raises(ValueError, match="as in a BoltzmannMachine; RBM learns by"):
        model.fit(model.space.random(8), algorithm=Descend(objectives.PersistentGibbs()), epochs=1)


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,)])
def test_decays_that_never_forget_are_refused(betas):
    with pytest.raises(ValueError, match="betas must be two numbers, each at least 0 and below 1"):
        Optimiser(betas=betas)
