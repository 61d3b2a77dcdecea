import pytest
import torch

from genus.engine import Batch, Budget, Descend, Optimiser, Tensors
from genus.engine import run as train
from genus.models import RBM
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.spaces import Binary

N = 100_000


def stiff():
    model = RBM(Binary((3,)), 2).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        model.base_bias.copy_(torch.linspace(-1.0, 1.0, 3))
    return model


def test_the_gradient_tends_to_the_exact_one():
    """From exact ladders the negative phase is exact: N chains, to 5 standard errors."""
    model = stiff()
    points = model.space.points().double()
    data = points[[1, 6, 6, 3]]
    objective = TemperedContrastiveDivergence(4, 2, num_chains=N, centred=False)
    torch.manual_seed(0)
    objective.start(model, 4)
    columns = []
    for beta in objective.betas:
        bias = torch.lerp(model.base_bias, model.visible_bias, beta)
        hidden = (beta * (points @ model.weights + model.hidden_bias)).exp().log1p().sum(1)
        p = (points @ bias + hidden).detach().softmax(0)
        columns.append(points[torch.multinomial(p, N, replacement=True)])
    objective.chains = torch.stack(columns, 1)
    info = objective(model, Batch(data))
    found = torch.autograd.grad(info["loss"], list(model.parameters()))
    exact = model.free_energy(data).mean() + (-model.free_energy(points)).logsumexp(0)
    wanted = torch.autograd.grad(exact, list(model.parameters()))
    for a, b in zip(found, wanted, strict=True):
        # an entry is a mean of N values within 0 to 1: false alarm 6e-7 each
        assert torch.allclose(a, b, atol=2.5 / N**0.5, rtol=0)
    assert 0 < info["least_swap_rate"] <= info["swap_rate"] < 1
    assert torch.allclose(objective.swap_rates.mean().float(), info["swap_rate"])
    first = objective.swap_rates
    objective(model, Batch(data))
    assert 0 < float((objective.swap_rates - first).abs().max()) < 0.01


def test_chains_are_remembered_and_only_beta_one_counts():
    model = stiff()
    x = model.space.points().double()[:4]
    one, other = (TemperedContrastiveDivergence(3, 1, 6) for _ in range(2))
    for objective in (one, other):
        torch.manual_seed(0)
        objective.start(model, 4)
    state = one.state_dict()
    assert state["chains"].shape == (6, 3, 3)
    assert one.sharded == ("chains",)
    kept = state["chains"].clone()
    torch.manual_seed(1)
    loss = one(model, Batch(x))["loss"]
    energy = model.free_energy(x).mean() - model.free_energy(one.chains[:, -1]).mean()
    assert torch.allclose(loss, energy)
    assert torch.equal(state["chains"], kept)
    other.load_state_dict(state)
    torch.manual_seed(1)
    assert torch.equal(other(model, Batch(x))["loss"], loss)
    assert torch.equal(other.chains, one.chains)
    assert torch.equal(other.swap_rates, one.swap_rates)


def test_it_learns():
    patterns = torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]])
    x = patterns[torch.arange(600) % 4 % 3]
    torch.manual_seed(0)
    model = RBM(Binary((5,)), 7)
    algorithm = Descend(
        TemperedContrastiveDivergence(5, 1, 50), Optimiser("sgd", 0.2, (0.5, 0.0)), batch_size=100
    )
    before = float(model.log_prob(x).mean())
    train(model, Tensors(x, model.space), algorithm, budget=Budget(steps=200), seed=1, device="cpu")
    assert float(model.log_prob(x).mean()) > before + 1.5


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_temperatures must be at least 2, got 1"):
        TemperedContrastiveDivergence(1)
    with pytest.raises(ValueError, match="num_chains must be a positive integer, got 0"):
        TemperedContrastiveDivergence(5, 1, 0)
    with pytest.raises(ValueError, match="k must be a positive integer, got 0"):
        TemperedContrastiveDivergence(5, 0)
