import itertools

import pytest
import torch

from genus.engine.seeding import seeded
from genus.inference.annealing import annealed_importance, inverse_temperatures
from genus.models import DeepBoltzmannMachine
from genus.models.boltzmann.layered import EVEN, ODD, Layered
from genus.models.boltzmann.tempered_layers import TemperedLayers
from genus.models.registry import load
from genus.spaces import Binary, Real
from genus.testing import stiffen
from genus.testing.statistics import assert_follows, assert_mean

CPU = torch.device("cpu")
SHAPES = [((5,), (4, 3)), ((2, 2), (3, 2, 4)), ((3,), (5, 2)), ((2,), (3, 2, 2, 3))]


def stiff(shape=(5,), hidden=(4, 3), scale=2.5, **settings):
    """Large uneven weights, float64; layers of different sizes."""
    model = stiffen(DeepBoltzmannMachine(Binary(shape), hidden, **settings).double(), scale)
    model.base_bias.copy_(torch.linspace(-1.5, 2.0, len(model.base_bias)))
    return model


def everything(model):
    """Every state of all layers, x counting most, and −E of each, term by term."""
    sizes = [len(b) for b in model.biases]
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(sizes)))).double()
    layers = list(rows.split(sizes, 1))
    total = sum(layer @ b for layer, b in zip(layers, model.biases, strict=True))
    for below, weights, above in zip(layers, model.weights, layers[1:], strict=False):
        for i, j in itertools.product(*map(range, weights.shape)):
            total = total + weights[i, j] * below[:, i] * above[:, j]
    return layers, total


def exact(model):
    """Every x, log p of each, and log Z."""
    layers, log_f = everything(model)
    size = len(model.biases[0])
    log_z = log_f.logsumexp(0)
    x = layers[0].reshape(2**size, -1, size)[:, 0]
    return x.reshape(-1, *model.space.shape), log_f.reshape(2**size, -1).logsumexp(1) - log_z, log_z


def counts(rows):
    weights = 2 ** torch.arange(rows.shape[1] - 1, -1, -1)
    return torch.bincount((rows.long() * weights).sum(1), minlength=2 ** rows.shape[1])


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
@torch.no_grad()
def test_energy_conditionals_and_both_marginals_equal_enumeration(shape, hidden):
    model = stiff(shape, hidden)
    machine = model.layered()
    layers, log_f = everything(model)
    assert torch.allclose(-machine.energy(layers), log_f, atol=1e-9)
    p = log_f.softmax(0)
    for number, layer in enumerate(layers):
        others = torch.cat([u for k, u in enumerate(layers) if abs(k - number) == 1], 1)
        _, group = others.unique(dim=0, return_inverse=True)
        mass = torch.zeros(int(group.max()) + 1).double().index_add_(0, group, p)
        ones = torch.zeros(len(mass), layer.shape[1]).double()
        ones.index_add_(0, group, p.unsqueeze(1) * layer)
        expected = (ones / mass.unsqueeze(1))[group]
        assert torch.allclose(machine.field(layers, number).sigmoid(), expected, atol=1e-9)
    for kept in (EVEN, ODD):
        side = torch.cat([layers[k] for k in machine.side(kept)], 1)
        rows, group = side.unique(dim=0, return_inverse=True)
        total = torch.zeros(len(rows)).double().index_add_(0, group, log_f.exp()).log()
        found = machine.log_marginal(layers, kept)
        assert torch.allclose(found, total[group], atol=1e-9)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_log_partition_and_its_slopes_equal_enumeration(shape, hidden):
    model = stiff(shape, hidden)
    _, log_f = everything(model)
    log_z = log_f.logsumexp(0)
    assert torch.allclose(model.log_partition_exact(), log_z, atol=1e-9)
    parameters = [*model.weights, *model.biases]
    weights, biases = model.layered().slopes(log_z.detach())
    for found, expected in zip(
        [*weights, *biases], torch.autograd.grad(log_z, parameters), strict=True
    ):
        assert torch.allclose(found, expected, atol=1e-9)


def every_hidden(hidden):
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(hidden)))).double()
    return rows.split(hidden, 1)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
