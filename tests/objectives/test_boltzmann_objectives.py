"""Pseudo-likelihood, exact likelihood and persistent chains of machines joined at will."""

import math

import pytest
import torch

from genus.engine import Batch, distributed
from genus.models import BoltzmannMachine, HiddenBoltzmannMachine
from genus.objectives.enumeration import EnumeratedLikelihood
from genus.objectives.persistent import PersistentGibbs
from genus.objectives.pseudo_likelihood import PseudoLikelihood
from genus.spaces import Binary

SOME = ((0, 3), (0, 4), (1, 3), (2, 4), (0, 1), (3, 4), (4, 5), (1, 5))
N = 200_000


def stiff(model, scale=1.2):
    model = model.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            draws = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.copy_(scale * draws * torch.linspace(0.4, 1.8, len(p)))
    return model


def alone():
    return stiff(BoltzmannMachine(Binary((3,))))


def sparse():
    return stiff(BoltzmannMachine(Binary((4,)), couplings=((0, 1), (1, 2), (2, 3), (0, 3))))


def hidden():
    return stiff(HiddenBoltzmannMachine(Binary((3,)), 3, couplings=SOME))


def bipartite():
    pairs = [(i, j) for i in range(3) for j in range(3, 5)]
    return stiff(HiddenBoltzmannMachine(Binary((3,)), 2, couplings=pairs))


def log_p(model):
    """log p of every visible state by a sum over all units, with its gradient."""
    units = Binary((len(model.bias),)).points().double()
    upper = torch.zeros(len(model.bias), len(model.bias)).double()
    first, second = model.pairs
    upper = upper.index_put((first, second), model.pair_weights)
    values = torch.einsum("ni,ij,nj->n", units, upper, units) + units @ model.bias
    return values.log_softmax(0).reshape(2**model.num_visible, -1).logsumexp(1)


def data(model):
    points = model.space.points().double()
    return points[torch.tensor([1, 6, 6, 3, 2, 7, 7])]


def places(model, x):
    return (x.flatten(1) @ (2.0 ** torch.arange(model.num_visible - 1, -1, -1).double())).long()


def gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()))


def same(found, wanted, tolerance=1e-9):
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, atol=tolerance, rtol=0), (a, b)


@pytest.mark.parametrize("make", [alone, sparse, hidden, bipartite])
def test_exact_likelihood_and_its_gradient_equal_enumeration(make):
    model = make()
    x = data(model)
    loss = EnumeratedLikelihood()(model, Batch(x))["loss"]
    wanted = -log_p(model)[places(model, x)].mean()
    assert torch.allclose(loss, wanted, atol=1e-9)
    same(gradients(model, 0.3 * loss), gradients(model, 0.3 * wanted))


@pytest.mark.parametrize("make", [alone, sparse, hidden, bipartite])
def test_pseudo_likelihood_and_its_gradient_equal_autograd_of_its_definition(make):
    model = make()
    x = data(model)
    loss = PseudoLikelihood()(model, Batch(x))["loss"]
    table, size = log_p(model), model.num_visible
    at, wanted = places(model, x), 0.0
    for unit in range(size):
        bit = 2 ** (size - 1 - unit)
        both = torch.stack([table[at | bit], table[at & ~bit]]).logsumexp(0)
        wanted = wanted - (table[at] - both).mean()
    assert torch.allclose(loss, wanted, atol=1e-9)
    same(gradients(model, loss), gradients(model, wanted))


def test_pseudo_likelihood_finds_the_model_that_drew_the_data():
    truth = alone()
    every = truth.space.points().double()
    loss = PseudoLikelihood()
    weights = log_p(truth).exp().detach()

    def expected(model):
        parts = [loss(model, Batch(row[None]))["loss"] for row in every]
        return weights @ torch.stack(parts)

    same(gradients(truth, expected(truth)), [torch.zeros(3).double()] * 2)


def moments(rows, weights, pairs):
    products = rows.T @ (weights.unsqueeze(1) * rows)
    return products[pairs[0], pairs[1]], weights @ rows


