"""Gradients of a layer's contrast and of up–down, against autograd and enumeration."""

import pytest
import torch

from genus import spaces
from genus.engine import Batch
from genus.engine.known import with_gradient
from genus.inference.enumerate import binary_chunks
from genus.models import DeepBeliefNetwork
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.up_down import UpDown
from genus.testing import stiffen
from genus.testing.statistics import assert_follows

BITS, PLANE = spaces.Binary((3,)), spaces.Real((2,))
LINE, SIGMA = spaces.Real((1,)), "stack.layers.0.log_deviation"
LABELS = spaces.Categorical((), 2)
FURTHEST = 5.5


def network(hidden, condition=None, space=BITS, scale=1.5):
    torch.manual_seed(0)
    model = DeepBeliefNetwork(space, hidden, condition=condition, num_steps=20)
    return stiffen(model.double(), scale)


def rows(size):
    return next(binary_chunks(size))


def number(units):
    return (units @ (2.0 ** torch.arange(units.shape[1] - 1, -1, -1).to(units))).long()


def gradients(loss, model):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    pairs = zip(model.named_parameters(), found, strict=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}


LAYERS = {
    "binary": lambda: network((4,)).stack.top,
    "labelled": lambda: network((4,), LABELS).stack.top,
    "gaussian": lambda: network((3,), space=PLANE, scale=1.0).stack.top,
}


def data_of(layer, n=6):
    torch.manual_seed(3)
    u = torch.randn(n, layer.num_units).double()
    if layer.binary:
        u = (u > 0.3).double()
    return Batch(u, torch.arange(n) % 2 if layer.num_labels else None)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("num_chains", [None, 5])
def test_the_gap_has_the_gradient_of_the_free_energies(kind, num_chains):
    """Not centred, by autograd through F at the chains that were used."""
    layer, objective = LAYERS[kind](), LayerContrast(2, num_chains, centred=False)
    batch = data_of(layer)
    objective.start(layer, 6)
    data = layer.joined(batch.x, batch.condition)
    found = objective.contrast(layer, data)
    free = [layer.free_energy_at(v, layer.activation(v)).mean() for v in (data, found.chains)]
    expected = gradients(free[0] - free[1], layer)
    assert found.gap.item() == pytest.approx((free[0] - free[1]).item(), abs=1e-10)
    for name, value in gradients(with_gradient(found.gap, *found.slopes), layer).items():
        assert torch.allclose(value, expected[name], atol=1e-10), name
    assert expected["weights"].abs().max() > 0.01


@pytest.mark.parametrize("kind", LAYERS)
def test_the_centred_gradient_is_the_plain_one_in_other_coordinates(kind):
    """ΔW − μ Δcᵀ − Δb λᵀ, and what it takes from the biases."""
    layer, batch, found = LAYERS[kind](), data_of(LAYERS[kind]()), []
    for centred in (False, True):
        objective = LayerContrast(1, centred=centred)
        torch.manual_seed(1)
        objective.start(layer, 6)
        torch.manual_seed(2)
        found.append(gradients(objective(layer, batch)["loss"], layer))
    plain, other = found
    mu, nu = objective.visible_offset, objective.hidden_offset
    weights = plain["weights"] - torch.outer(mu, plain["hidden_bias"])
    weights = weights - torch.outer(plain["visible_bias"], nu)
    assert torch.allclose(other["weights"], weights, atol=1e-10)
    bias = plain["visible_bias"] - weights @ nu
    assert torch.allclose(other["visible_bias"], bias, atol=1e-10)
    assert torch.allclose(other["hidden_bias"], plain["hidden_bias"] - mu @ weights, atol=1e-10)
    assert nu.abs().max() > 0.1


