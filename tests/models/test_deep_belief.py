import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.utils.flop_counter import FlopCounterMode

from genus import spaces
from genus.engine import Batch, Budget, Callback, Optimiser, Progress, Tensors, run
from genus.inference.enumerate import binary_chunks
from genus.models import DeepBeliefNetwork
from genus.models.boltzmann.greedy import GreedyLayer, settle
from genus.models.boltzmann.layer import BinaryLayer, GaussianLayer
from genus.models.boltzmann.layer_path import LayerPath, LogPartitions
from genus.objectives.layer_contrast import LayerContrast
from genus.testing import lopsided, stiffen
from genus.testing.statistics import assert_follows, assert_mean

BITS, PLANE = spaces.Binary((3,)), spaces.Real((2,))
LABELS = spaces.Categorical((), 3)
SHAPES = [((2,), None), ((2,), LABELS), ((2, 3), None), ((3, 2, 4), LABELS)]


def network(hidden=(2, 3), condition=None, space=BITS, scale=2.5, **settings):
    torch.manual_seed(0)
    settings = {"num_steps": 100} | settings
    model = DeepBeliefNetwork(space, hidden, condition=condition, **settings)
    return stiffen(model.double().eval(), scale)


def rows(size):
    return next(binary_chunks(size))


def number(states):
    joined = torch.cat(states, 1)
    return (joined @ (2.0 ** torch.arange(joined.shape[1] - 1, -1, -1).to(joined))).long()


def energy(layer, u, y, h):
    """E(u, y, h) of a layer of binary units, term by term."""
    total = -sum(b * a for b, a in zip(layer.visible_bias.tolist(), u, strict=False))
    total -= sum(c * a for c, a in zip(layer.hidden_bias.tolist(), h, strict=True))
    for i, weights in enumerate(layer.weights.tolist()):
        here = u[i] if i < len(u) else float(y == i - len(u))
        total -= here * sum(w * a for w, a in zip(weights, h, strict=True))
    return total - (layer.visible_bias[len(u) + y].item() if y is not None else 0.0)


def top_table(model):
    """p(u, y, h_L) of the top pair, shape (labels, states of u, states of h)."""
    top = model.stack.top
    units, hidden = rows(top.num_units).tolist(), rows(len(top.hidden_bias)).tolist()
    labels = range(top.num_labels) if top.num_labels else [None]
    table = torch.tensor(
        [[[-energy(top, u, y, h) for h in hidden] for u in units] for y in labels]
    ).double()
    return (table - table.flatten().logsumexp(0)).exp()


def all_states(model):
    """Every setting of x, h₁, ..., u."""
    sizes = [layer.num_units for layer in model.stack.layers]
    return list(rows(sum(sizes)).split(sizes, dim=1))


def joint(model, label=None):
    """p(x, h₁, ..., u | label) of every state, shape (states,)."""
    states, table = all_states(model), top_table(model).sum(2)
    marginal = table[0 if label is None else label]
    total = (marginal / marginal.sum())[number([states[-1]])]
    for layer, below, above in zip(model.stack.layers, states, states[1:], strict=False):
        odds = layer.visible_bias + above @ layer.weights.T
        total = total * Bernoulli(logits=odds).log_prob(below).sum(1).exp()
    return total


def recognised(model):
    """q(h₁, ..., u | x) of every state."""
    states, total = all_states(model), 1.0
    pairs = zip(model.stack.layers, model.stack.recognisers, states, states[1:], strict=False)
    for layer, weights, below, above in pairs:
        odds = layer.hidden_bias + below @ weights
        total = total * Bernoulli(logits=odds).log_prob(above).sum(1).exp()
    return total


def over_data(model, values):
    """Sums over all but x, shape (8,)."""
    return torch.zeros(8).double().index_add(0, number([all_states(model)[0]]), values)


def given(condition, n, label=1):
    return None if condition is None else torch.full((n,), label)


@pytest.mark.parametrize(("hidden", "condition"), SHAPES)
@torch.no_grad()
def test_both_directions_equal_enumeration(hidden, condition):
    model = network(hidden, condition)
    states, stack = all_states(model), model.stack
    labels = given(condition, len(states[0]))
    truth = joint(model, None if condition is None else 1)
    assert truth.sum().item() == pytest.approx(1.0, abs=1e-10)
    log_z = model._partition(len(hidden), labels)[0]
    free = stack.free_energy(states[-1].unsqueeze(1), len(hidden), labels).squeeze(1)
    found = stack.log_generated(states) - free - log_z
    assert torch.allclose(found.exp(), truth, atol=1e-10)
    if len(hidden) > 1:
        assert torch.allclose(stack.log_recognised(states).exp(), recognised(model), atol=1e-12)


