import itertools
import math

import pytest
import torch

from genus.engine import Descend, Optimiser
from genus.engine.seeding import seeded
from genus.models import BoltzmannMachine, HiddenBoltzmannMachine
from genus.models.boltzmann.couplings import grid_pairs, pairs_of
from genus.models.boltzmann.joined import mean_field
from genus.models.registry import load
from genus.objectives.enumeration import EnumeratedLikelihood
from genus.spaces import Binary, Real
from genus.testing.statistics import assert_follows

SOME = ((0, 4), (0, 5), (4, 1), (1, 6), (2, 5), (3, 6), (0, 1), (2, 3), (4, 5), (5, 6), (2, 6))
CHAINS = 500_000


def stiff(model, scale=1.5):
    """Large uneven weights, float64."""
    model = model.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            draws = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.copy_(scale * draws * torch.linspace(0.4, 1.8, len(p)))
        model.base_bias.copy_(torch.linspace(-1.5, 2.0, len(model.base_bias)))
    return model


def dense(**settings):
    return stiff(BoltzmannMachine(Binary((4,)), **settings))


def grid(**settings):
    return stiff(BoltzmannMachine(Binary((2, 3)), couplings=grid_pairs(2, 3), **settings))


def hidden(**settings):
    return stiff(HiddenBoltzmannMachine(Binary((2, 2)), 3, couplings=SOME, **settings))


def bipartite(**settings):
    pairs = [(i, j) for i in range(3) for j in range(3, 5)]
    return stiff(HiddenBoltzmannMachine(Binary((3,)), 2, couplings=pairs, **settings))


def joined_hidden(**settings):
    return stiff(HiddenBoltzmannMachine(Binary((3,)), 4, **settings))


EVERY = [dense, grid, hidden, bipartite, joined_hidden]


def enumerated(model):
    """All states of all units, and −E of each by the definition, pair by pair."""
    units = list(itertools.product((0, 1), repeat=len(model.bias)))
    weights, bias = model.pair_weights.tolist(), model.bias.tolist()
    pairs = list(zip(model.pairs.T.tolist(), weights, strict=True))
    values = [
        sum(w * x[i] * x[j] for (i, j), w in pairs)
        + sum(b * u for b, u in zip(bias, x, strict=True))
        for x in units
    ]
    return torch.tensor(units).double(), torch.tensor(values, dtype=torch.float64)


def visible(model, p):
    """The visible states in counting order, and the sum of p over the hidden ones."""
    points = model.space.points().double()
    return points, p.reshape(len(points), -1).sum(1)


def counts(rows):
    size = rows.shape[1]
    weights = 2 ** torch.arange(size - 1, -1, -1)
    return torch.bincount((rows.long() * weights).sum(1), minlength=2**size)


def total_variation(rows, p):
    return float((counts(rows) / len(rows) - p).abs().sum() / 2)


@pytest.mark.parametrize("make", EVERY)
def test_free_energy_log_z_and_log_prob_equal_enumeration(make):
    model = make()
    units, values = enumerated(model)
    log_z = values.logsumexp(0)
    x, p = visible(model, values.softmax(0))
    assert torch.allclose(model.energy(units), -values, atol=1e-9)
    assert torch.allclose(-model.free_energy(x), p.log() + log_z, atol=1e-9)
    found = model.moments()
    assert torch.allclose(found.log_partition, log_z, atol=1e-9)
    q = values.softmax(0)
    assert torch.allclose(found.mean, q @ units, atol=1e-9)
    products = units.T @ (q[:, None] * units)
    assert torch.allclose(found.products, products, atol=1e-9)
    estimate = model.estimate(x)
    assert torch.allclose(estimate.value, p.log(), atol=1e-9)
    assert not estimate.standard_error.any()


@pytest.mark.parametrize("make", EVERY)
def test_log_odds_equal_enumeration(make):
    model = make()
    _, values = enumerated(model)
    x, p = visible(model, values.softmax(0))
    flat, size = x.flatten(1), model.num_visible
    found = model.log_odds(x)
    for unit in range(size):
        step = 2 ** (size - 1 - unit)
        at = torch.arange(len(x))
        one, none = at | step, at & ~step
        assert torch.allclose(found[:, unit], (p[one] / p[none]).log(), atol=1e-9)
        assert bool((flat[one, unit] == 1).all())