def test_many_steps_give_the_gradient_of_the_likelihood_of_data_and_label():
    """CD-200 of 20,000 chains against autograd of −log p(u, y) by enumeration."""
    layer = network((3,), LABELS, scale=1.0).stack.top
    batch = data_of(layer, 4)
    many = Batch(batch.x.repeat(5000, 1), batch.condition.repeat(5000))
    objective = LayerContrast(200, centred=False)
    objective.start(layer, 6)
    torch.manual_seed(0)
    found = gradients(objective(layer, many)["loss"], layer)
    units = rows(3).repeat(2, 1)
    every = layer.joined(units, torch.arange(2).repeat_interleave(8))
    log_z = (-layer.free_energy_at(every, layer.activation(every))).logsumexp(0)
    data = layer.joined(batch.x, batch.condition)
    loss = layer.free_energy_at(data, layer.activation(data)).mean() + log_z
    # 20,000 draws of products within [0, 1]: standard error at most 0.5/√20,000 = 0.0035
    for name, value in gradients(loss, layer).items():
        assert torch.allclose(found[name], value, atol=0.02), name


def test_persistent_chains_go_on_from_step_to_step():
    """300 steps from one state, 3,000 chains are at the model's distribution."""
    layer = network((3,), scale=1.5).stack.top
    objective = LayerContrast(1, 3000)
    torch.manual_seed(0)
    objective.start(layer, 4)
    objective.chains.fill_(1.0)
    for _ in range(300):
        found = objective.contrast(layer, rows(3)[:1])
    units = rows(3)
    expected = (-layer.free_energy_at(units, layer.activation(units))).detach().softmax(0)
    counts = torch.bincount(number(found.chains), minlength=8)
    assert_follows(counts, expected, "persistent chains")


def chain_of(top, k):
    """The transition of k Gibbs steps of (u, y), shape (from, to), by sums over h."""
    size, labels = top.num_units, max(1, top.num_labels)
    every = [
        top.joined(rows(size), torch.full((2**size,), y) if top.num_labels else None)
        for y in range(labels)
    ]
    visible, hidden = torch.cat(every), rows(len(top.hidden_bias))
    log_f = visible @ top.visible_bias.unsqueeze(1) + hidden @ top.hidden_bias
    log_f = (log_f + visible @ top.weights @ hidden.T).detach()
    step = log_f.softmax(1) @ log_f.softmax(0).T
    return visible, torch.linalg.matrix_power(step, k)


def enumerated(model, x, label, k):
    """The expected gradient of up–down for one datum, with every draw summed over."""
    stack = model.stack
    sizes = [layer.num_units for layer in stack.layers[1:]]
    hidden = list(rows(sum(sizes)).split(sizes, dim=1))
    awake = [x.expand(len(hidden[0]), -1), *hidden]
    log_q = stack.log_recognised(awake)
    q = log_q.detach().exp()
    wake = -(q * stack.log_generated(awake)).sum()
    visible, transition = chain_of(stack.top, k)
    start = torch.zeros(len(visible)).double()
    start = start.index_add(0, number(hidden[-1]) + label * 2 ** sizes[-1], q)
    end = start @ transition
    free = stack.top.free_energy_at(visible, stack.top.activation(visible))
    gap = start @ free - end @ free
    whole = [BITS.num_dimensions, *sizes]
    dreams = list(rows(sum(whole)).split(whole, dim=1))
    p = stack.log_generated(dreams).detach().exp()
    marginal = end.reshape(-1, 2 ** sizes[-1]).sum(0)
    p = p * marginal[number(dreams[-1])]
    assert p.sum().item() == pytest.approx(1.0, abs=1e-9)
    sleep = -(p * stack.log_recognised(dreams)).sum()
    return wake, sleep, gap


