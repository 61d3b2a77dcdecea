import itertools

import pytest
import torch

from genus import spaces
from genus.engine import Alternate, Batch, Budget, Optimiser, Player
from genus.inference.enumerate import binary_chunks
from genus.models import SigmoidBeliefNetwork
from genus.objectives.wake_sleep import VIMCO, Explained, Sleep, WakeSleep, leave_one_out
from genus.testing import stiffen
from genus.testing.statistics import assert_mean

X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


class Given:
    """A model whose draws are given: states of the hidden units by number, and dreams."""

    def __init__(self, model, numbers):
        sizes = [layer.in_features for layer in model.generator.layers]
        states = next(binary_chunks(sum(sizes)))[numbers].unsqueeze(0)
        self.model, self.hidden = model, list(states.split(sizes, dim=2))

    def _explain(self, x, num_samples):
        assert self.hidden[0].shape[1] == num_samples
        log_joint = self.model._log_joint(x, self.hidden)
        return Explained(log_joint, self.model.recogniser.log_prob(x, self.hidden))


def small(hidden=(2, 1), scale=2.0):
    torch.manual_seed(0)
    model = SigmoidBeliefNetwork(spaces.Binary((3,)), hidden)
    return stiffen(model.double().eval(), scale)


def gradient(loss, module):
    parts = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    zeros = (torch.zeros_like(p) for p in module.parameters())
    pairs = zip(parts, zeros, strict=True)
    return torch.cat([(z if g is None else g).flatten() for g, z in pairs])


def probabilities(model):
    """log p(x, h) and log q(h | x) of every state, with their history."""
    count = 2 ** sum(layer.in_features for layer in model.generator.layers)
    log_joint, log_q = Given(model, range(count))._explain(X, count)
    return log_joint[0], log_q[0]


def exact_bound(model, num_samples):
    """E[L] by a sum over all states of all draws, with its history through both networks."""
    log_joint, log_q = probabilities(model)
    states = range(len(log_q))
    numbers = torch.tensor(list(itertools.product(states, repeat=num_samples)))
    bound = (log_joint - log_q)[numbers].logsumexp(1) - torch.tensor(num_samples).log()
    return (log_q[numbers].sum(1).exp() * bound).sum()


def expected_gradient(model, objective, module):
    """E[∇ loss] over all states of all draws."""
    log_q = probabilities(model)[1].detach()
    total = 0.0
    for numbers in itertools.product(range(len(log_q)), repeat=objective.num_samples):
        share = log_q[list(numbers)].sum().exp()
        loss = objective(Given(model, list(numbers)), Batch(X))["loss"]
        total = total + share * gradient(loss, module)
    return total


@pytest.mark.parametrize("num_samples", [2, 3])
def test_vimco_is_unbiased_for_both_networks(num_samples):
    """Its expectation over all states of all draws is the gradient of E[L], to rounding."""
    model = small()
    found = expected_gradient(model, VIMCO(num_samples), model)
    exact = gradient(-exact_bound(model, num_samples), model)
    assert exact.abs().max() > 0.1
    assert torch.allclose(found, exact, atol=1e-10)


@pytest.mark.parametrize("num_samples", [1, 2, 3])
def test_wake_is_unbiased_for_the_bound_of_p(num_samples):
    model = small()
    found = expected_gradient(model, WakeSleep(num_samples, "none"), model.generator)
    exact = gradient(-exact_bound(model, num_samples), model.generator)
    assert exact.abs().max() > 0.1
    assert torch.allclose(found, exact, atol=1e-10)
    still = expected_gradient(model, WakeSleep(num_samples, "none"), model.recogniser)
    assert not still.any()


def test_wake_for_q_is_the_draws_by_their_shares():
    model = small()
    numbers = [1, 4, 6]
    log_joint, log_q = probabilities(model)
    shares = (log_joint - log_q).detach()[numbers].softmax(0)
    loss = WakeSleep(3, "wake")(Given(model, numbers), Batch(X))["loss"]
    exact = gradient(-(shares * log_q[numbers]).sum(), model.recogniser)
    assert torch.allclose(gradient(loss, model.recogniser), exact, atol=1e-12)