def transitions(model):
    """A sweep's enumerated transition matrix forwards, and that of a sweep backwards."""
    _, values = enumerated(model)
    p, size = values.softmax(0), len(model.bias)
    forwards = backwards = torch.eye(len(p)).double()
    for unit in model._order.tolist():
        at, bit = torch.arange(len(p)), 2 ** (size - 1 - unit)
        one, none = at | bit, at & ~bit
        step = torch.zeros(len(p), len(p), dtype=torch.float64)
        step[at, one] = p[one] / (p[one] + p[none])
        step[at, none] = p[none] / (p[one] + p[none])
        forwards, backwards = forwards @ step, step @ backwards
    return p, forwards, backwards


@pytest.mark.parametrize("make", EVERY)
def test_a_sweep_is_the_product_of_enumerated_conditionals(make):
    """Forwards or backwards through the colours by chance, which makes it reversible."""
    model = make()
    p, forwards, backwards = transitions(model)
    flow = p.unsqueeze(1) * (forwards + backwards) / 2
    assert torch.allclose(flow, flow.T, atol=1e-12)
    size = len(model.bias)
    start = torch.tensor([float(letter) for letter in f"{5:0{size}b}"]).double().expand(10_000, -1)
    ways = set()
    for seed in range(8):
        torch.manual_seed(seed)
        torch.rand_like(start.T)
        back = bool(torch.randint(2, ()))
        torch.manual_seed(seed)
        wanted = backwards[5] if back else forwards[5]
        # false-alarm rate 1 in 100,000 each
        assert_follows(counts(model.walk(start, 1)), wanted, f"a sweep, backwards: {back}")
        ways.add(back)
    assert ways == {False, True}


@pytest.mark.parametrize("make", [dense, bipartite])
def test_sweeps_leave_the_enumerated_distribution_unchanged(make):
    """Half a million chains: chance alone makes a total variation below 0.0023 at 16 states."""
    model = make()
    _, values = enumerated(model)
    x, p = visible(model, values.softmax(0))
    generator = torch.Generator().manual_seed(0)
    start = x[torch.multinomial(p, CHAINS, replacement=True, generator=generator)]
    assert total_variation(model.gibbs(start, steps=3, seed=1).flatten(1), p) < 0.003
    one = x[:1].expand(CHAINS, *model.space.shape)
    assert total_variation(model.gibbs(one, steps=15, seed=2).flatten(1), p) < 0.003


@pytest.mark.parametrize("make", [hidden, bipartite, joined_hidden])
def test_hidden_units_are_drawn_from_their_enumerated_posterior(make):
    model = make()
    _, values = enumerated(model)
    x = model.space.points().double()
    joint = values.reshape(len(x), -1).softmax(1)
    for row in (1, len(x) - 2):
        torch.manual_seed(row)
        drawn = model.completed(x[row : row + 1].expand(20_000, *model.space.shape))
        assert torch.equal(drawn[:, : model.num_visible], x[row].flatten().expand(20_000, -1))
        # false-alarm rate 1 in 100,000 each
        assert_follows(counts(drawn[:, model.num_visible :]), joint[row], "hidden units")


def test_sums_over_hidden_units_may_be_taken_in_parts(monkeypatch):
    from genus.models.boltzmann import hidden_machine

    model = joined_hidden()
    x = model.space.points().double()
    whole, state = model.free_energy(x), torch.get_rng_state()
    monkeypatch.setattr(hidden_machine, "TABLE", 1)
    assert torch.allclose(model.free_energy(x), whole, atol=1e-12)
    _, values = enumerated(model)
    torch.set_rng_state(state)
    drawn = model.completed(x[3:4].expand(20_000, 3))[:, 3:]
    # false-alarm rate 1 in 100,000
    assert_follows(counts(drawn), values.reshape(8, -1).softmax(1)[3], "hidden units in parts")


