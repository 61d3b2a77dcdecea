"""RBMs of real data learn clusters at their defaults."""

import math
import statistics

import pytest
import torch

from genus.models import RBM
from genus.spaces import Real

CORNERS = {
    "four": [[1, 1, 1], [1, 1, -1], [-1, 1, 1], [-1, -1, 1]],
    "two": [[1, 1, 1], [-1, -1, -1]],
}
DEVIATION = 0.3


def clusters(kind, n=4000, scale=1.0):
    """Points about corners at ±2, and the entropy of their density in nats."""
    generator = torch.Generator().manual_seed(0)
    centres = 2.0 * torch.tensor(CORNERS[kind], dtype=torch.float32)
    which = torch.randint(len(centres), (n,), generator=generator)
    x = centres[which] + DEVIATION * torch.randn(n, 3, generator=generator)
    spread = 0.5 * math.log(2 * math.pi * math.e * (scale * DEVIATION) ** 2)
    return scale * x, math.log(len(centres)) + 3 * spread


def begun(x, num_hidden=8, seed=0):
    torch.manual_seed(seed)
    model = RBM(Real((3,)), num_hidden)
    model.set_visible_bias(x.mean(0), x.var(0))
    return model


def test_hidden_units_are_undecided_at_the_mean_and_see_every_scale_alike():
    x, _ = clusters("two")
    near = begun(x)
    far = begun(100.0 * x + 1e4)
    for model, mean in ((near, x.mean(0)), (far, 100.0 * x.mean(0) + 1e4)):
        assert torch.allclose(model.encode(mean.unsqueeze(0)), torch.tensor(0.5), atol=2e-2)
    assert torch.allclose(near.encode(x), far.encode(100.0 * x + 1e4), atol=2e-2)
    assert float(near.encode(x).detach().std(0).mean()) > 0.05


@pytest.mark.parametrize(
    ("kind", "num_hidden", "epochs", "gap"),
    # seen: 0.18 nats, and 0.5 to 2.2 over ten seeds; the machine begins 5.7 and 4.4 away
    [("two", 8, 10, 0.5), ("four", 16, 30, 1.9)],
)
def test_clusters_are_learnt_at_the_defaults(kind, num_hidden, epochs, gap):
    """The median of three seeds: one in ten ends further away, by chance of its rounding."""
    x, entropy = clusters(kind)
    missed = []
    for seed in range(3):
        model = begun(x, num_hidden, seed).fit(x, epochs=epochs, seed=seed, device="cpu")
        missed.append(-entropy - float(model.log_prob(x).detach().mean()))
    assert statistics.median(missed) < gap


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_other_scales_are_learnt_too(scale):
    """Seen: 0.54 and 0.09 nats from what is attainable, of 5.7 at first."""
    x, entropy = clusters("two", scale=scale)
    model = begun(x).fit(x, epochs=15, device="cpu")
    assert float(model.log_prob(x).detach().mean()) > -entropy - 1.2