@torch.no_grad()
def test_bound_is_the_enumerated_one_below_log_p(shape, hidden):
    model = stiff(shape, hidden)
    x, log_p, log_z = exact(model)
    layers = every_hidden(hidden)
    for row, found in zip(x, model.lower_bound(x), strict=True):
        flat = row.reshape(1, -1)
        means = model.mean_field(flat)
        bernoulli = [torch.distributions.Bernoulli(m[0]) for m in means]
        log_q = sum(q.log_prob(h).sum(1) for q, h in zip(bernoulli, layers, strict=True))
        whole = [flat.expand(len(layers[0]), -1), *layers]
        bound = (log_q.exp() * (-model.layered().energy(whole) - log_q)).sum() - log_z
        assert torch.allclose(found, bound, atol=1e-9)
    assert bool((model.lower_bound(x) < log_p).all())
    assert float((log_p - model.lower_bound(x)).max()) > 0.01


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
@torch.no_grad()
def test_no_step_of_mean_field_lowers_the_bound_and_each_is_the_best_given_the_rest(shape, hidden):
    model = stiff(shape, hidden, scale=4.0)
    x = exact(model)[0].flatten(1)
    machine = model.layered().given(x)
    means = model.mean_field(x, 0)
    bound, rose = machine.bound(means), 0.0
    for step in range(24):
        parity = ODD if step % 2 == 0 else EVEN
        means = machine.sweep(means, (parity,))
        after = machine.bound(means)
        assert float((after - bound).min()) > -1e-10
        rose, bound = max(rose, float((after - bound).max())), after
        for layer in machine.side(parity):
            for shift in (-0.01, 0.01):
                moved = list(means)
                moved[layer] = (means[layer] + shift * (step + 1)).clamp(0, 1)
                assert bool((machine.bound(moved) <= bound + 1e-12).all())
    assert rose > 0.1
    again = model.mean_field(x, 12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(again, means, strict=True))


@torch.no_grad()
def test_mean_field_settles_at_a_fixed_point_whatever_the_batch():
    model = stiff(scale=3.0, num_mean_field=5000)
    x = exact(model)[0]
    means = model.mean_field(x)
    swept = model.layered().given(x).sweep(means)
    assert max(float((a - b).abs().max()) for a, b in zip(swept, means, strict=True)) < 2e-6
    alone = [model.mean_field(row.unsqueeze(0)) for row in x]
    for layer, mean in enumerate(means):
        assert torch.allclose(mean, torch.cat([m[layer] for m in alone]), atol=1e-12)
    assert torch.equal(model.encode(x), means[0])
    assert torch.equal(model.features(x), torch.cat(means, 1))
    seen, mean_field = [], model.mean_field
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genus.models.boltzmann.deep_boltzmann.MOST_ROWS", 3)
        patch.setattr(model, "mean_field", lambda rows: seen.append(len(rows)) or mean_field(rows))
        assert torch.allclose(model.features(x), torch.cat(means, 1), atol=1e-5)
    assert max(seen) == 3
    assert sum(seen) == len(x)


@torch.no_grad()
def test_the_pass_up_counts_what_is_below_twice_except_at_the_top():
    model = stiff((3,), (4, 2, 3))
    x = exact(model)[0]
    first = (2 * x @ model.weights[0] + model.biases[1]).sigmoid()
    second = (2 * first @ model.weights[1] + model.biases[2]).sigmoid()
    third = (second @ model.weights[2] + model.biases[3]).sigmoid()
    for found, expected in zip(model.mean_field(x, 0), (first, second, third), strict=True):
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
@torch.no_grad()
def test_weights_of_samples_average_to_p(shape, hidden):
    """Each of at most 32 means within 5 of its standard errors: 2 false alarms in 100,000."""
    model = stiff(shape, hidden, scale=1.2)
    x, log_p, _ = exact(model)
    rows = x.repeat(2000, *[1] * (x.ndim - 1))
    with seeded(1, CPU):
        log_w = model.lower_bound(rows, effort=2).reshape(2000, len(x))
    for ratio in (log_w - log_p).exp().T:
        assert_mean(ratio, 1.0, "E[w] / p(x)")
    assert float(log_p.mean() - model.lower_bound(x, effort=20000, seed=1).mean()) < 0.005