def test_codes_are_exact_where_a_side_has_no_couplings():
    model = bipartite()
    units, values = enumerated(model)
    p = values.softmax(0)
    x, marginal = visible(model, p)
    posterior = (p.unsqueeze(1) * units[:, 3:]).reshape(8, 4, 2).sum(1) / marginal.unsqueeze(1)
    assert torch.allclose(model.encode(x), posterior, atol=1e-9)
    h = units[:4, 3:]
    table = p.reshape(8, 4)
    assert torch.allclose(model.decode(h), (table.T @ x) / table.sum(0).unsqueeze(1), atol=1e-9)
    assert torch.equal(model.expected(x), torch.cat([x, model.encode(x)], 1))


def bound(couplings, bias, mean):
    entropy = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)).sum(0)
    return 0.5 * ((couplings @ mean) * mean).sum(0) + (bias * mean).sum(0) + entropy


def test_mean_field_raises_a_bound_of_log_z_at_every_sweep():
    model = joined_hidden()
    visible_part, order = model.num_visible, model._hidden_order
    x = model.space.points().double()
    couplings = model.couplings().detach()
    among = couplings[order][:, order]
    sent = (model.bias[order] + x @ couplings[:visible_part, order]).detach().T
    ends = model._hidden_ends
    values = torch.stack(
        [bound(among, sent, mean_field(among, sent, ends, sweeps)) for sweeps in range(12)]
    )
    assert bool((values[1:] >= values[:-1] - 1e-12).all())
    assert bool((values[5] > values[0] + 1e-3).any())
    seen = 0.5 * (x @ couplings[:3, :3] * x).sum(1) + x @ model.bias[:3]
    assert bool((values[-1] <= -model.free_energy(x) - seen + 1e-9).all())


def test_mean_field_does_not_oscillate_between_units_that_exclude_each_other():
    couplings = torch.tensor([[0.0, -8.0], [-8.0, 0.0]]).double()
    bias = torch.tensor([[4.0, 1.0], [4.0, -3.0]]).double()
    values = torch.stack(
        [
            bound(couplings, bias, mean_field(couplings, bias, (0, 1, 2), sweeps))
            for sweeps in range(6)
        ]
    )
    assert bool((values[1:] >= values[:-1] - 1e-12).all())
    found = mean_field(couplings, bias, (0, 1, 2), 200)
    assert torch.allclose(found, (bias + couplings @ found).sigmoid(), atol=1e-9)


def test_moments_that_are_summed_in_several_chunks_equal_one_sum():
    model = stiff(BoltzmannMachine(Binary((15,))), 0.5)
    units = Binary((15,)).points().double()
    values = -model.energy(units).detach()
    p = values.softmax(0)
    found = model.moments()
    assert torch.allclose(found.log_partition, values.logsumexp(0), atol=1e-9)
    assert torch.allclose(found.mean, p @ units, atol=1e-9)
    assert torch.allclose(found.products, units.T @ (p[:, None] * units), atol=1e-9)


@pytest.mark.parametrize("make", [dense, grid, hidden])
def test_annealing_both_ways_agrees_with_enumeration(make):
    model = make(most_summed=0, num_temperatures=60, num_steps=100)
    _, values = enumerated(model)
    log_z = values.logsumexp(0)
    for reverse in (False, True):
        found = model.log_partition(4000, reverse=reverse, seed=3)
        assert 0 < found.standard_error < 0.1
        # 5 standard errors: false alarm 6e-7
        assert abs(found.value - log_z) < 5 * found.standard_error, f"reverse: {reverse}"
    low, high = (model.log_partition(4000, reverse=way, seed=3) for way in (False, True))
    assert low.bound < log_z < high.bound


def test_an_estimate_is_kept_until_a_parameter_changes():
    model = dense(most_summed=0, num_temperatures=20)
    x = model.space.points().double()
    state = torch.get_rng_state()
    first = model.log_prob(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.log_prob(x), first)
    bracket = model.bracket(x, seed=1)
    assert bool((bracket.lower.value < bracket.upper.value).all())
    with torch.no_grad():
        model.bias[0] += 1.0
    assert not torch.allclose(model.log_prob(x) + model.free_energy(x), first[0])
    model.most_summed = 20
    _, values = enumerated(model)
    assert torch.allclose(model.log_prob(x), visible(model, values.softmax(0))[1].log())


