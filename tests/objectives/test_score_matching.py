"""Score matching, plain and denoising, against Hessians, closed forms and quadrature."""

import pytest
import torch

from genus.engine import Batch
from genus.models import RBM
from genus.objectives.denoising_score_matching import DenoisingScoreMatching
from genus.objectives.score_matching import ScoreMatching, differentiated
from genus.spaces import Real
from genus.testing.statistics import assert_mean

HIDDEN = ("binary", "gaussian", "categorical", "rectified")
LINE = torch.linspace(-12.0, 12.0, 161, dtype=torch.float64)
GRID = torch.cartesian_prod(LINE, LINE)


def stiff(hidden="binary", scale=0.9, seed=4):
    model = RBM(Real((2,)), 2, hidden=hidden, num_states=3).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        model.visible_units.log_variance.copy_(torch.tensor([0.3, -0.5]))
        if hidden == "gaussian":
            model.weights.mul_(0.4)
    return model


def log_p(model, x):
    log_z = (-model._free_energy(GRID)).logsumexp(0) + 2 * (LINE[1] - LINE[0]).log()
    return -model._free_energy(x) - log_z


def drawn(model, n, seed=1):
    """Exact up to the grid, within whose cells points are spread evenly."""
    generator = torch.Generator().manual_seed(seed)
    p = log_p(model, GRID).detach().softmax(0)
    rows = torch.multinomial(p, n, replacement=True, generator=generator)
    noise = torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5
    return GRID[rows] + noise * (LINE[1] - LINE[0])


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_loss_and_its_gradient_equal_those_of_autograd_hessians(hidden):
    model = stiff(hidden)
    x = drawn(model, 7)
    found = ScoreMatching()(model, Batch(x))["loss"]
    terms = []
    for row in x:

        def log_density(v):
            return -model._free_energy(v.unsqueeze(0)).squeeze(0)

        slope = torch.autograd.functional.jacobian(log_density, row, create_graph=True)
        bend = torch.autograd.functional.hessian(log_density, row, create_graph=True)
        terms.append(0.5 * slope.square().sum() + bend.trace())
    wanted = torch.stack(terms).mean()
    assert torch.allclose(found, wanted, atol=1e-9)
    parameters = list(model.parameters())
    for a, b in zip(
        torch.autograd.grad(found, parameters),
        torch.autograd.grad(wanted, parameters, allow_unused=True),
        strict=True,
    ):
        assert torch.allclose(a, torch.zeros_like(a) if b is None else b, atol=1e-9)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_score_differentiated_is_that_in_closed_form(hidden):
    model = stiff(hidden)
    x = drawn(model, 5)
    for a, b in zip(
        differentiated(model._free_energy, x), model.score_and_divergence(x), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-9)
    line = differentiated(lambda v: (2.0 * v).sum(1), x)
    assert torch.equal(line.divergence, torch.zeros(5).double())


def test_the_expected_loss_is_half_the_fisher_divergence_up_to_a_constant():
    """J(θ) = ½ E |ψ_θ − ψ|² − ½ E |ψ|², by quadrature."""
    truth, model = stiff(), stiff("rectified", seed=8)
    p = log_p(truth, GRID).detach().softmax(0)
    own = truth.score_and_divergence(GRID).value
    score = model.score_and_divergence(GRID)
    expected = p @ (0.5 * score.value.square().sum(1) + score.divergence)
    wanted = 0.5 * (p @ (score.value - own).square().sum(1) - p @ own.square().sum(1))
    assert torch.allclose(expected, wanted, atol=1e-6)


def minimised(model, loss, most=150):
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=most, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure():
        optimiser.zero_grad()
        value = loss(model)
        value.backward()
        return value

    optimiser.step(closure)
    return model


def divergence(truth, model):
    at = log_p(truth, GRID).detach()
    cell = (LINE[1] - LINE[0]).square()
    return float((at.exp() * (at - log_p(model, GRID).detach())).sum() * cell)


def test_minimising_it_recovers_the_distribution_of_the_data():
    truth = stiff(scale=1.0)
    x = drawn(truth, 20_000)
    start = stiff(scale=0.5, seed=9)
    assert divergence(truth, start) > 0.2
    found = minimised(start, lambda model: ScoreMatching()(model, Batch(x))["loss"])
    assert divergence(truth, found) < 0.01


def gaussian(mean, variance):
    model = RBM(Real((2,)), 1).double()
    with torch.no_grad():
        model.weights.zero_()
        model.visible_bias.copy_(torch.tensor(mean))
        model.visible_units.log_variance.copy_(torch.tensor(variance).double().log())
    return model


def test_the_denoising_loss_has_the_expectation_of_its_closed_form():
    """½ Σ s² (V + s² + (m − b)²)/σ⁴ − 2 s²/σ² + 1; false-alarm rate 1 in 100,000."""
    model, s = gaussian([0.3, -1.0], [0.7, 2.0]), 0.6
    deviation, mean = torch.tensor([1.5, 0.4]).double(), torch.tensor([-0.5, 0.8]).double()
    torch.manual_seed(0)
    x = mean + deviation * torch.randn(200, 500, 2).double()
    losses = torch.stack([DenoisingScoreMatching(s)(model, Batch(part))["loss"] for part in x])
    variance = torch.tensor([0.7, 2.0]).double()
    spread = deviation**2 + s**2 + (mean - model.visible_bias) ** 2
    terms = s**2 * spread / variance**2 - 2 * s**2 / variance + 1
    assert_mean(losses.detach(), 0.5 * float(terms.detach().sum()), "the denoising loss")


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_denoising_loss_is_that_of_the_noise_it_drew(hidden):
    model, x = stiff(hidden), drawn(stiff(hidden), 9)
    torch.manual_seed(5)
    found = DenoisingScoreMatching(0.3)(model, Batch(x))["loss"]
    torch.manual_seed(5)
    noise = torch.randn_like(x)
    score = model.score_and_divergence(x + 0.3 * noise).value
    wanted = 0.5 * (0.3 * score + noise).square().sum(1).mean()
    assert torch.allclose(found, wanted, atol=1e-10)
    parameters = list(model.parameters())
    for a, b in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(wanted, parameters), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-9)


def test_denoising_recovers_the_distribution_of_the_noisy_data():
    truth = stiff(scale=1.0)
    s = 0.8
    torch.manual_seed(2)
    x = drawn(truth, 20_000)[:6000]
    start = stiff(scale=0.5, seed=9)

    def loss(model):
        torch.manual_seed(3)
        return DenoisingScoreMatching(s)(model, Batch(x))["loss"]

    found = minimised(start, loss, 50)
    kernel = torch.cdist(GRID[::17], GRID).square()
    log_kernel = -kernel / (2 * s**2) - torch.tensor(2 * torch.pi * s**2).log()
    cell = 2 * (LINE[1] - LINE[0]).log()
    noisy = (log_kernel + log_p(truth, GRID)).logsumexp(1).detach() + cell
    gap = noisy - log_p(found, GRID[::17]).detach()
    assert float((noisy.softmax(0) * gap).sum()) < 0.03
    sharp = noisy - log_p(truth, GRID[::17]).detach()
    assert float((noisy.softmax(0) * sharp).sum()) > 0.1


def test_noise_of_no_size_is_refused():
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="noise must be above 0"):
            DenoisingScoreMatching(bad)
