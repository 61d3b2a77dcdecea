"""Which gaps are still those of a machine that learns."""

import math

import pytest
import torch

from genus.models import RBM
from genus.objectives import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.runaway import unless_runaway
from genus.spaces import Binary, Categorical, Pixels, Real


def test_a_gap_is_infinite_from_a_hundred_times_all_there_is_to_know():
    limit = 100 * 6 * math.log(2.0)
    for gap in (0.0, 0.999 * limit, -0.999 * limit):
        assert float(unless_runaway(torch.tensor(gap), 6 * math.log(2.0))) == pytest.approx(gap)
    for gap in (1.001 * limit, -1.001 * limit):
        assert float(unless_runaway(torch.tensor(gap), 6 * math.log(2.0))) == math.inf
    assert float(unless_runaway(torch.tensor(1e30), math.inf)) == pytest.approx(1e30)
    assert math.isnan(float(unless_runaway(torch.tensor(math.nan), 1.0)))


@pytest.mark.parametrize(
    ("model", "log_states"),
    [
        (RBM(Binary((2, 3)), 4), 6 * math.log(2)),
        (RBM(Categorical((5,), 3), 4), 5 * math.log(3)),
        (RBM(Pixels((1, 1, 2), 4), 4, visible="rectified"), 2 * math.log(4)),
        (RBM(Real((3,)), 4), math.inf),
    ],
)
def test_the_states_of_the_visible_units_are_counted(model, log_states):
    for objective in (ContrastiveDivergence(), PersistentContrastiveDivergence()):
        objective.start(model, 10)
        assert objective.log_states == pytest.approx(log_states)