@pytest.mark.parametrize(("hidden", "condition"), SHAPES)
@torch.no_grad()
def test_the_bound_is_its_expectation_under_q_and_closes(hidden, condition):
    """E[log w] is Σ q (log p(x, h) − log q), and log (1/K) Σ w tends to log p(x)."""
    model, points = network(hidden, condition, scale=1.8), BITS.points().double()
    label = None if condition is None else 1
    truth = over_data(model, joint(model, label)).log()
    if len(hidden) == 1:
        found = model.lower_bound(points, condition=given(condition, 8), seed=1)
        assert torch.allclose(found, truth, atol=1e-9)
        return
    q = recognised(model)
    expected = over_data(model, q * (joint(model, label).log() - q.log()))
    assert bool((expected < truth).all())
    weights = model.log_weights(points, 4000, condition=given(condition, 8), seed=2)
    for x in range(8):
        assert_mean(weights[x], expected[x].item(), f"bound of {x}")
    tight = model.lower_bound(points, effort=100_000, condition=given(condition, 8), seed=3)
    assert torch.allclose(tight, truth, atol=0.05)


@torch.no_grad()
def test_a_layer_that_begins_as_a_transpose_leaves_the_bound_where_it_is():
    model = network((2, 3, 2))
    for layer in (0, 1):
        settle(model.stack, layer, torch.full((model.hidden[layer],), 0.3))
    bounds = model.layer_bounds(BITS.points().double(), effort=3, seed=1).value
    machine = model.stack.layer(0)
    first = -machine.free_energy_at(
        BITS.points().double(), machine.activation(BITS.points().double())
    )
    first = first - first.logsumexp(0)
    assert torch.allclose(bounds, first.unsqueeze(1).expand(-1, 3), atol=1e-9)
    assert not torch.allclose(first, first.mean().expand(8), atol=0.1)


@torch.no_grad()
def test_layer_bounds_are_those_of_shorter_networks():
    model = network((2, 3, 4), LABELS)
    points = BITS.points().double()
    bounds = model.layer_bounds(points, effort=2, condition=given(LABELS, 8), seed=5).value
    short = network((2, 3))
    for layer in range(2):
        short.stack.layers[layer].load_state_dict(model.stack.layers[layer].state_dict())
    short.stack.recognisers[0].copy_(model.stack.recognisers[0])
    assert torch.allclose(bounds[:, 0], over_data_of_machine(model), atol=1e-9)
    assert torch.allclose(bounds[:, 1], short.lower_bound(points, effort=2, seed=5), atol=1e-9)
    whole = model.log_weights(points, 50_000, condition=given(LABELS, 8), seed=1).mean(1)
    several = torch.stack(
        [
            model.layer_bounds(points, condition=given(LABELS, 8), seed=s).value[:, 2]
            for s in range(300)
        ]
    )
    for x in range(8):
        assert_mean(several[:, x], whole[x].item(), f"bound of {x}", slack=0.05)


def over_data_of_machine(model):
    """log p(x) of the lowest layer alone, term by term."""
    layer = model.stack.layer(0)
    hidden = rows(len(layer.hidden_bias)).tolist()
    table = [[-energy(layer, x, None, h) for h in hidden] for x in BITS.points().tolist()]
    log_f = torch.tensor(table).double().logsumexp(1)
    return log_f - log_f.logsumexp(0)


@pytest.mark.parametrize(("hidden", "condition"), SHAPES)
@torch.no_grad()
def test_samples_follow_the_enumerated_conditional(hidden, condition):
    """G-tests, each with false-alarm rate 1 in 100,000; every label at once."""
    model = network(hidden, condition, scale=1.8)
    count = 3 if condition else 1
    labels = None if condition is None else torch.arange(3).repeat_interleave(6000)
    drawn = model.sample(6000 * count, condition=labels, seed=1)
    for label, part in enumerate(number([drawn]).split(6000)):
        expected = over_data(model, joint(model, label if condition else None))
        assert_follows(torch.bincount(part, minlength=8), expected, f"samples of {label}")
    codes = number([model.prior(6000, seed=2)])
    expected = top_table(model).sum((0, 1))
    assert_follows(torch.bincount(codes, minlength=len(expected)), expected, "codes")