def test_gradient_of_log_prob_is_that_of_the_settled_bound_less_log_z():
    model = stiff(num_mean_field=5000)
    x = exact(model)[0][:12]
    slopes = torch.autograd.grad(model.log_prob(x).sum(), list(model.parameters()))
    with torch.no_grad():
        for parameter, slope in zip(model.parameters(), slopes, strict=True):
            direction = torch.randn_like(parameter, generator=torch.Generator().manual_seed(1))
            ends = []
            for step in (1e-4, -2e-4):
                parameter.add_(step * direction)
                ends.append(model.log_prob(x).sum())
            parameter.add_(1e-4 * direction)
            expected = (ends[0] - ends[1]) / 2e-4
            assert torch.allclose((slope * direction).sum(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kept", [EVEN, ODD])
@torch.no_grad()
def test_path_leads_from_independence_to_the_machine_and_its_moves_keep_every_density(kept):
    model = stiff((4,), (3, 2, 2))
    layers, _ = everything(model)
    machine = Layered([w.detach() for w in model.weights], [b.detach() for b in model.biases])
    start = [torch.linspace(-1, 1, len(b)).double() for b in machine.biases]
    path = TemperedLayers(machine, start, kept)

    def between(beta):
        biases = [a.lerp(b, beta) for a, b in zip(start, machine.biases, strict=True)]
        return Layered([beta * w for w in machine.weights], biases)

    side = torch.cat([layers[k] for k in machine.side(kept)], 1)
    rows = torch.stack([torch.nonzero((side == s).all(1))[0, 0] for s in side.unique(dim=0)])
    some = [layer[rows] for layer in layers]
    state = path.at(some)
    low, high = (between(beta).log_marginal(some, kept) for beta in (0.3, 0.8))
    assert torch.allclose(path.log_ratio(state, 0.3, 0.8), high - low, atol=1e-9)
    base = between(0.0).log_marginal(some, kept)
    assert torch.allclose(path.log_base_partition, base.logsumexp(0), atol=1e-9)
    with seeded(3, CPU):
        drawn = path.start(20000).units
        found = torch.cat([unit for unit in drawn if unit is not None], 1)
        assert_follows(counts(found), base.softmax(0), "units at the start")
        for beta, log_f in ((0.3, low), (0.8, high)):
            chosen = torch.multinomial(log_f.softmax(0), 20000, replacement=True)
            moved = path.move(path.at([layer[chosen] for layer in some]), beta).units
            found = torch.cat([unit for unit in moved if unit is not None], 1)
            assert_follows(counts(found), log_f.softmax(0), f"a move at {beta}")


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_annealing_finds_log_z_from_both_sides(shape, hidden):
    """Each within 5 standard errors: 1 false alarm in 1,000,000."""
    model = stiff(shape, hidden, most_summed=0, num_steps=100, num_temperatures=100)
    log_z = model.log_partition_exact()
    for reverse in (False, True):
        found = model.log_partition(1000, reverse=reverse, seed=5)
        assert abs(float(found.value - log_z)) < 5 * float(found.standard_error) < 0.2
        way = 1 if reverse else -1
        assert way * float(found.bound - log_z) > -5 * float(found.bound_error)
        again = model.log_partition(1000, reverse=reverse, seed=5)
        assert torch.equal(found.value, again.value)


@torch.no_grad()
def test_annealing_keeps_either_side():
    model = stiff((5,), (4, 3))
    machine = Layered([w.detach() for w in model.weights], [b.detach() for b in model.biases])
    start = [torch.zeros_like(b) for b in machine.biases]
    for kept in (EVEN, ODD):
        path = TemperedLayers(machine, start, kept)
        with seeded(2, CPU):
            log_w = annealed_importance(path, 2000, inverse_temperatures(60))
        log_z = model.log_partition_exact() - path.log_base_partition
        assert_mean((log_w - log_z).exp(), 1.0, "E[w] Z₀ / Z")


def test_log_z_is_summed_where_a_side_is_small_and_kept_until_parameters_change():
    small, large = stiff(), stiff(most_summed=3, num_temperatures=50, num_steps=20)
    assert small.sums_exactly
    assert not large.sums_exactly
    x = exact(small)[0]
    first = large.log_prob(x)
    assert torch.equal(first, large.log_prob(x))
    gap = (first - small.log_prob(x)).detach()
    assert torch.allclose(gap, gap[:1].expand_as(gap), atol=1e-9)
    assert 0 < abs(float(gap[0])) < 0.2
    with torch.no_grad():
        large.biases[1][0] += 1.0
    assert not torch.allclose(first, large.log_prob(x), atol=0.01)


@torch.no_grad()
def test_the_bound_comes_with_log_z_from_both_sides():
    model = stiff(most_summed=0, num_temperatures=40, num_steps=40, num_chains=400)
    x, _, log_z = exact(model)
    whole = model.lower_bound(x) + model.log_partition(seed=0).value
    up, down = model.log_partition(seed=0), model.log_partition(reverse=True, seed=1)
    found = model.bound_bracket(x)
    for side, log_partition, error in (
        (found.value, up.value, up.standard_error),
        (found.reverse, down.value, down.standard_error),
        (found.upper, up.bound, up.bound_error),
        (found.lower, down.bound, down.bound_error),
    ):
        assert torch.allclose(side.value, whole - log_partition, atol=1e-9)
        assert torch.allclose(side.standard_error, error, atol=1e-9)
    assert up.bound < log_z < down.bound
    none = stiff().bound_bracket(x)
    for side in none:
        assert torch.allclose(side.value, whole - log_z, atol=1e-9)
        assert not bool(side.standard_error.any())


@torch.no_grad()
def test_samples_and_every_layer_of_the_prior_follow_the_model():
    model = stiff((2, 2), (3, 2), num_steps=60)
    _, log_p, _ = exact(model)
    drawn = model.sample(20000, seed=2).flatten(1)
    assert_follows(counts(drawn), log_p.exp(), "samples")
    layers, log_f = everything(model)
    mass = torch.zeros(8).double()
    place = (layers[1].long() * torch.tensor([4, 2, 1])).sum(1)
    mass.index_add_(0, place, log_f.softmax(0).detach())
    assert_follows(counts(model.prior(20000, seed=3)), mass, "h₁")


@pytest.mark.parametrize(("shape", "hidden"), [((5,), (4, 3)), ((5,), (7, 1)), ((4,), (2, 3, 2))])
def test_completions_follow_the_conditional(shape, hidden):
    model = stiff(shape, hidden, num_sweeps=60)
    x, log_p, _ = exact(model)
    mask = torch.arange(shape[0]) % 2 == 0
    row = x[11]
    drawn = model.complete(row.expand(20000, -1), mask, seed=4)
    fits = ((x == row) | ~mask).all(1)
    expected = log_p.detach().masked_fill(~fits, -torch.inf).softmax(0)
    assert_follows(counts(drawn), expected, "completions")


@torch.no_grad()
def test_decode_is_the_mean_of_x_given_h1():
    model = stiff()
    h = every_hidden((4,))[0]
    expected = (h @ model.weights[0].T + model.biases[0]).sigmoid()
    assert torch.allclose(model.decode(h), expected, atol=1e-12)
    x = exact(model)[0]
    assert torch.allclose(model.reconstruct(x), model.decode(model.encode(x)), atol=1e-12)


def test_saves_and_loads(tmp_path):
    model = stiff().float()
    model.set_visible_bias(torch.tensor([0.1, 0.5, 0.9, 0.0, 1.0]))
    odds = torch.tensor([0.1, 0.5, 0.9, 1e-3, 1 - 1e-3]).logit()
    assert torch.allclose(model.biases[0], odds, atol=1e-4)
    assert torch.equal(model.biases[0], model.base_bias)
    model.save(tmp_path)
    again = load(tmp_path)
    x = torch.eye(5)
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    assert again.hidden == (4, 3)


@torch.no_grad()
def test_hidden_units_begin_as_rarely_on_as_asked():
    model = stiff()
    for weights in model.weights:
        weights.zero_()
    before = model.biases[0].clone()
    model.set_hidden_bias(0.02)
    assert model.features(torch.ones(1, 5)).tolist()[0] == pytest.approx([0.02] * 7)
    assert torch.equal(model.biases[0], before)
    with pytest.raises(ValueError, match="share must be a number"):
        model.set_hidden_bias(1.0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"hidden": (5,)}, "hidden must be two or more layers.*take an RBM"),
        ({"hidden": ()}, "hidden must be two or more layers"),
        ({"hidden": 5}, "hidden must be two or more layers"),
        ({"hidden": "55"}, "hidden must be two or more layers"),
        ({"hidden": (5, 0)}, r"hidden must be .*at least 1 unit.*got \(5, 0\)"),
        ({"hidden": (5, 2.5)}, r"hidden must be .*at least 1 unit.*got \(5, 2.5\)"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_sweeps": 0}, "num_sweeps"),
        ({"num_mean_field": 0}, "num_mean_field"),
        ({"num_chains": 0}, "num_chains"),
        ({"num_temperatures": 2}, "num_temperatures"),
        ({"most_summed": 26}, "most_summed must be 0 to 25"),
        ({"space": Real((3,))}, "space must be Binary"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    given = {"space": Binary((3,)), "hidden": (3, 2), **arguments}
    with pytest.raises(ValueError, match=match):
        DeepBoltzmannMachine(**given)


def test_bad_data_are_refused():
    model = stiff()
    for x in (torch.zeros(2, 6), torch.full((2, 5), 0.5), torch.full((2, 5), torch.nan)):
        for call in (model.lower_bound, model.features, model.fit):
            with pytest.raises(ValueError, match=r"data|x "):
                call(x)
    with pytest.raises(ValueError, match="mean must have shape"):
        model.set_visible_bias(torch.zeros(4))
    with pytest.raises(ValueError, match="25 units"):
        DeepBoltzmannMachine(Binary((40,)), (30, 30)).log_partition_exact()
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        model.pretrained(model.algorithm(pretrain=False), share=1.0)
    for arguments in ({"num_temperatures": 0}, {"num_chains": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            model.log_partition(**arguments)
