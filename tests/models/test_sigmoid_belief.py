import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli

from genus import spaces
from genus.engine import Batch, Budget, Descend, Optimiser
from genus.inference.enumerate import binary_chunks
from genus.models import SigmoidBeliefNetwork
from genus.models.variational import sigmoid_belief
from genus.objectives.wake_sleep import VIMCO, WakeSleep
from genus.testing import stiffen
from genus.testing.statistics import assert_follows, assert_mean

DEPTHS = [(3,), (2, 3), (2, 1, 3)]


def small(hidden=(2, 1), visible=3, scale=2.0, **settings) -> SigmoidBeliefNetwork:
    torch.manual_seed(0)
    model = SigmoidBeliefNetwork(spaces.Binary((visible,)), hidden, **settings)
    return stiffen(model.double().eval(), scale)


def every_state(model):
    """Every setting of h₁, ..., h_L, shape (states, units) a layer."""
    sizes = [layer.in_features for layer in model.generator.layers]
    return list(next(binary_chunks(sum(sizes))).split(sizes, dim=1))


def state_number(hidden):
    rows = torch.cat([h.reshape(-1, h.shape[-1]) for h in hidden], 1)
    return (rows @ (2.0 ** torch.arange(rows.shape[1] - 1, -1, -1).double())).long()


def joint_by_hand(model, x, hidden):
    """p(x, h) of one datum and one state as a product of probabilities, unit by unit."""
    layers = [*model.generator.layers]
    total = 1.0
    for unit, log_odds in zip(hidden[-1].tolist(), model.generator.top.tolist(), strict=True):
        p = 1 / (1 + math.exp(-log_odds))
        total *= p if unit else 1 - p
    for layer, below, above in zip(layers, [x, *hidden[:-1]], hidden, strict=True):
        for i, unit in enumerate(below.tolist()):
            terms = [w * a for w, a in zip(layer.weight[i].tolist(), above.tolist(), strict=True)]
            p = 1 / (1 + math.exp(-layer.bias[i].item() - sum(terms)))
            total *= p if unit else 1 - p
    return total


def recognised(model, x, hidden):
    """q(h | x) of one datum and every state, from torch's Bernoulli."""
    total = 0.0
    for layer, below, here in zip(
        model.recogniser.layers, [x.unsqueeze(0), *hidden[:-1]], hidden, strict=True
    ):
        total = total + Bernoulli(logits=layer(below)).log_prob(here).sum(1)
    return total.exp()


def table(model):
    """p(x, h), shape (points, states)."""
    points, states = model.space.points().double(), every_state(model)
    flat = points.unsqueeze(1)
    rows = [
        [joint_by_hand(model, x[0], [h[i] for h in states]) for i in range(len(states[0]))]
        for x in flat
    ]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("hidden", DEPTHS)
@torch.no_grad()
def test_both_directions_equal_enumeration(hidden):
    model = small(hidden)
    points, states = model.space.points().double(), every_state(model)
    joint = table(model)
    assert joint.sum().item() == pytest.approx(1.0, abs=1e-12)
    units = [h.expand(len(points), *h.shape) for h in states]
    assert torch.allclose(model._log_joint(points, units).exp(), joint, atol=1e-12)
    found = model.recogniser.log_prob(points, units).exp()
    expected = torch.stack([recognised(model, x, states) for x in points])
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(found.sum(1), torch.ones(len(points)).double(), atol=1e-12)
    # E_q[p(x, h) / q(h | x)] = p(x)
    assert torch.allclose((found * (joint / expected)).sum(1), joint.sum(1), atol=1e-12)


@pytest.mark.parametrize("hidden", DEPTHS)
@torch.no_grad()
def test_draws_follow_enumeration_and_know_their_probability(hidden):
    """G-tests of p(x, h), p(x), p(h₁) and q(h | x), each with false-alarm rate 1 in 100,000."""
    model = small(hidden)
    joint, states = table(model), every_state(model)
    torch.manual_seed(1)
    drawn = model.generator.draw(20_000)
    counts = torch.bincount(state_number(drawn), minlength=joint.numel())
    assert_follows(counts, joint, "joint draws")
    counts = torch.bincount(state_number([model.sample(20_000, seed=2)]), minlength=8)
    assert_follows(counts, joint.sum(1), "samples")
    codes = state_number([states[0]])
    expected = torch.zeros(2 ** hidden[0]).double().index_add_(0, codes, joint.sum(0))
    counts = torch.bincount(state_number([model.prior(20_000, seed=3)]), minlength=len(expected))
    assert_follows(counts, expected, "codes")
    x = model.space.points().double()[[1, 6]]
    drawn, log_q = model.recogniser.draw(x, 10_000)
    assert torch.allclose(log_q, model.recogniser.log_prob(x, drawn), atol=1e-12)
    for row in range(2):
        counts = torch.bincount(state_number([h[row] for h in drawn]), minlength=joint.shape[1])
        assert_follows(counts, recognised(model, x[row], states), "recognised")


