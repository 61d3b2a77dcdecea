"""The contrast of every pair of kinds of units, and the sparsity of hidden ones."""

import itertools

import pytest
import torch
from contrasted import contrasted

from genus.engine import Batch, Budget, Descend, Optimiser, Tensors, run
from genus.models import RBM
from genus.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.sparsity import Sparsity
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.spaces import Binary, Categorical, Pixels, Real

SPACES = {
    "binary": (Binary((3,)), None),
    "gaussian": (Real((2,)), None),
    "categorical": (Categorical((2,), 3), None),
    "rectified": (Pixels((1, 1, 2), 4), "rectified"),
}
PAIRS = list(itertools.product(SPACES, ("binary", "gaussian", "categorical", "rectified")))
LINE = torch.linspace(-14.0, 14.0, 181, dtype=torch.float64)


def stiff(visible, hidden, scale=0.8):
    """Two hidden units, uneven weights, float64; never touched by a mean of zero."""
    space, kind = SPACES[visible]
    model = RBM(space, 2, hidden=hidden, visible=kind, num_states=3).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        if visible == "gaussian":
            model.weights.mul_(0.4)
            model.visible_units.log_variance.copy_(torch.tensor([0.4, -0.6]))
    return model


def points(model):
    """Every point of the space, or a grid so fine that its sums are integrals."""
    if isinstance(model.space, Real):
        return torch.cartesian_prod(LINE, LINE)
    return model.space.check(model.space.points(), like=model.example)


def some(model, n=6):
    if isinstance(model.space, Real):
        return torch.randn(n, 2, generator=torch.Generator().manual_seed(1)).double() + 0.5
    return points(model)[1::2][:n]


def slopes(model, loss):
    return [g.detach() for g in torch.autograd.grad(loss, list(model.parameters()))]


def carried(objective, plain, variance=1.0):
    """The plain gradient of W, b and c as centring turns it; log variances keep theirs."""
    W, b, c, *rest = plain
    mu, lam = objective.visible_offset, objective.hidden_offset
    W = W - torch.outer(mu, c) - torch.outer(b, lam)
    if objective.centred:
        W, b = (W.T * variance).T, b * variance
    return [W, b - W @ lam, c - mu @ W, *rest]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_gap_has_the_gradient_of_the_free_energies(visible, hidden, centred):
    model = stiff(visible, hidden)
    objective = ContrastiveDivergence(1, centred=centred)
    objective.start(model, 4)
    both = model.states(some(model))
    found = contrasted(objective, model, both, 2)
    energy = model.free_energy_at(both, model.activation(both))
    wanted = energy[:2].mean() - energy[2:].mean()
    assert torch.allclose(found, wanted, atol=1e-10)
    width = model.visible_units.log_variance
    variance = 1.0 if width is None else width.detach().exp()
    expected = carried(objective, slopes(model, 0.3 * wanted), variance)
    for a, b in zip(slopes(model, 0.3 * found), expected, strict=True):
        assert torch.allclose(a, b, atol=1e-10)
    if visible == "gaussian":
        assert bool(expected[3].abs().min() > 1e-3)