@pytest.mark.parametrize(("hidden", "condition"), SHAPES)
@torch.no_grad()
def test_completions_follow_the_enumerated_conditional(hidden, condition):
    """G-tests of p(x₁, x₃ | x₂ = 1), each with false-alarm rate 1 in 100,000."""
    model = network(hidden, condition, scale=1.8, num_sweeps=25)
    labels = None if condition is None else torch.full((2000,), 2)
    x = torch.tensor([[0.0, 1.0, 0.0]]).double().expand(2000, -1)
    drawn = model.complete(x, torch.tensor([False, True, False]), condition=labels, seed=1)
    expected = over_data(model, joint(model, None if condition is None else 2))
    expected = torch.where(BITS.points()[:, 1] == 1, expected, 0.0)
    assert_follows(torch.bincount(number([drawn]), minlength=8), expected, "completions")


@pytest.mark.parametrize(("hidden", "condition"), SHAPES[2:])
@torch.no_grad()
def test_a_retry_leaves_the_posterior_of_the_hidden_units_unchanged(hidden, condition):
    """G-tests of h given x₂ = 1, x₃ = 0, from exact draws; false alarms 1 in 100,000."""
    model = network(hidden, condition, scale=2.0)
    states, label = all_states(model), None if condition is None else 2
    observed = torch.tensor([False, True, True])
    shown = (states[0][:, 1] == 1) & (states[0][:, 2] == 0)
    p = torch.where(shown, joint(model, label), 0.0)
    torch.manual_seed(1)
    start = torch.multinomial(p / p.sum(), 20_000, replacement=True)
    x, *hidden = (units[start] for units in states)
    x = torch.where(observed, x, 1 - x)  # what is missing is not looked at
    top = model.stack.top
    labels = None if condition is None else torch.full((20_000,), label)
    path = LayerPath(top, top.biases_of(labels))
    moved = hidden
    for _ in range(3):
        moved = model.stack.retry(x, observed, moved, path)
    sizes = sum(units.shape[1] for units in hidden)
    expected = torch.zeros(2**sizes).double().index_add(0, number(states[1:]), p / p.sum())
    assert_follows(torch.bincount(number(moved), minlength=2**sizes), expected, "hidden units")
    for before, after in zip(hidden, moved, strict=True):
        assert (before != after).any(1).double().mean() > 0.05


@pytest.mark.parametrize(("hidden", "condition"), SHAPES[2:])
@torch.no_grad()
def test_completions_do_not_need_a_good_recogniser(hidden, condition):
    """As above, with q the wrong way round."""
    model = network(hidden, condition, scale=2.5, num_sweeps=60)
    for recogniser, layer in zip(model.stack.recognisers, model.stack.layers, strict=False):
        recogniser.copy_(-2 * layer.weights)
    labels = None if condition is None else torch.full((2000,), 2)
    x = torch.tensor([[0.0, 1.0, 0.0]]).double().expand(2000, -1)
    drawn = model.complete(x, torch.tensor([False, True, False]), condition=labels, seed=1)
    expected = over_data(model, joint(model, None if condition is None else 2))
    expected = torch.where(BITS.points()[:, 1] == 1, expected, 0.0)
    assert_follows(torch.bincount(number([drawn]), minlength=8), expected, "completions")


@torch.no_grad()
def test_classify_equals_enumeration():
    one = network((4,), LABELS)
    points = BITS.points().double()
    table = top_table(one).sum(2).T
    assert torch.allclose(one.classify(points), table / table.sum(1, keepdim=True), atol=1e-10)
    deep = network((2, 3), LABELS)
    deep.stack.top.visible_bias[2:] = 0.0
    means = (points @ deep.stack.recognisers[0] + deep.stack.layer(0).hidden_bias).sigmoid()
    hidden = rows(3).tolist()
    terms = [
        [[-energy(deep.stack.top, u, y, h) for h in hidden] for y in range(3)]
        for u in means.tolist()
    ]
    expected = torch.tensor(terms).double().logsumexp(2).softmax(1)
    assert torch.allclose(deep.classify(points), expected, atol=1e-10)
    assert float((expected - expected.mean(0)).abs().max()) > 0.005