def test_wake_tends_to_the_likelihood_and_to_the_posterior():
    """θ to ∇ log p(x), φ to Σ p(h | x) ∇ log q(h | x), with an error that falls with K."""
    model = small()
    log_joint, log_q = probabilities(model)
    likelihood = gradient(-log_joint.logsumexp(0), model.generator)
    log_joint, log_q = probabilities(model)
    posterior = log_joint.detach().softmax(0)
    recognition = gradient(-(posterior * log_q).sum(), model.recogniser)
    errors = []
    for num_samples in (2, 200, 200_000):
        torch.manual_seed(3)
        batch = Batch(X.expand(max(1, 40_000 // num_samples), 3))
        loss = WakeSleep(num_samples, "wake")(model, batch)["loss"]
        slope = gradient(loss, model)
        size = len(likelihood)
        errors.append(((slope[:size] - likelihood).norm(), (slope[size:] - recognition).norm()))
    for first, second, last in zip(*errors, strict=True):
        assert first > 2 * second
        # 200,000 draws stray by some 0.01 here
        assert last < 0.05


def batches(model, objective, module, times=200, rows=100):
    torch.manual_seed(4)
    batch = Batch(X.expand(rows, 3))
    losses = (objective(model, batch)["loss"] for _ in range(times))
    return torch.stack([gradient(loss, module) for loss in losses])


def dreamt(model):
    """E_p[−log q(h | x)] over every x and h, with its history for q."""
    points = model.space.points().double()
    count = 2 ** sum(layer.in_features for layer in model.generator.layers)
    total = 0.0
    for x in points:
        log_joint, log_q = Given(model, range(count))._explain(x.unsqueeze(0), count)
        total = total - (log_joint.detach().exp() * log_q).sum()
    return total


@pytest.mark.parametrize("hidden", [(2, 1), (3,), (2, 1, 2)])
def test_sleep_is_unbiased(hidden):
    """A z-test a parameter over 200 batches, each with false-alarm rate 1 in 100,000."""
    model = small(hidden)
    exact = gradient(dreamt(model), model.recogniser)
    for objective in (Sleep(), WakeSleep()):
        found = batches(model, objective, model.recogniser)
        for number, value in enumerate(exact.tolist()):
            assert_mean(found[:, number], value, f"parameter {number} of {objective}")
    moved = batches(model, Sleep(), model.generator, times=2)
    assert not moved.any()


def test_both_phases_move_q_by_half_of_either():
    """Expectations of the phases by enumeration; z-tests of 1 in 100,000 a parameter."""
    model = small()
    asleep = gradient(dreamt(model), model.recogniser)
    awake = expected_gradient(model, WakeSleep(2, "wake"), model.recogniser)
    found = batches(model, WakeSleep(2, "both"), model.recogniser)
    for number, value in enumerate(((asleep + awake) / 2).tolist()):
        assert_mean(found[:, number], value, f"parameter {number}")


@pytest.mark.parametrize("objective", [VIMCO(3), WakeSleep(3, "none")])
def test_own_draws_give_the_exact_gradient(objective):
    """With the model's own draws; z-tests of 1 in 100,000 a parameter."""
    model = small()
    module = model if isinstance(objective, VIMCO) else model.generator
    exact = gradient(-exact_bound(model, 3), module)
    found = batches(model, objective, module)
    for number, value in enumerate(exact.tolist()):
        assert_mean(found[:, number], value, f"parameter {number}")


def test_loss_is_the_bound_whatever_moves_q():
    model = small()
    numbers = [5, 0, 3, 3]
    log_joint, log_q = probabilities(model)
    weights = (log_joint - log_q)[numbers]
    share = weights.softmax(0)
    for objective in (VIMCO(4), WakeSleep(4, "wake"), WakeSleep(4, "none")):
        info = objective(Given(model, numbers), Batch(X))
        assert info["loss"].item() == pytest.approx(-weights.exp().mean().log().item(), abs=1e-12)
        effective = 1 / share.square().sum().item()
        assert info["effective_samples"].item() == pytest.approx(effective, abs=1e-12)
    torch.manual_seed(0)
    info = WakeSleep(4, "both")(model, Batch(X))
    torch.manual_seed(0)
    assert torch.equal(info["loss"], VIMCO(4)(model, Batch(X))["loss"])
    assert info["sleep"].item() > 0


def test_baseline_leaves_out_its_own_draw():
    weights = torch.tensor([[-800.0, -801.0, 3.0], [0.0, -2.0, 1.0]]).double()
    found = leave_one_out(weights)
    for row, values in enumerate(weights):
        for k in range(3):
            others = torch.cat([values[:k], values[k + 1 :]])
            replaced = torch.cat([others, others.mean().reshape(1)])
            expected = replaced.logsumexp(0) - torch.tensor(3.0).double().log()
            assert found[row, k].item() == pytest.approx(expected.item(), abs=1e-12)


def test_wake_and_sleep_can_take_turns():
    torch.manual_seed(0)
    bits = torch.bernoulli(torch.full((500, 1), 0.4))
    x = (bits.expand(500, 6) + torch.bernoulli(torch.full((500, 6), 0.05))) % 2
    model = SigmoidBeliefNetwork(spaces.Binary((6,)), (5, 2))
    before = model.lower_bound(x, effort=50, seed=0).mean()
    players = [
        Player(
            "wake", lambda m: m.generator, WakeSleep(recognition="none"), Optimiser("adam", 0.02)
        ),
        Player("sleep", lambda m: m.recogniser, Sleep(), Optimiser("adam", 0.02)),
    ]
    model.fit(x, algorithm=Alternate(players, batch_size=50), budget=Budget(epochs=15))
    assert model.lower_bound(x, effort=50, seed=0).mean() > before + 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WakeSleep(0), "num_samples must be at least 1, got 0"),
        (lambda: WakeSleep(1, "wake"), "give num_samples of at least 2, or recognition='sleep'"),
        (lambda: WakeSleep(5, "dream"), "recognition must be one of 'sleep', .*, got 'dream'"),
        (lambda: VIMCO(1), "num_samples must be at least 2, got 1"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