@pytest.mark.parametrize(
    ("hidden", "condition", "k"), [((2, 3), None, 1), ((2, 2, 3), LABELS, 2), ((3, 2), LABELS, 1)]
)
def test_up_down_has_the_enumerated_expected_gradient(hidden, condition, k):
    """Means over 200 batches, each entry within 5.5 standard errors (1 in 250,000 for 60 entries).

    The recognition weights differ from the generative ones, so that none can stand for another.
    """
    model, x = network(hidden, condition), torch.tensor([[1.0, 0.0, 1.0]]).double()
    label = 1 if condition else 0
    parts = enumerated(model, x, label, k)
    expected = gradients(sum(parts), model)
    objective = UpDown(k, centred=False)
    objective.start(model.stack, 100)
    condition = torch.full((100,), label) if condition else None
    batch, draws = Batch(x.expand(100, -1), condition), []
    losses = []
    torch.manual_seed(0)
    for _ in range(200):
        info = objective(model.stack, batch)
        draws.append(gradients(info["loss"], model))
        losses.append([info[name].item() for name in ("wake", "sleep", "gap")])
    for name, value in expected.items():
        several = torch.stack([draw[name] for draw in draws])
        error = several.std(0) / len(draws) ** 0.5
        far = (several.mean(0) - value).abs() - FURTHEST * error - 1e-9
        assert float(far.max()) < 0, f"{name}: {several.mean(0)} expected {value}"
        assert value.abs().max() > 1e-3, name
    means, spread = torch.tensor(losses).mean(0), torch.tensor(losses).std(0) / 200**0.5
    for found, error, part in zip(means, spread, parts, strict=True):
        assert abs(found - part.item()) < FURTHEST * error


def test_up_down_of_real_data_has_the_expected_gradient_by_quadrature():
    """As above; dreams of x are summed over a grid, and σ learns awake alone."""
    model, x = network((2, 3), space=LINE, scale=1.0), torch.tensor([[0.7]]).double()
    stack = model.stack
    with torch.no_grad():
        stack.layer(0).log_deviation.fill_(-0.9)
    h = rows(2)
    awake = [x.expand(4, -1), h]
    q = stack.log_recognised(awake).detach().exp()
    wake = -(q * stack.log_generated(awake)).sum()
    visible, transition = chain_of(stack.top, 1)
    free = stack.top.free_energy_at(visible, stack.top.activation(visible))
    end = q @ transition
    ticks = torch.linspace(-12, 12, 6001, dtype=torch.float64).unsqueeze(1)
    dreams = [ticks.repeat(4, 1), h.repeat_interleave(len(ticks), 0)]
    p = stack.log_generated(dreams).detach().exp() * (24 / 6000)
    p = p * end.repeat_interleave(len(ticks), 0)
    assert p.sum().item() == pytest.approx(1.0, abs=1e-6)
    sleep = -(p * stack.log_recognised(dreams)).sum()
    alone = -(q * stack.log_generated(awake)).sum()
    expected = gradients(wake + sleep + q @ free - end @ free, model)
    expected[SIGMA] = gradients(alone, model)[SIGMA]
    objective = UpDown(1, centred=False)
    objective.start(stack, 100)
    torch.manual_seed(0)
    batch = Batch(x.expand(400, -1))
    draws = [gradients(objective(stack, batch)["loss"], model) for _ in range(200)]
    for name, value in expected.items():
        several = torch.stack([draw[name] for draw in draws])
        error = several.std(0) / len(draws) ** 0.5
        far = (several.mean(0) - value).abs() - FURTHEST * error - 1e-9
        assert float(far.max()) < 0, f"{name}: {several.mean(0)} expected {value}"
        assert value.abs().max() > 1e-3, name


@pytest.mark.parametrize("space", [BITS, PLANE])
def test_wake_sleep_and_top_have_no_parameter_in_common(space):
    model = network((2, 3), space=space)
    x = space.random(8).double()
    objective = UpDown(1, 4)
    objective.start(model.stack, 8)
    info = objective(model.stack, Batch(x))
    moved = {
        part: {n for n, g in gradients(info[part], model).items() if float(g.abs().max()) > 0}
        for part in ("wake", "sleep", "gap")
    }
    generative = {"weights", "visible_bias"} | ({"log_deviation"} if space is PLANE else set())
    assert moved["wake"] == {f"stack.layers.0.{name}" for name in generative}
    assert moved["sleep"] == {"stack.recognisers.0", "stack.layers.0.hidden_bias"}
    assert moved["gap"] == {
        f"stack.layers.1.{p}" for p in ("weights", "visible_bias", "hidden_bias")
    }
    assert set.union(*moved.values()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("cls", [LayerContrast, UpDown])
def test_impossible_counts_are_refused(cls):
    for settings in ({"k": 0}, {"num_chains": 0}):
        with pytest.raises(ValueError, match="must be a positive integer"):
            cls(**settings)