@pytest.mark.parametrize("make", [dense, grid, hidden])
def test_samples_and_completions_follow_the_model(make):
    model = stiff(make(num_steps=60, num_sweeps=60), 0.7)
    _, values = enumerated(model)
    x, p = visible(model, values.softmax(0))
    # false-alarm rate 1 in 100,000 each
    assert_follows(counts(model.sample(20_000, seed=1).flatten(1)), p, "samples")
    known = torch.zeros(model.num_visible, dtype=torch.bool)
    known[[0, 3]] = True
    given = x[6].flatten()
    fits = (x.flatten(1)[:, known] == given[known]).all(1)
    rows = torch.where(known, given, 1 - given).reshape(1, *model.space.shape)
    mask = known.reshape(model.space.shape)
    drawn = model.complete(rows.expand(20_000, *model.space.shape), mask, seed=2)
    assert_follows(counts(drawn.flatten(1)), p * fits, "completions")


def test_prior_follows_the_enumerated_marginal_of_hidden_units():
    model = stiff(hidden(num_steps=60), 0.7)
    _, values = enumerated(model)
    marginal = values.softmax(0).reshape(16, 8).sum(0)
    # false-alarm rate 1 in 100,000
    assert_follows(counts(model.prior(20_000, seed=2)), marginal, "the prior")


def test_the_visible_bias_reproduces_the_mean_of_the_data():
    model = hidden()
    mean = torch.tensor([[0.02, 0.5], [0.0, 1.0]]).double()
    model.set_visible_bias(mean)
    wanted = mean.clamp(1e-3, 1 - 1e-3).flatten()
    assert torch.allclose(model.bias[:4].sigmoid(), wanted)
    assert torch.allclose(model.base_bias[:4].sigmoid(), wanted)
    for bad in (mean[0], mean + 0.5, mean * math.nan):
        with pytest.raises(ValueError, match="mean must have shape"):
            model.set_visible_bias(bad)


def test_exact_learning_matches_the_moments_of_the_data():
    """At the maximum E[x xᵀ] under the model is that of the data, here to be reached exactly."""
    truth = stiff(BoltzmannMachine(Binary((4,))), 0.5)
    x = truth.sample(4000, seed=1).float()
    with seeded(0, torch.device("cpu")):
        model = BoltzmannMachine(Binary((4,)))
    optimiser = Optimiser("adam", 0.1, schedule="linear")
    algorithm = Descend(EnumeratedLikelihood(), optimiser, batch_size=len(x))
    model.fit(x, algorithm=algorithm, epochs=300, device="cpu")
    found = model.moments()
    assert torch.allclose(found.products, (x.T @ x / len(x)).double(), atol=2e-3)
    best = torch.zeros(16, dtype=torch.float64)
    best += counts(x) / len(x)
    gap = torch.xlogy(best, best).sum() - (best * model.log_prob(model.space.points())).sum()
    assert 0 <= gap < 2e-3


