import math

import pytest
import torch

from genus import spaces
from genus.engine import Batch
from genus.models.autoregressive import MADE
from genus.objectives.likelihood import NegativeLogLikelihood, RandomOrder, bits_per_dim


def test_loss_is_the_mean_of_log_prob_and_bits_count_every_entry():
    space = spaces.Categorical((2, 3), 4)
    model = MADE(space, (7,), condition=spaces.Categorical((), 2)).double()
    x, labels = space.random(5), torch.tensor([0, 1, 1, 0, 1])
    info = NegativeLogLikelihood()(model, Batch(x, labels))
    log_prob = model.log_prob(x, condition=labels)
    assert info["loss"].item() == pytest.approx(-log_prob.mean().item(), abs=1e-12)
    bits = -sum(math.log2(math.exp(v)) for v in log_prob.tolist()) / (5 * 6)
    assert info["bits_per_dim"].item() == pytest.approx(bits, abs=1e-9)


def test_uniform_levels_cost_eight_bits_each():
    space = spaces.Pixels((3, 2, 5), 256)
    nats = torch.tensor(30 * math.log(256.0))
    assert bits_per_dim(nats, space).item() == pytest.approx(8.0, abs=1e-5)


def test_a_random_order_costs_at_least_the_mixture_on_average():
    space = spaces.Binary((5,))
    model = MADE(space, (9,), num_orders=3).double()
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    x = space.points().double()
    torch.manual_seed(0)
    losses = {round(RandomOrder()(model, Batch(x))["loss"].item(), 9) for _ in range(40)}
    each = [-model.log_prob_in_order(x, torch.tensor([k]), None).mean().item() for k in range(3)]
    # an order is missed with probability 3 (2/3)^40 = 3e-7
    assert losses == {round(loss, 9) for loss in each}
    assert sum(each) / 3 > -model.log_prob(x).mean().item()