@pytest.mark.parametrize("hidden", DEPTHS)
@torch.no_grad()
def test_codes_are_the_first_layer(hidden):
    model = small(hidden)
    points, states, joint = model.space.points().double(), every_state(model), table(model)
    codes = next(binary_chunks(hidden[0]))
    here = state_number([states[0]])
    both = torch.zeros(8, len(codes)).double().index_add_(1, here, joint)
    assert torch.allclose(model.decode(codes), (both / both.sum(0)).T @ points, atol=1e-12)
    means = torch.stack([recognised(model, x, states) @ states[0] for x in points])
    assert torch.allclose(model.encode(points), means, atol=1e-12)


@pytest.mark.parametrize(
    ("effort", "most", "rows"), [(1, 4096, 6000), (2, 4096, 6000), (3, 2, 1500)]
)
@torch.no_grad()
def test_mean_bound_is_what_enumeration_gives(effort, most, rows, monkeypatch):
    """E[log (1/K) Σ w] over all states of all K draws; false-alarm rate 1 in 100,000 a datum."""
    monkeypatch.setattr(sigmoid_belief, "MOST_ROWS", most)
    model = small()
    points, states, joint = model.space.points().double(), every_state(model), table(model)
    for number in (2, 5):
        q = recognised(model, points[number], states)
        weights = joint[number] / q
        exact = 0.0
        for tuple_ in itertools.product(range(len(q)), repeat=effort):
            picked = list(tuple_)
            exact += q[picked].prod().item() * weights[picked].mean().log().item()
        repeats = points[number].expand(rows, 3)
        assert_mean(model.lower_bound(repeats, effort=effort, seed=1), exact, f"bound of {effort}")
        weight = model.log_weights(repeats[:1], 50_000, seed=2).exp()[0]
        assert_mean(weight, joint[number].sum().item(), "mean weight")


def cells(x, hidden):
    return state_number([x, *hidden])