@torch.no_grad()
def test_features_are_means_passed_up():
    x = BITS.points().double()
    model = network((2, 3))
    stack = model.stack
    first = (x @ stack.recognisers[0] + stack.layer(0).hidden_bias).sigmoid()
    last = (first @ stack.top.weights + stack.top.hidden_bias).sigmoid()
    assert torch.allclose(model.features(x), last)
    assert torch.allclose(model.encode(x), last)
    assert torch.allclose(model.features(x, layers="all"), torch.cat([first, last], 1))
    labelled = network((2, 3), LABELS)
    mixed = sum(
        labelled.classify(x)[:, [y]] * labelled.encode(x, condition=given(LABELS, 8, y))
        for y in range(3)
    )
    assert torch.allclose(labelled.features(x), mixed)
    with pytest.raises(ValueError, match="'last' or 'all'"):
        model.features(x, layers="first")


@pytest.mark.parametrize("condition", [None, LABELS])
def test_features_cost_one_product_a_layer_and_come_in_blocks(condition, monkeypatch):
    model = network((20, 30), condition, space=spaces.Binary((40,)))
    x = model.space.random(7).double()
    whole = model.features(x, layers="all")
    with FlopCounterMode(display=False) as counter:
        model.features(x)
    labels = 2 * 7 * 3 * 30 if condition else 0
    assert counter.get_total_flops() == 2 * 7 * (40 * 20 + 20 * 30) + labels
    seen, means = [], model.stack.means
    monkeypatch.setattr("genus.models.boltzmann.deep_belief.MOST_ROWS", 3)
    monkeypatch.setattr(model.stack, "means", lambda rows: seen.append(len(rows)) or means(rows))
    assert torch.allclose(model.features(x, layers="all"), whole)
    assert seen == [3, 3, 1]


@pytest.mark.parametrize("condition", [None, LABELS])
@torch.no_grad()
def test_conditionals_of_a_binary_layer_equal_enumeration(condition):
    top = network((2, 3), condition).stack.top
    labels = range(3) if condition else [None]
    for y in labels:
        for u in rows(2):
            v = top.joined(u.unsqueeze(0), None if y is None else torch.tensor([y]))
            without = energy(top, u.tolist(), y, [0.0, 0.0, 0.0])
            for j in range(3):
                h = [float(i == j) for i in range(3)]
                found = top.activation(v)[0, j].item()
                assert found == pytest.approx(without - energy(top, u.tolist(), y, h), abs=1e-9)
            terms = [-energy(top, u.tolist(), y, h) for h in rows(3).tolist()]
            free = top.free_energy_at(v, top.activation(v)).item()
            assert free == pytest.approx(-torch.tensor(terms).double().logsumexp(0).item())
    torch.manual_seed(0)
    h = torch.tensor([[1.0, 0.0, 1.0]]).double()
    drawn = top.draw_visible(top.field(h).expand(20_000, -1))
    names = number([drawn[:, :2]])
    if condition:
        names = names + 4 * drawn[:, 2:].argmax(1)
        assert torch.equal(drawn[:, 2:].sum(1), torch.ones(20_000).double())
    terms = [-energy(top, u, y, h[0].tolist()) for y in labels for u in rows(2).tolist()]
    expected = torch.tensor(terms).double().softmax(0)
    assert_follows(torch.bincount(names, minlength=len(expected)), expected, "visible side")