def test_hidden_units_learn_what_pairs_cannot_say():
    """Of the parity of three bits pairs know nothing: log 8 nats, where log 4 is the entropy."""
    x = torch.tensor([[0.0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]).repeat(25, 1)
    with seeded(1, torch.device("cpu")):
        model = HiddenBoltzmannMachine(Binary((3,)), 4)
        alone = BoltzmannMachine(Binary((3,)))
    exactly = Descend(EnumeratedLikelihood(), Optimiser("adam", 0.05), batch_size=100)
    model.fit(x, epochs=500, algorithm=exactly, device="cpu")
    alone.fit(x, epochs=50, device="cpu")
    assert float(alone.log_prob(x).mean()) < -math.log(8) + 1e-3
    assert float(model.log_prob(x).mean()) > -math.log(4) - 0.25


def test_a_semi_restricted_machine_joins_no_hidden_units():
    model = HiddenBoltzmannMachine(Binary((3,)), 30, couplings="semi-restricted")
    joined = model.couplings() != 0
    assert not joined[3:, 3:].any()
    assert int(joined.sum()) == 2 * (3 + 3 * 30)
    with pytest.raises(ValueError, match="got 'none'"):
        HiddenBoltzmannMachine(Binary((3,)), 2, couplings="none")


def test_save_and_load_keep_the_structure(tmp_path):
    for make in (grid, hidden):
        model = make().float()
        model.save(tmp_path / make.__name__)
        again = load(tmp_path / make.__name__)
        x = model.space.random(5)
        assert torch.equal(again.log_prob(x), model.log_prob(x))
        assert torch.equal(again.couplings(), model.couplings())


def test_draws_keep_full_precision_under_autocast():
    for make in (grid, hidden):
        model = make().float()
        x = model.space.random(4)
        with torch.autocast("cpu", torch.bfloat16):
            assert model.free_energy(x).dtype == torch.float32
            assert model.log_odds(x).dtype == torch.float32
            assert model.log_prob(x).dtype == torch.float32
            assert model.space.contains(model.sample(4))


def test_masks_become_pairs():
    mask = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()
    assert pairs_of(mask) == [(0, 1), (1, 2)]
    assert pairs_of(mask.tolist()) == [(0, 1), (1, 2)]
    lopsided = mask.clone()
    lopsided[0, 2] = True
    with pytest.raises(ValueError, match=r"must be symmetric, but entries \(0, 2\) and \(2, 0\)"):
        pairs_of(lopsided)
    with pytest.raises(ValueError, match="joins unit 1 to itself"):
        pairs_of(mask | torch.tensor([False, True, False]).diag())
    for bad in (mask[:2], mask.float(), mask[0]):
        with pytest.raises(ValueError, match="mask must be boolean, of shape"):
            pairs_of(bad)


@pytest.mark.parametrize(
    ("couplings", "message"),
    [
        ([(0, 4)], "two different units of 0 to 3, got"),
        ([(2, 2)], "two different units of 0 to 3, got"),
        ([(0, 1), (1, 0)], "join 0 and 1 twice"),
        ([3], "must be pairs of units, got 3"),
        ([(0, 1, 2)], "must be pairs of units, got"),
        (torch.ones(4, 4).bool(), "take pairs_of"),
    ],
)
def test_bad_couplings_are_refused(couplings, message):
    with pytest.raises(ValueError, match=message):
        BoltzmannMachine(Binary((4,)), couplings=couplings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden": 0}, "num_hidden must be a positive integer, got 0"),
        ({"num_mean_field": 0}, "num_mean_field must be a positive integer, got 0"),
        ({"num_steps": 0}, "num_steps must be a positive integer, got 0"),
        ({"num_sweeps": -1}, "num_sweeps must be a positive integer"),
        ({"num_hidden": 2.5}, "num_hidden must be a positive integer, got 2.5"),
        ({"num_sweeps": True}, "num_sweeps must be a positive integer, got True"),
        ({"num_temperatures": 2}, "num_temperatures must be at least 3"),
        ({"most_summed": 26}, "most_summed must be 0 to 25, got 26"),
        ({"num_hidden": 22}, "states of 21 joined hidden units, at most 20"),
        ({"space": Real((4,))}, "space must be Binary"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HiddenBoltzmannMachine(**{"space": Binary((4,)), "num_hidden": 3, **settings})


def test_a_bad_effort_is_refused_and_not_taken_for_none():
    model = BoltzmannMachine(Binary((3,)))
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="num_chains must be a positive integer"):
            model.log_partition(bad)


def test_what_cannot_be_summed_is_refused_and_what_is_not_joined_needs_no_sum():
    model = BoltzmannMachine(Binary((23,)))
    with pytest.raises(ValueError, match="states of 22 units was asked for, most_summed is 20"):
        model.moments()
    wide = [(i, j) for i in range(3) for j in range(3, 60)]
    model = HiddenBoltzmannMachine(Binary((3,)), 57, couplings=wide)
    assert model.sums_exactly
    with pytest.raises(ValueError, match="x is not in"):
        model.free_energy(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="entries must be 0 or 1"):
        model.log_prob(torch.full((2, 3), 0.5))


def test_units_without_any_coupling_are_independent():
    model = stiff(BoltzmannMachine(Binary((3,)), couplings=[]))
    x = model.space.points().double()
    wanted = torch.distributions.Bernoulli(logits=model.bias).log_prob(x).sum(1)
    assert torch.allclose(model.log_prob(x), wanted, atol=1e-12)