@pytest.mark.parametrize("hidden", DEPTHS)
@torch.no_grad()
def test_completion_step_leaves_the_exact_conditional_unchanged(hidden):
    """Begins at exact draws of p(h, missing | observed); the recogniser is a poor one."""
    model = small(hidden)
    points, states, joint = model.space.points().double(), every_state(model), table(model)
    joint = torch.where((points[:, 1:2] == 1), joint, 0.0)
    torch.manual_seed(0)
    drawn = torch.multinomial(joint.flatten() / joint.sum(), 20_000, replacement=True)
    x = points[drawn // joint.shape[1]]
    units = [h[drawn % joint.shape[1]] for h in states]
    observed = torch.tensor([False, True, False]).expand_as(x)
    for _ in range(3):
        x, units = model._sweep(x, units, observed)
    assert (x[:, 1] == 1).all()
    counts = torch.bincount(cells(x, units), minlength=joint.numel())
    assert_follows(counts, joint, "after three sweeps")


@torch.no_grad()
def test_proposals_alone_would_not_leave_it_unchanged(monkeypatch):
    """With one proposal the weights matter most: the step is right all the same."""
    monkeypatch.setattr(sigmoid_belief, "NUM_PROPOSALS", 1)
    test_completion_step_leaves_the_exact_conditional_unchanged((2, 3))


@torch.no_grad()
def test_completion_reaches_the_exact_conditional(monkeypatch):
    monkeypatch.setattr(sigmoid_belief, "MOST_ROWS", 16 * 700)
    model = small((2, 3), visible=4, num_sweeps=40)
    points, joint = model.space.points().double(), table(model).sum(1)
    fits = (points[:, 0] == 1) & (points[:, 3] == 0)
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(6000, 4)
    filled = model.complete(x, [True, False, False, True], seed=0)
    counts = torch.bincount((2 * filled[:, 1] + filled[:, 2]).long(), minlength=4)
    assert_follows(counts, joint[fits], "completions")


@pytest.mark.parametrize("most", [64, 4096])
@torch.no_grad()
def test_conditional_log_prob_closes_on_enumeration(most, monkeypatch):
    monkeypatch.setattr(sigmoid_belief, "MOST_ROWS", most)
    model = small((2, 3), visible=4, num_sweeps=20)
    points, p = model.space.points().double(), table(model).sum(1)
    observed = torch.tensor([True, False, False, True])
    x = points[[2, 5, 9, 14]]
    exact = []
    for row in x:
        fits = ((points == row) | ~observed).all(1)
        exact.append((p[(points == row).all(1)] / p[fits].sum()).log())
    found = model.conditional_log_prob(x, observed, effort=20_000, seed=1)
    assert found.sign == "~"
    # 20,000 draws stray by 0.01 to 0.03 nats here
    assert torch.allclose(found.value, torch.cat(exact), atol=0.05)


@pytest.mark.parametrize("objective", [WakeSleep(), WakeSleep(5, "both"), VIMCO(5)])
def test_learning_nears_the_density_of_the_data(objective):
    torch.manual_seed(0)
    bits = torch.bernoulli(torch.full((2000, 1), 0.4))
    x = (bits.expand(2000, 6) + torch.bernoulli(torch.full((2000, 6), 0.05))) % 2
    model = SigmoidBeliefNetwork(spaces.Binary((6,)), (6, 3))
    before = model.lower_bound(x, effort=50, seed=0).mean()
    algorithm = Descend(objective, Optimiser(learning_rate=2e-2), batch_size=50)
    model.fit(x, algorithm=algorithm, budget=Budget(epochs=15))
    after = model.lower_bound(x, effort=50, seed=0).mean()
    entropy = -0.4 * math.log(0.4) - 0.6 * math.log(0.6)
    noise = -6 * (0.05 * math.log(0.05) + 0.95 * math.log(0.95))
    assert before < -4
    assert after > -(entropy + noise) - 0.25


@torch.no_grad()
def test_visible_bias_gives_the_mean_of_the_data():
    torch.manual_seed(0)
    model = SigmoidBeliefNetwork(spaces.Binary((2, 2)), (3, 2))
    mean = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    model.set_visible_bias(mean)
    nothing = model.decode(torch.zeros(1, 3))[0]
    assert torch.allclose(nothing, mean.clamp(0.001, 0.999), atol=1e-6)
    centre = model.recogniser.layers[0](mean.flatten())
    assert torch.allclose(centre, torch.zeros(3), atol=1e-6)
    with pytest.raises(ValueError, match=r"mean must have shape \(2, 2\) and entries 0 to 1"):
        model.set_visible_bias(mean + 1)


def test_half_precision_keeps_float32_losses():
    torch.manual_seed(0)
    model = SigmoidBeliefNetwork(spaces.Binary((6,)), (8, 4))
    with torch.autocast("cpu", torch.bfloat16):
        info = WakeSleep(3, "both")(model, Batch(model.space.random(16)))
        info["loss"].backward()
    assert all(value.dtype == torch.float32 for value in info.values())


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (spaces.Binary((5,)), {"hidden": ()}, r"hidden must be one or more layers .* got \(\)"),
        (spaces.Binary((5,)), {"hidden": (3, 0)}, "hidden must be a positive integer, got 0"),
        (spaces.Binary((5,)), {"hidden": (4.5, 3)}, "hidden must be a positive integer, got 4.5"),
        (spaces.Binary((5,)), {"hidden": ("a",)}, "hidden must be a positive integer, got 'a'"),
        (spaces.Binary((5,)), {"hidden": 5}, "hidden must be one or more layers .* got 5"),
        (spaces.Binary((5,)), {"num_sweeps": 0}, "num_sweeps must be a positive integer, got 0"),
        (spaces.Real((5,)), {}, "space must be Binary, got .*; binarise the data"),
    ],
)
def test_bad_settings_are_named(space, settings, message):
    with pytest.raises(ValueError, match=message):
        SigmoidBeliefNetwork(space, **settings)
