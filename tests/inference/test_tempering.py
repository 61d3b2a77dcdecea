import math

import pytest
import torch

from genus.inference.tempering import exchange, temper
from genus.models import RBM
from genus.spaces import Binary
from genus.testing.statistics import assert_follows

BETAS = [0.0, 0.35, 0.7, 1.0]
CHAINS = 300_000


def stiff(visible=3, hidden=4, scale=2.0):
    """Large uneven weights, float64."""
    model = RBM(Binary((visible,)), hidden).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        model.base_bias.copy_(torch.linspace(-1.5, 2.0, visible))
    return model


def densities(model, betas=BETAS):
    """p_β(v) of every v by the definition, a row for each β."""
    v = model.space.points().double()
    W, b, c = (p.detach() for p in (model.weights, model.visible_bias, model.hidden_bias))
    rows = []
    for beta in betas:
        field = v @ ((1 - beta) * model.base_bias + beta * b)
        rows.append(field + (beta * (v @ W + c)).exp().log1p().sum(1))
    return v, torch.stack(rows)


def counts(rows):
    size = rows.shape[1]
    weights = 2 ** torch.arange(size - 1, -1, -1)
    return torch.bincount((rows.long() * weights).sum(1), minlength=2**size)


def exact_ladders(model, n):
    v, logs = densities(model)
    generator = torch.Generator().manual_seed(1)
    columns = [
        v[torch.multinomial(row.softmax(0), n, replacement=True, generator=generator)]
        for row in logs
    ]
    return torch.stack(columns, 1)


@pytest.mark.parametrize("first", [0, 1])
def test_swaps_are_accepted_as_enumeration_says_and_keep_every_density(first):
    model = stiff()
    _, logs = densities(model)
    p = logs.softmax(1)
    torch.manual_seed(first)
    found = exchange(model._tempered(), exact_ladders(model, CHAINS), BETAS, first)
    for pair in range(len(BETAS) - 1):
        if pair % 2 != first:
            assert found.rates[pair] == 0
            continue
        r = logs[pair + 1] - logs[pair]
        accepted = (r[:, None] - r[None, :]).exp().clamp_max(1.0)
        wanted = float(p[pair] @ accepted @ p[pair + 1])
        assert 0.02 < wanted < 0.98
        # 5 standard errors: false alarm 6e-7
        assert abs(float(found.rates[pair]) - wanted) < 5 * 0.5 / math.sqrt(CHAINS)
    for place in range(len(BETAS)):
        # false-alarm rate 1 in 100,000 each
        assert_follows(counts(found.units[:, place]), p[place], f"temperature {place}")


def test_neighbours_stay_independent_after_a_swap():
    """The product of both densities is kept, not each of them alone."""
    model = stiff()
    _, logs = densities(model)
    p = logs.softmax(1)
    torch.manual_seed(2)
    found = exchange(model._tempered(), exact_ladders(model, CHAINS), BETAS, 0).units
    joint = torch.outer(p[0], p[1]).flatten()
    # false-alarm rate 1 in 100,000
    assert_follows(counts(found[:, :2].flatten(1)), joint, "both neighbours")


def test_tempering_keeps_the_enumerated_distribution():
    """Chance alone makes a total variation of about 0.0014 at 8 states and 300,000 chains."""
    model = stiff()
    _, logs = densities(model)
    p = logs.softmax(1)
    torch.manual_seed(3)
    found = temper(model._tempered(), exact_ladders(model, CHAINS), BETAS, 3)
    assert float((counts(found.units[:, -1]) / CHAINS - p[-1]).abs().sum() / 2) < 0.003
    assert bool((found.rates > 0).all())
    assert bool((found.rates < 1).all())


def test_a_swap_exchanges_and_neither_copies_nor_loses():
    model = stiff()
    start = exact_ladders(model, 500)
    torch.manual_seed(4)
    after = exchange(model._tempered(), start, BETAS, 0).units
    weights = 2.0 ** torch.arange(3).double()
    before, now = (start @ weights).reshape(500, 2, 2), (after @ weights).reshape(500, 2, 2)
    assert torch.equal(before.sort(2).values, now.sort(2).values)
    assert not torch.equal(before, now)


def test_tempering_crosses_between_modes_that_gibbs_steps_do_not():
    """Two modes far apart: from the rarer one only the ladder finds the other."""
    model = RBM(Binary((6,)), 4).double()
    with torch.no_grad():
        model.weights.fill_(3.0)
        model.visible_bias.fill_(-5.5)
        model.hidden_bias.fill_(-9.0)
    _, logs = densities(model, [1.0])
    wanted = float(logs[0].softmax(0) @ model.space.points().double().mean(1))
    betas = [step / 9 for step in range(10)]
    torch.manual_seed(5)
    found = temper(model._tempered(), torch.zeros(400, 10, 6).double(), betas, 150).units[:, -1]
    plain = model.gibbs(torch.zeros(400, 6), steps=150, seed=5)
    # 400 chains make 0.1 at least 4 standard errors
    assert abs(float(found.mean()) - wanted) < 0.1
    assert float(plain.mean()) < wanted - 0.3


def test_temperatures_that_do_not_fit_are_refused():
    model = stiff()
    for bad in ([0.0, 1.0], [0.0, 0.5, 0.4, 1.0]):
        with pytest.raises(ValueError, match="betas must rise and be one for each of 4"):
            exchange(model._tempered(), torch.zeros(2, 4, 3).double(), bad, 0)