@torch.no_grad()
def test_a_gaussian_layer_equals_quadrature():
    layer = network((3,), space=PLANE, scale=1.5).stack.top
    ticks = torch.linspace(-25, 25, 1601).double()
    grid = torch.cartesian_prod(ticks, ticks) * layer.deviation
    log_f = -layer.free_energy_at(grid, layer.activation(grid))
    area = 2 * math.log(ticks[1] - ticks[0]) + layer.log_deviation.sum().item()
    found = layer.log_partition_exact(layer.hidden_bias)
    assert found.item() == pytest.approx(log_f.logsumexp(0).item() + area, abs=1e-6)
    u, h, spread = torch.tensor([[0.3, -1.2]]).double(), rows(3), layer.deviation
    scaled = u / spread
    log_joint = scaled @ layer.weights @ h.T + h @ layer.hidden_bias
    log_joint = log_joint - 0.5 * ((scaled - layer.visible_bias) ** 2).sum()
    free = layer.free_energy_at(u, layer.activation(u))
    assert -free.item() == pytest.approx(log_joint.logsumexp(1).item(), abs=1e-9)
    expected = log_joint.softmax(1) @ h
    assert torch.allclose(layer.activation(u).sigmoid(), expected, atol=1e-9)
    means = layer.mean_units(layer.field(h))
    likelihood = Normal(means, spread).log_prob(u).sum(1)
    assert torch.allclose(layer.log_units(u, layer.field(h)), likelihood, atol=1e-9)
    # log p(u, h) − log p(u | h) = log p(h) does not depend on u
    other = scaled + 1.7
    elsewhere = other @ layer.weights @ h.T + h @ layer.hidden_bias
    elsewhere = elsewhere - 0.5 * ((other - layer.visible_bias) ** 2).sum()
    again = Normal(means, spread).log_prob(spread * other).sum(1)
    assert torch.allclose(log_joint - likelihood, elsewhere - again, atol=1e-9)
    torch.manual_seed(1)
    drawn = layer.draw_units(layer.field(h[5:6]).expand(20_000, -1))
    for i in range(2):
        assert_mean(drawn[:, i], means[5, i].item(), "mean")
        assert_mean((drawn[:, i] - means[5, i]) ** 2, spread[i].item() ** 2, "variance")


@pytest.mark.parametrize(
    "made",
    [
        lambda: network((2, 5), LABELS).stack.top,
        lambda: network((4,)).stack.top,
        lambda: network((3,), space=PLANE, scale=1.2).stack.top,
    ],
)
@torch.no_grad()
def test_log_partitions_are_annealed_from_both_sides(made, monkeypatch):
    layer = made()
    exact = LogPartitions(100, 200, 400).of(layer)
    assert float(exact.standard_error.abs().max()) == 0
    monkeypatch.setattr("genus.models.boltzmann.layer_path.SMALL", 0)
    partitions = LogPartitions(100, 200, 400)
    up, down = partitions.of(layer), partitions.of(layer, reverse=True)
    for found in (up, down):
        assert bool(((found.value - exact.value).abs() < 5 * found.standard_error).all())
    assert bool((up.bound - 4 * up.bound_error < exact.value).all())
    assert bool((down.bound + 4 * down.bound_error > exact.value).all())
    assert partitions.of(layer) is up
    layer.hidden_bias.add_(0.5)
    moved = partitions.of(layer)
    assert moved is not up
    assert not torch.allclose(moved.value, up.value, atol=0.05)


@torch.no_grad()
def test_a_gibbs_step_leaves_the_clamped_top_unchanged():
    """G-test of u after a step, from exact draws of p(u | y)."""
    top = network((2, 3), LABELS, scale=2.0).stack.top
    table = top_table(network((2, 3), LABELS, scale=2.0)).sum(2)[2]
    torch.manual_seed(0)
    u = rows(2)[torch.multinomial(table / table.sum(), 40_000, replacement=True)]
    path = LayerPath(top, top.biases_of(torch.tensor([2])))
    moved = path.move(path.at(u), 1.0).visible
    assert_follows(torch.bincount(number([moved]), minlength=4), table, "u")


def test_each_stage_moves_its_own_layer_only():
    torch.manual_seed(0)
    data, model = lopsided(spaces.Binary((5,))), DeepBeliefNetwork(spaces.Binary((5,)), (4, 5, 4))
    algorithm = model.algorithm(num_chains=10, batch_size=40, up_down=1.0)
    algorithm.start(model)
    seen = []
    for step in range(8):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        algorithm.step(Batch(data[:40]), Progress(step=step, total_steps=8))
        after = model.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        seen.append(moved)
        if step % 2 == 1 and step < 6:
            stage = step // 2
            assert all(name.startswith(f"stack.layers.{stage}.") for name in moved), moved
            held = algorithm.answers()
            if stage < 2:
                name = f"stack.recognisers.{stage}"
                assert torch.equal(held[name], after[f"stack.layers.{stage}.weights"])
    for step, stage in ((2, 0), (4, 1)):
        tied = {f"stack.recognisers.{stage}"}
        others = {name for name in seen[step] if not name.startswith(f"stack.layers.{stage + 1}.")}
        assert others == tied
    assert len(seen[6] | seen[7]) == len(dict(model.named_parameters()))


