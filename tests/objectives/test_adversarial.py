import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genus.engine import Batch
from genus.objectives import adversarial
from genus.objectives.adversarial import CriticLoss, GeneratorLoss, gradient_penalty

REAL = torch.tensor([2.5, -0.3, 0.9, -31.0], dtype=torch.float64)
FAKE = torch.tensor([-1.5, 0.4, 40.0, 0.1], dtype=torch.float64)
ONE, ZERO = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)


def cross_entropy(scores, targets):
    return F.binary_cross_entropy_with_logits(scores, targets, reduction="none")


CLOSED_FORMS = [
    (
        adversarial.NonSaturating(),
        cross_entropy(REAL, ONE) + cross_entropy(FAKE, ZERO),
        cross_entropy(FAKE, ONE),
    ),
    (
        adversarial.NonSaturating(smoothing=0.1),
        cross_entropy(REAL, 0.9 * ONE) + cross_entropy(FAKE, ZERO),
        cross_entropy(FAKE, ONE),
    ),
    (
        adversarial.Minimax(),
        cross_entropy(REAL, ONE) + cross_entropy(FAKE, ZERO),
        -cross_entropy(FAKE, ZERO),
    ),
    (adversarial.LeastSquares(), ((REAL - 1) ** 2 + FAKE**2) / 2, (FAKE - 1) ** 2 / 2),
    (adversarial.Hinge(), (1 - REAL).clamp(min=0) + (1 + FAKE).clamp(min=0), -FAKE),
    (adversarial.Wasserstein(), FAKE - REAL, -FAKE),
    (
        adversarial.Relativistic(),
        -torch.sigmoid(REAL - FAKE).log(),
        cross_entropy(FAKE - REAL, ONE),
    ),
]


@pytest.mark.parametrize(("loss", "critic", "generator"), CLOSED_FORMS)
def test_losses_are_the_papers(loss, critic, generator):
    assert torch.allclose(loss.critic(REAL, FAKE), critic, atol=1e-10)
    assert torch.allclose(loss.generator(FAKE, REAL), generator, atol=1e-10)


P = torch.tensor([0.5, 0.2, 0.05, 0.25], dtype=torch.float64)
Q = torch.tensor([0.1, 0.3, 0.55, 0.05], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "best"),
    [
        (adversarial.NonSaturating(), (P / Q).log()),
        (adversarial.NonSaturating(0.2), (0.8 * P / (0.2 * P + Q)).log()),
        (adversarial.LeastSquares(), P / (P + Q)),
        (adversarial.Hinge(), torch.sign(P - Q)),
    ],
)
def test_the_best_critic_of_known_densities(loss, best):
    """Minimise Σ p loss(real) + q loss(fake) over a table of scores."""
    scores = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.05)
    for step in range(1500):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 1500)
        optimiser.zero_grad()
        pairs = loss.critic(scores.unsqueeze(1), scores.unsqueeze(0))
        (P.unsqueeze(1) * Q * pairs).sum().backward()
        optimiser.step()
    assert torch.allclose(scores.detach(), best, atol=2e-3)


def test_the_minimax_game_is_worth_the_jensen_shannon_divergence():
    scores = (P / Q).log()
    loss = adversarial.Minimax().critic(scores.unsqueeze(1), scores.unsqueeze(0))
    middle = (P + Q) / 2
    divergence = 0.5 * ((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum())
    value = -(P.unsqueeze(1) * Q * loss).sum()
    assert value.item() == pytest.approx(2 * divergence.item() - 2 * math.log(2), abs=1e-12)


class Line(nn.Module):
    """G(z) = a z + b over vectors of three."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([0.7, -2.0, 1.1], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor([0.1, 3.0, -0.4], dtype=torch.float64))

    def _appearance(self, x):
        return x

    def _fakes(self, n, condition):
        return self.a * torch.randn(n, 3, dtype=torch.float64) + self.b


class Quadratic(nn.Module):
    """s(x) = xᵀ A x + wᵀ x."""

    def __init__(self):
        super().__init__()
        rows = [[1.5, 0.3, 0.0], [-0.8, 0.2, 2.0], [0.1, 0.0, -3.0]]
        self.A = nn.Parameter(torch.tensor(rows, dtype=torch.float64))
        self.w = nn.Parameter(torch.tensor([0.5, -1.0, 0.25], dtype=torch.float64))

    def forward(self, x, condition):
        return torch.einsum("bi,ij,bj->b", x, self.A, x) + x @ self.w


DATA = torch.tensor([[0.5, -1.2, 3.0], [2.0, 0.1, -0.7], [-4.0, 1.0, 0.0]], dtype=torch.float64)


def test_gradient_penalty_is_the_slope_by_hand():
    critic, x = Quadratic(), DATA.clone().requires_grad_()
    penalty = gradient_penalty(critic(x, None), x)
    slope = DATA @ (critic.A + critic.A.T) + critic.w
    assert torch.allclose(penalty.double(), (slope**2).sum(1), rtol=1e-6)
    # d/dw Σ |slope|² = 2 Σ slope
    penalty.sum().backward()
    assert torch.allclose(critic.w.grad, 2 * slope.sum(0).detach(), rtol=1e-6)


def test_penalty_enters_the_loss_with_half_gamma():
    model, critic = Line(), Quadratic()
    plain, weighted = (
        CriticLoss(critic, adversarial.NonSaturating(), gamma=gamma) for gamma in (0.0, 0.6)
    )
    torch.manual_seed(0)
    without = plain(model, Batch(DATA))
    torch.manual_seed(0)
    info = weighted(model, Batch(DATA))
    slope = DATA @ (critic.A + critic.A.T) + critic.w
    expected = (slope**2).sum(1).mean().item()
    assert "penalty" not in without
    assert info["penalty"].item() == pytest.approx(expected, rel=1e-6)
    difference = (info["loss"] - without["loss"]).item()
    assert difference == pytest.approx(0.3 * expected, rel=1e-6)


@pytest.mark.parametrize("loss", [adversarial.NonSaturating(), adversarial.Relativistic()])
def test_each_player_moves_its_own_parameters_alone(loss):
    model, critic = Line(), Quadratic()
    CriticLoss(critic, loss, gamma=0.5)(model, Batch(DATA))["loss"].backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in critic.parameters())
    critic.zero_grad()
    critic.requires_grad_(False)
    GeneratorLoss(critic, loss)(model, Batch(DATA))["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert all(p.grad is None for p in critic.parameters())


def test_noise_reaches_real_and_fake_alike():
    seen = []

    def critic(x, condition):
        seen.append(x)
        return x.sum(1)

    class Still(Line):
        def _fakes(self, n, condition):
            return torch.zeros(n, 3, dtype=torch.float64) + 0 * self.b

    rows = torch.zeros(20_000, 3, dtype=torch.float64)
    torch.manual_seed(0)
    CriticLoss(critic, adversarial.Hinge(), noise=0.3)(Still(), Batch(rows))
    GeneratorLoss(critic, adversarial.Hinge(), noise=0.3)(Still(), Batch(rows))
    assert len(seen) == 3
    # the deviation of 60,000 draws strays from 0.3 by 0.004 with probability below 4e-6
    assert all(abs(x.std().item() - 0.3) < 0.004 for x in seen)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="gamma must be at least 0"):
        CriticLoss(Quadratic(), adversarial.Hinge(), gamma=-1.0)
    with pytest.raises(ValueError, match="smoothing must be in"):
        adversarial.NonSaturating(0.7)
    with pytest.raises(ValueError, match="real data, got None"):
        adversarial.Relativistic().generator(FAKE)