@pytest.mark.parametrize("kind", ["persistent", "fast", "tempered", "from data"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_chains_in_equilibrium_give_the_likelihood_gradient(visible, hidden, kind):
    """The mean of 25 runs of 600 chains against the exact gradient, to 6 standard errors.

    About 1,500 entries are judged with 24 degrees of freedom: false alarm below 1 in 100.
    The seed is fixed.
    """
    model = stiff(visible, hidden, scale=0.5)
    grid = points(model)
    energy = model._free_energy(grid)
    p = (-energy).detach().softmax(0)
    torch.manual_seed(7)
    rows = torch.multinomial(p, 600 * 25, replacement=True)
    data = grid[rows[:300]]
    objective = {
        "persistent": lambda: PersistentContrastiveDivergence(1, 600, centred=False),
        "fast": lambda: FastPersistentContrastiveDivergence(1, 600, fast_rate=0.0, centred=False),
        "tempered": lambda: TemperedContrastiveDivergence(2, 1, 600, centred=False),
        "from data": lambda: ContrastiveDivergence(1, centred=False),
    }[kind]()
    objective.start(model, 300)
    found = []
    for part in rows.split(600):
        chains = model.states(grid[part])
        if kind == "persistent":
            chains = model.hidden_units.draw(model.activation(chains))
        elif kind == "tempered":
            chains = torch.stack([model._tempered().start(600).visible, chains], 1)
        objective.chains = chains
        # chains that begin at exact draws stay exact: so do those of CD when data are draws
        batch = grid[part] if kind == "from data" else data
        found.append(slopes(model, objective(model, Batch(batch))["loss"]))
    log_z = (-energy).logsumexp(0)
    fixed = model._free_energy(data).mean() + log_z
    exact = slopes(model, fixed)
    for i, wanted in enumerate(exact):
        drawn = torch.stack([row[i] for row in found])
        wanted = torch.zeros_like(wanted) if kind == "from data" else wanted
        error = drawn.std(0) / len(drawn) ** 0.5 + 1e-9
        assert float(((drawn.mean(0) - wanted).abs() / error).max()) < 6


@pytest.mark.parametrize(("visible", "hidden"), [p for p in PAIRS if "binary" not in p[0]])
def test_persistent_chains_learn_every_kind(visible, hidden):
    truth = stiff(visible, hidden, scale=1.0)
    grid = points(truth)
    p = (-truth._free_energy(grid)).detach().softmax(0)
    torch.manual_seed(3)
    x = grid[torch.multinomial(p, 2000, replacement=True)]
    space, kind = SPACES[visible]
    model = RBM(space, 2, hidden=hidden, visible=kind, num_states=3).double()
    before = float(model.log_prob(x).mean())
    algorithm = Descend(
        PersistentContrastiveDivergence(1, 100), Optimiser("sgd", 0.05, (0.5, 0.0)), batch_size=100
    )
    run(model, Tensors(x, space), algorithm, budget=Budget(steps=400), seed=1, device="cpu")
    best = float(truth.log_prob(x).mean())
    assert float(model.log_prob(x).mean()) > before + 0.6 * (best - before)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("hidden", ["binary", "rectified"])
def test_sparsity_adds_its_gradient_to_the_input_of_hidden_units(hidden, centred):
    model = stiff("binary", hidden)
    x = some(model)
    found = []
    for sparsity in (None, Sparsity(0.05, 0.7, decay=0.8)):
        objective = PersistentContrastiveDivergence(1, 5, centred=centred, sparsity=sparsity)
        torch.manual_seed(0)
        objective.start(model, 6)
        begin = objective.hidden_rate
        found.append(slopes(model, objective(model, Batch(x))["loss"]))
    mean = model.encode(x).detach().mean(0)
    rate = 0.8 * begin + 0.2 * mean
    assert torch.allclose(objective.hidden_rate, rate)
    excess = 0.7 * (rate - 0.05)
    plain = [torch.outer(x.mean(0), excess), torch.zeros(3).double(), excess]
    for a, b, wanted in zip(*found, carried(objective, plain), strict=True):
        assert torch.allclose(b - a, wanted, atol=1e-10)
    state = objective.state_dict()
    assert torch.equal(state["hidden_rate"], objective.hidden_rate)
    again = PersistentContrastiveDivergence(1, 5, centred=centred, sparsity=sparsity)
    again.start(model, 6)
    again.load_state_dict(state)
    assert torch.equal(again.hidden_rate, objective.hidden_rate)


@pytest.mark.parametrize("kind", [ContrastiveDivergence, FastPersistentContrastiveDivergence])
def test_sparsity_brings_hidden_units_to_their_target(kind):
    torch.manual_seed(0)
    x = (torch.rand(600, 8) < 0.5).float().cummax(1).values
    space = Binary((8,))
    rates = []
    for sparsity in (None, Sparsity(0.1, 3.0)):
        model = RBM(space, 5)
        algorithm = Descend(kind(sparsity=sparsity), Optimiser("sgd", 0.1), batch_size=100)
        run(model, Tensors(x, space), algorithm, budget=Budget(steps=300), seed=1, device="cpu")
        rates.append(float((model.encode(x).detach().mean(0) - 0.1).abs().mean()))
    assert rates[1] < 0.05
    assert rates[1] < 0.3 * rates[0]


def test_impossible_sparsity_is_refused():
    for settings, message in (
        ({"target": float("nan"), "cost": 1.0}, "target must be a finite number"),
        ({"target": 0.1, "cost": -1.0}, "cost must be at least 0"),
        ({"target": 0.1, "cost": 1.0, "decay": 1.0}, "decay must be at least 0 and below 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Sparsity(**settings)