def test_a_stage_ends_with_tied_weights_and_a_transposed_beginning():
    torch.manual_seed(0)
    data, model = lopsided(spaces.Binary((5,))), DeepBeliefNetwork(spaces.Binary((5,)), (4, 5))
    algorithm = model.algorithm(num_chains=10, batch_size=40, learning_rate=(0.5, 1e-9))
    model.fit(data, algorithm=algorithm, epochs=20, device="cpu")
    layer, above = model.stack.layers
    assert torch.equal(model.stack.recognisers[0], layer.weights)
    assert torch.allclose(above.weights, layer.weights.T, atol=1e-6)
    assert torch.allclose(above.visible_bias, layer.hidden_bias, atol=1e-6)
    assert torch.allclose(above.hidden_bias, layer.visible_bias, atol=1e-6)
    assert layer.weights.abs().max() > 0.05


@torch.no_grad()
def test_a_layer_that_fits_no_transpose_begins_at_the_mean_of_the_units_below():
    """Below are 40 uneven units that are all but independent: the bound hardly moves."""
    torch.manual_seed(0)
    space = spaces.Binary((30,))
    model = DeepBeliefNetwork(space, (40, 5)).double()
    lowest, above = model.stack.layer(0), model.stack.layer(1)
    lowest.weights.copy_(0.02 * torch.randn(30, 40))
    lowest.hidden_bias.copy_(torch.linspace(-4, 4, 40))
    x = torch.bernoulli(torch.full((400, 30), 0.5)).double()
    mean = lowest.activation(x).sigmoid().mean(0)
    settle(model.stack, 0, mean)
    assert torch.equal(above.unit_mean, mean)
    assert torch.allclose(above.unit_bias.sigmoid(), mean, atol=1e-3)
    annealed = DeepBeliefNetwork(space, (40,)).double()
    annealed.stack.layer(0).load_state_dict(lowest.state_dict())
    before = float(annealed.log_prob(x).mean())
    after = model.layer_bounds(x, effort=20, seed=0).value[:, 1].mean()
    # both log Z are annealed or summed to 0.01; with biases of 0 the bound falls by 13 nats
    assert float(after) == pytest.approx(before, abs=0.3)
    above.visible_bias.zero_()
    fallen = model.layer_bounds(x, effort=20, seed=0).value[:, 1].mean()
    assert float(fallen) < before - 5


@pytest.mark.parametrize("centred", [True, False])
def test_the_layer_above_begins_with_what_the_one_below_has_averaged(centred):
    torch.manual_seed(0)
    data, model = lopsided(spaces.Binary((5,))), DeepBeliefNetwork(spaces.Binary((5,)), (4, 3))
    learner = GreedyLayer(0, LayerContrast(centred=centred), Optimiser("sgd", 1e-9), batch_size=40)
    with torch.no_grad():
        model.stack.layer(0).weights.normal_(std=2.0)
        model.stack.layer(0).hidden_bias.copy_(torch.tensor([-3.0, -1.0, 1.0, 3.0]))
    learner.start(model.stack)
    for step in range(6):
        batch = Batch(data[40 * step : 40 * step + 40])
        learner.step(batch, Progress(step=step, total_steps=6))
    learner.finish()
    layer, above = model.stack.layer(0), model.stack.layer(1)
    mean = layer.activation(data[:240]).sigmoid().mean(0)
    assert torch.allclose(above.unit_mean, mean, atol=1e-5)
    assert torch.allclose(above.unit_bias, mean.logit(), atol=1e-3)
    assert above.unit_bias.abs().max() > 1