@pytest.mark.parametrize("make", [alone, bipartite])
def test_chains_drawn_from_the_model_give_the_exact_gradient(make):
    """Positive phase exact where hidden units are not joined; N chains to 5 standard errors."""
    model = make()
    x = data(model)
    objective = PersistentGibbs(1, num_chains=N, centred=False)
    torch.manual_seed(0)
    objective.start(model, len(x))
    units = Binary((len(model.bias),)).points().double()
    p = (-model.energy(units)).softmax(0).detach()
    objective.chains = units[torch.multinomial(p, N, replacement=True)]
    loss = objective(model, Batch(x))["loss"]
    wanted = gradients(model, -log_p(model)[places(model, x)].mean())
    # an entry is a mean of N values of 0 and 1: 5 standard errors, false alarm 6e-7 each
    same(gradients(model, loss), wanted, 5 * 0.5 / math.sqrt(N))
    gap = model.energy(model.expected(x)).mean() - model.energy(objective.chains).mean()
    assert torch.allclose(loss, gap, atol=1e-9)


def test_the_centred_gradient_is_a_plain_step_in_centred_coordinates():
    """Autograd through E = −½ (x − μ)ᵀU (x − μ) − b̃·(x − μ), carried back."""
    model = hidden()
    x = data(model)
    objective = PersistentGibbs(2, num_chains=9)
    torch.manual_seed(0)
    objective.start(model, len(x))
    assert torch.allclose(objective.offset, model.bias.sigmoid())
    before = objective.offset
    found = gradients(model, objective(model, Batch(x))["loss"])
    positive, negative, mu = model.expected(x), objective.chains, objective.offset
    assert torch.allclose(mu, 0.5 * before + 0.5 * positive.mean(0))
    weights = model.pair_weights.detach().clone().requires_grad_()
    zero = torch.zeros(6, 6).double()
    upper = zero.index_put((model.pairs[0], model.pairs[1]), weights)
    couplings = upper + upper.T
    bias = (model.bias + couplings @ mu).detach().requires_grad_()

    def energy(units):
        centred = units - mu
        return -0.5 * (centred @ couplings * centred).sum(1) - centred @ bias

    slopes = torch.autograd.grad(energy(positive).mean() - energy(negative).mean(), [weights, bias])
    step = zero.index_put((model.pairs[0], model.pairs[1]), slopes[0])
    same(found, (slopes[0], slopes[1] - (step + step.T) @ mu))


def test_chains_walk_on_and_are_remembered():
    model = hidden()
    x = data(model)
    objective, other = PersistentGibbs(1, 8), PersistentGibbs(1, 8)
    for one in (objective, other):
        torch.manual_seed(0)
        one.start(model, len(x))
    state = objective.state_dict()
    kept = state["chains"].clone()
    torch.manual_seed(1)
    first = objective(model, Batch(x))["loss"]
    assert torch.equal(state["chains"], kept)
    assert not torch.equal(objective.chains, kept)
    assert set(objective.chains.unique().tolist()) == {0.0, 1.0}
    other.load_state_dict(state)
    torch.manual_seed(1)
    assert torch.equal(other(model, Batch(x))["loss"], first)
    assert torch.equal(other.chains, objective.chains)
    assert not objective.chains.requires_grad


def test_chains_are_split_among_processes(monkeypatch):
    model = hidden()

    def share(rank, world):
        monkeypatch.setattr(distributed, "world", lambda: world)
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        torch.manual_seed(4)
        objective = PersistentGibbs(1, 10)
        objective.start(model, 10)
        assert objective.sharded == ("chains",)
        return objective.chains

    whole = share(0, 1)
    assert torch.equal(torch.cat([share(0, 2), share(1, 2)]), whole)


def test_too_few_sweeps_or_chains_are_refused():
    with pytest.raises(ValueError, match="k must be a positive integer, got 0"):
        PersistentGibbs(0)
    with pytest.raises(ValueError, match="num_chains must be a positive integer, got 0"):
        PersistentGibbs(1, 0)