@pytest.mark.parametrize("cut", [1, 3, 5, 7])
def test_a_run_cut_in_any_stage_ends_with_the_same_weights(cut, tmp_path):
    class Cut(Callback):
        def after_step(self, run, info):
            if run.progress.step == cut:
                run.save(tmp_path / "cut.safetensors")

    data, space = lopsided(spaces.Binary((5,))), spaces.Binary((5,))
    ends = []
    for resume in (None, tmp_path / "cut.safetensors"):
        torch.manual_seed(0)
        model = DeepBeliefNetwork(space, (4, 5, 4), condition=LABELS)
        source = Tensors(data, space, condition=torch.arange(240) % 3, condition_space=LABELS)
        algorithm = model.algorithm(num_chains=10, batch_size=40, up_down=1.0)
        callbacks = [Cut()] if resume is None else []
        run(
            model,
            source,
            algorithm,
            budget=Budget(steps=8),
            callbacks=callbacks,
            device="cpu",
            resume=resume,
        )
        ends.append(model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_the_bound_grows_with_a_layer_that_learns():
    """Four words of 12 bits, one of them common, 1 % of the bits wrong: −H = −1.585 nats.

    Contrastive divergence finds the words, not how common they are; independent bits have −4.85.
    """
    generator = torch.Generator().manual_seed(0)
    words = (torch.rand(4, 12, generator=generator) < 0.5).float()
    shares = torch.tensor([0.7, 0.15, 0.1, 0.05])
    chosen = torch.multinomial(shares, 3000, replacement=True, generator=generator)
    wrong = (torch.rand(3000, 12, generator=generator) < 0.01).float()
    x, bounds = (words[chosen] - wrong).abs(), {}
    for rate in (0.3, 1e-9):
        torch.manual_seed(0)
        model = DeepBeliefNetwork(spaces.Binary((12,)), (6, 10))
        model.set_visible_bias(x.mean(0))
        algorithm = model.algorithm(learning_rate=(1.0, rate), num_chains=None)
        model.fit(x, algorithm=algorithm, epochs=20, device="cpu")
        bounds[rate] = model.layer_bounds(x[:500], effort=50, seed=1).value.mean(0).tolist()
    first, learnt = bounds[0.3]
    # of 16 seeds the first layer came to -3.85 to -2.95
    assert first > -4.2
    assert first + 0.5 < learnt < -1.585 + 0.15
    same, frozen = bounds[1e-9]
    assert same == pytest.approx(first, abs=1e-4)
    assert frozen < learnt - 0.4


def test_real_data_are_learnt():
    x = lopsided(spaces.Real((2,)), 1000)
    torch.manual_seed(0)
    model = DeepBeliefNetwork(spaces.Real((2,)), (8, 8))
    model.set_visible_bias(x.mean(0), x.std(0))
    before = model.lower_bound(x, effort=20, seed=1).mean()
    algorithm = model.algorithm(learning_rate=(0.1, 0.5), up_down=0.5, num_chains=100)
    model.fit(x, algorithm=algorithm, epochs=60, device="cpu")
    assert model.lower_bound(x, effort=20, seed=1).mean() > before + 0.3


def test_clusters_of_reals_are_learnt_at_the_defaults():
    """Four clusters at corners of a cube, whose entries are not correlated; −h(x) is known.

    −h = −log 4 − 3 (½ log 2πe + log 0.3) = −2.03 nats; one Gaussian has −6.37.
    """
    generator = torch.Generator().manual_seed(0)
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    some = torch.randint(4, (4000,), generator=generator)
    x = 2.0 * corners[some] + 0.3 * torch.randn(4000, 3, generator=generator)
    torch.manual_seed(0)
    model = DeepBeliefNetwork(spaces.Real((3,)), (20, 20))
    model.set_visible_bias(x.mean(0), x.std(0))
    model.fit(x, epochs=50, device="cpu")
    found = float(model.lower_bound(x[:500], effort=20, seed=1).mean())
    # the mean of the true log p over 500 points has standard error √(1.5 / 500) = 0.055
    assert -4.0 < found < -2.03 + 0.25
    assert model.stack.layer(0).deviation.max() < 0.6


def test_impossible_arguments_are_refused():
    for hidden in ((), (0,), (4, -1), 5, (4.5, 3), ("a",), "44", None):
        with pytest.raises(ValueError, match="hidden must be one or more layers"):
            DeepBeliefNetwork(BITS, hidden)
    with pytest.raises(ValueError, match="Binary or Real"):
        DeepBeliefNetwork(spaces.Categorical((3,), 4))
    with pytest.raises(ValueError, match="Categorical"):
        DeepBeliefNetwork(BITS, (3,), condition=spaces.Categorical((2,), 4))
    with pytest.raises(ValueError, match="at least two layers"):
        DeepBeliefNetwork(PLANE, (3,), condition=LABELS)
    with pytest.raises(ValueError, match="num_temperatures"):
        DeepBeliefNetwork(BITS, (3,), num_temperatures=1)
    model = network((2, 3), LABELS)
    with pytest.raises(ValueError, match="3 numbers for 2 layers"):
        model.algorithm(learning_rate=(0.1, 0.1, 0.1))
    for rates in ([0.1], [0.1] * 3, (0.1, "a"), "0.1", (0.1, 0.0), -1.0, float("nan"), None):
        with pytest.raises(ValueError, match="learning_rate"):
            model.algorithm(learning_rate=rates)
    given = model.algorithm(learning_rate=[0.1, 0.2]).stages
    assert [stage.algorithm.settings.learning_rate for stage in given] == [0.1, 0.2]
    for share in (-1.0, float("inf"), float("nan"), "a"):
        with pytest.raises(ValueError, match="up_down"):
            model.algorithm(up_down=share)
    with pytest.raises(ValueError, match="k must"):
        model.algorithm(k=0)
    for wrong in (3, -1, torch.tensor([0.2, 0.5, 0.3]), torch.eye(3)):
        with pytest.raises(ValueError, match="condition"):
            model.sample(3, condition=wrong)
    with pytest.raises(ValueError, match="mean"):
        model.set_visible_bias(torch.ones(5))
    for share in (0, 1, -0.1, torch.nan, None, "few"):
        with pytest.raises(ValueError, match="share must be a number"):
            model.set_hidden_bias(share)
    with pytest.raises(ValueError, match="deviation"):
        network((3,), space=PLANE).set_visible_bias(torch.zeros(2))
    for mean, deviation in (([0.0], [1.0]), ([0.0, torch.nan], [1, 1]), ([0, 0], [0, 1])):
        with pytest.raises(ValueError, match=r"mean|deviation"):
            network((3,), space=PLANE).set_visible_bias(mean, deviation)
    with pytest.raises(ValueError, match="binarise"):
        model.fit(torch.full((4, 3), 0.5), condition=torch.zeros(4).long())


@torch.no_grad()
def test_the_lowest_layer_begins_at_the_moments_of_the_data_in_any_form():
    model = network((3, 2), space=PLANE)
    model.set_visible_bias([1.0, -3.0], [2.0, 0.5])
    layer = model.stack.layer(0)
    assert torch.allclose(layer.deviation, torch.tensor([2.0, 0.5]).double())
    means = layer.mean_units(layer.field(torch.zeros(1, 3).double()))
    assert torch.allclose(means, torch.tensor([[1.0, -3.0]]).double())
    bits = network((3, 2))
    bits.set_visible_bias([0.5, 0.25, 1.0])
    assert bits.stack.layer(0).unit_bias.tolist() == pytest.approx([0.0, -1.0986, 6.9068], 1e-3)


@torch.no_grad()
@pytest.mark.parametrize("space", [spaces.Binary((4,)), PLANE])
def test_hidden_units_begin_as_rarely_on_as_asked(space):
    model = network((3, 2), space=space)
    for layer in model.stack.layers:
        layer.weights.zero_()
    for recogniser in model.stack.recognisers:
        recogniser.zero_()
    model.set_hidden_bias(0.02)
    found = model.features(torch.zeros(1, *space.shape).double(), layers="all")
    assert found.tolist()[0] == pytest.approx([0.02] * 5)


@pytest.mark.parametrize(("rate", "lowest"), [(0.5, 0.02), (0.05, 0.01), ((0.3, 0.1), 0.3)])
def test_one_rate_for_all_is_less_for_real_data(rate, lowest):
    stages = network((3, 2), space=PLANE).algorithm(learning_rate=rate).stages
    rates = [stage.algorithm.settings.learning_rate for stage in stages]
    assert rates == pytest.approx([lowest, rate if isinstance(rate, float) else rate[1]])


def test_layers_of_both_kinds_know_their_smallest_side():
    assert BinaryLayer(3, 20).smallest_side == 3
    assert GaussianLayer(3, 20).smallest_side == 20


def test_it_stands_in_a_pipeline_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from genus.sklearn import GenusTransformer

    x = lopsided(spaces.Binary((5,)))
    settings = {"hidden": (6, 4)}
    codes = GenusTransformer("DeepBeliefNetwork", space="binary", settings=settings, epochs=4)
    pipeline = make_pipeline(codes, LogisticRegression()).fit(x.numpy(), x[:, 0].long().numpy())
    found = torch.from_numpy(pipeline[0].transform(x[:5].numpy()))
    # the same rows in another layout of memory: products round otherwise
    torch.testing.assert_close(found, pipeline[0].model_.features(x[:5]))
    assert found.shape == (5, 4)
    assert pipeline.predict(x[:5].numpy()).shape == (5,)
