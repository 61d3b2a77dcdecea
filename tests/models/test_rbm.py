import itertools
import math
from functools import partial

import pytest
import torch

from genus.engine import Optimiser
from genus.engine.seeding import seeded
from genus.models import RBM
from genus.models.boltzmann.kept import Kept
from genus.models.boltzmann.tempered import softplus
from genus.models.registry import load
from genus.spaces import Binary, Real, Sequence
from genus.testing.statistics import assert_follows, assert_mean

SHAPES = [((2, 3), 4), ((3,), 5)]


def stiff(shape=(2, 3), hidden=4, scale=2.0, **settings):
    """Large uneven weights, float64; sides of different sizes."""
    model = RBM(Binary(shape), hidden, **settings).double()
    size = math.prod(shape)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        model.weights.mul_(torch.linspace(0.3, 1.4, size).unsqueeze(1))
        model.base_bias.copy_(torch.linspace(-1.5, 2.0, size))
    return model


def joint(model):
    """p(v, h) by the energy, term by term: every v down the rows, every h across."""
    W, b, c = (p.detach().tolist() for p in (model.weights, model.visible_bias, model.hidden_bias))
    vs = list(itertools.product((0, 1), repeat=len(b)))
    hs = list(itertools.product((0, 1), repeat=len(c)))

    def energy(v, h):
        pairs = sum(v[i] * W[i][j] * h[j] for i in range(len(b)) for j in range(len(c)))
        return (
            -sum(x * y for x, y in zip(b, v, strict=True))
            - pairs
            - sum(x * y for x, y in zip(c, h, strict=True))
        )

    table = torch.tensor([[-energy(v, h) for h in hs] for v in vs], dtype=torch.float64)
    log_z = table.flatten().logsumexp(0)
    return torch.tensor(vs).double(), torch.tensor(hs).double(), (table - log_z).exp(), log_z


def counts(x, size):
    weights = 2 ** torch.arange(size - 1, -1, -1)
    return torch.bincount((x.flatten(1).long() * weights).sum(1), minlength=2**size)


def exact_draws(model, n):
    v, _, p, _ = joint(model)
    return v[torch.multinomial(p.sum(1), n, replacement=True)].reshape(n, *model.space.shape)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_free_energy_log_partition_and_log_prob_equal_enumeration(shape, hidden):
    model = stiff(shape, hidden)
    v, _, p, log_z = joint(model)
    x = v.reshape(-1, *shape)
    assert torch.allclose(model.log_partition_exact(), log_z, atol=1e-9)
    assert torch.allclose(-model.free_energy(x), p.sum(1).log() + log_z, atol=1e-9)
    estimate = model.estimate(x)
    assert torch.allclose(estimate.value, p.sum(1).log(), atol=1e-9)
    assert torch.equal(estimate.standard_error, torch.zeros(len(x)).double())
    assert torch.equal(model.log_prob(x), estimate.value)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_conditionals_equal_enumeration(shape, hidden):
    model = stiff(shape, hidden)
    v, h, p, _ = joint(model)
    hidden_given_visible = (p @ h) / p.sum(1, keepdim=True)
    visible_given_hidden = (p.T @ v) / p.sum(0).unsqueeze(1)
    assert torch.allclose(model.encode(v.reshape(-1, *shape)), hidden_given_visible, atol=1e-9)
    decoded = model.decode(h)
    assert decoded.shape == (len(h), *shape)
    assert torch.allclose(decoded.flatten(1), visible_given_hidden, atol=1e-9)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_the_gibbs_transition_keeps_the_enumerated_distribution(shape, hidden):
    model = stiff(shape, hidden)
    v, h, p, _ = joint(model)

    def table(means, states):
        return torch.stack([torch.where(s == 1, means, 1 - means).prod(1) for s in states], dim=1)

    up = table(model.encode(v.reshape(-1, *shape)), h)
    down = table(model.decode(h).flatten(1), v)
    transition = (up @ down).detach()
    marginal = p.sum(1)
    assert torch.allclose(marginal @ transition, marginal, atol=1e-12)
    flow = marginal.unsqueeze(1) * transition
    assert torch.allclose(flow, flow.T, atol=1e-12)
    start = v[5 % len(v)].reshape(1, *shape)
    after = model.gibbs(start.expand(20_000, *shape), seed=1)
    # false-alarm rate 1 in 100,000
    assert_follows(counts(after, v.shape[1]), transition[5 % len(v)], "a Gibbs step")


@pytest.mark.parametrize("beta", [0.0, 0.35, 1.0])
def test_a_tempered_move_keeps_its_own_density(beta):
    model = stiff()
    v, _, _, _ = joint(model)
    path = model._tempered()
    field = (1 - beta) * model.base_bias + beta * model.visible_bias
    logits = v @ field + softplus(beta * (v @ model.weights + model.hidden_bias)).sum(1)
    p = logits.detach().softmax(0)
    start = v[torch.multinomial(p, 20_000, replacement=True)]
    after = path.move(path.at(start), beta).visible
    # false-alarm rate 1 in 100,000
    assert_follows(counts(after, 6), p, f"a move at {beta}")
    if beta == 0.0:
        assert_follows(counts(path.start(20_000).visible, 6), p, "the base-rate model")
        assert torch.allclose(path.log_base_partition, logits.logsumexp(0), atol=1e-9)


def test_log_ratios_are_differences_of_the_tempered_density():
    model = stiff()
    v, _, _, _ = joint(model)
    path = model._tempered()

    def log_density(beta):
        field = (1 - beta) * model.base_bias + beta * model.visible_bias
        activation = v @ model.weights + model.hidden_bias
        return v @ field + (beta * activation).exp().log1p().sum(1)

    wanted = log_density(0.8) - log_density(0.3)
    assert torch.allclose(path.log_ratio(path.at(v), 0.3, 0.8), wanted, atol=1e-9)


@pytest.mark.parametrize(("shape", "hidden"), SHAPES)
def test_annealed_importance_agrees_with_enumeration(shape, hidden):
    model = stiff(shape, hidden)
    log_z = model.log_partition_exact()
    estimate = model.log_partition(2000, num_temperatures=60, seed=4)
    assert 0 < estimate.standard_error < 0.1
    # 5 standard errors: false alarm 6e-7
    assert abs(estimate.value - log_z) < 5 * estimate.standard_error
    start = exact_draws(model, 2000)
    upper = model.log_partition(reverse=True, start=start, num_temperatures=60, seed=5)
    assert 0 < upper.standard_error < 0.2
    assert abs(upper.value - log_z) < 5 * upper.standard_error


def test_forward_and_reverse_bracket_the_truth():
    model = stiff(scale=3.0)
    log_z = model.log_partition_exact()
    lower = torch.stack(
        [model.log_partition(4, num_temperatures=4, seed=s).value for s in range(200)]
    )
    upper = torch.stack(
        [
            model.log_partition(reverse=True, start=exact_draws(model, 4), num_temperatures=4).value
            for _ in range(200)
        ]
    )
    # Both gaps are wide at 4 temperatures: false alarm of 5 standard errors 3e-7
    assert lower.mean() + 5 * lower.std() / 200**0.5 < log_z
    assert upper.mean() - 5 * upper.std() / 200**0.5 > log_z


def test_log_prob_anneals_where_both_sides_are_large():
    model = stiff((1, 17), 18, scale=0.4)
    x = Binary((1, 17)).random(5).double()
    estimate = model.estimate(x, effort=400)
    assert bool((estimate.standard_error > 0).all())
    exact = -model.free_energy(x) - model.log_partition_exact()
    # 5 standard errors: false alarm 6e-7
    assert bool(((estimate.value - exact).abs() < 5 * estimate.standard_error).all())


def test_log_prob_is_a_function_of_the_parameters_and_leaves_the_generator_alone():
    model = stiff((17,), 18, scale=0.3, num_temperatures=20)
    x = Binary((17,)).random(3)
    state = torch.get_rng_state()
    first = model.log_prob(x)
    assert torch.equal(torch.get_rng_state(), state)
    model._cached = Kept()
    assert torch.equal(model.log_prob(x), first)


def test_the_seed_of_an_estimate_decides_its_draws():
    model = stiff((17,), 18, scale=0.3, num_temperatures=20)
    x = Binary((17,)).random(3)
    first = model.estimate(x, seed=1)
    assert torch.equal(model.estimate(x, seed=1).value, first.value)
    model._cached = Kept()
    assert torch.equal(model.estimate(x, seed=1).value, first.value)
    assert not torch.equal(model.estimate(x, seed=2).value, first.value)
    assert not torch.equal(model.log_prob(x), first.value)


def test_log_partition_is_kept_until_a_parameter_changes(monkeypatch):
    model = stiff((17,), 18, scale=0.3, num_temperatures=5)
    x = Binary((17,)).random(3)
    calls = []
    annealed = RBM.log_partition
    monkeypatch.setattr(RBM, "log_partition", lambda *a, **k: calls.append(1) or annealed(*a, **k))

    def asked(**settings):
        calls.clear()
        model.estimate(x, **{"seed": 5, **settings})
        return len(calls)

    assert asked() == 1
    assert asked() == 0
    assert asked(effort=7) == 1
    assert asked(effort=7) == 0
    optimiser = Optimiser("adam", learning_rate=0.1).build(model.parameters())
    model.free_energy(x).sum().backward()
    optimiser.step()
    assert asked(effort=7) == 1
    model.hidden_bias.data[3] += 1e-6
    assert asked(effort=7) == 1
    model.load_state_dict({k: v + 0.5 for k, v in model.state_dict().items()})
    assert asked(effort=7) == 1
    model.float()
    assert asked(effort=7) == 1
    assert asked(effort=7) == 0
    assert asked(effort=7, seed=6) == 1
    assert asked(effort=7) == 0
    assert asked(seed=None) == asked(seed=None) == 1


def test_samples_and_prior_follow_the_model():
    model = stiff(scale=0.8, num_steps=40)
    _, _, p, _ = joint(model)
    x = model.sample(20_000, seed=1)
    assert model.space.contains(x)
    # false-alarm rate 1 in 100,000 each
    assert_follows(counts(x, 6), p.sum(1), "samples")
    assert_follows(counts(model.prior(20_000, seed=2), 4), p.sum(0), "the prior")
    assert model.sample(3, seed=1).shape == (3, 2, 3)


def test_annealing_brings_chains_closer_than_gibbs_steps_alone():
    """Two modes that no Gibbs step joins, one with twenty times the mass of the other."""
    model = RBM(Binary((6,)), 4, num_steps=60).double()
    with torch.no_grad():
        model.weights.fill_(3.0)
        model.visible_bias.fill_(-5.5)
        model.hidden_bias.fill_(-9.0)
    v, _, p, _ = joint(model)
    wanted = float((p.sum(1) * v.mean(1)).sum())
    annealed = float(model.sample(4000, seed=0).mean())
    plain = float(model.gibbs(model.space.random(4000), steps=60, seed=0).mean())
    # 0.66 against 0.52 where 0.95 is right; the margin is over 5 standard errors below that
    assert plain + 0.08 < annealed < wanted


@pytest.mark.parametrize("which", [[0, 4], [1, 2, 3, 5], []])
def test_completion_follows_the_exact_conditional(which):
    model = stiff(scale=0.8, num_sweeps=40)
    v, _, p, _ = joint(model)
    known = torch.zeros(6, dtype=torch.bool)
    known[which] = True
    given = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).double()
    fits = (v[:, known] == given[known]).all(1)
    x = torch.where(known, given, 1 - given).reshape(1, 2, 3).expand(20_000, 2, 3)
    drawn = model.complete(x, known.reshape(2, 3), seed=1)
    assert torch.equal(drawn.flatten(1)[:, known], x.flatten(1)[:, known])
    # false-alarm rate 1 in 100,000; what does not fit has probability 0
    assert_follows(counts(drawn, 6), p.sum(1) * fits, "completion")


def test_completion_ignores_what_stands_where_data_are_missing():
    model = stiff()
    x = model.sample(50, seed=1)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    other = torch.where(mask, x, 1 - x)
    assert torch.equal(model.complete(x, mask, seed=2), model.complete(other, mask, seed=2))


def test_the_visible_bias_reproduces_the_mean_of_the_data():
    model = RBM(Binary((2, 3)), 4).double()
    mean = torch.tensor([[0.02, 0.5, 0.98], [0.0, 1.0, 0.3]]).double()
    model.set_visible_bias(mean)
    wanted = mean.clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        model.weights.zero_()
    assert torch.allclose(model.decode(torch.ones(1, 4))[0], wanted, atol=1e-12)
    assert torch.allclose(model._tempered().base_bias.sigmoid(), wanted.flatten(), atol=1e-12)
    assert torch.isfinite(model.log_partition(10, num_temperatures=5).value)
    for bad in (mean.flatten()[:5], mean + 0.5, mean * float("nan")):
        with pytest.raises(ValueError, match="mean must have shape"):
            model.set_visible_bias(bad)


def test_draws_keep_full_precision_under_autocast():
    model = RBM(Binary((5,)), 3)
    x = model.space.random(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.activation(x).dtype == torch.float32
        assert model.free_energy(x).dtype == torch.float32
        assert model.log_prob(x).dtype == torch.float32
        assert model.space.contains(model.sample(4))


def test_float32_log_prob_agrees_with_float64():
    model = stiff((17,), 18, scale=0.3, num_temperatures=30)
    x = model.space.random(8)
    wanted = model.log_prob(x)
    # the draws differ between the dtypes
    slack = 5 * float(model.estimate(x).standard_error[0]) * 2**0.5 + 1e-3
    assert torch.allclose(model.float().log_prob(x).double(), wanted, atol=slack)


def test_save_and_load_keep_the_answers(tmp_path):
    model = stiff()
    model.float().save(tmp_path)
    x = model.space.random(9)
    assert torch.equal(load(tmp_path).log_prob(x), model.log_prob(x))
    assert torch.equal(load(tmp_path)._tempered().base_bias, model.base_bias)


def test_learning_comes_near_the_entropy_of_simple_data():
    with seeded(0, torch.device("cpu")):
        model = RBM(Binary((5,)), 7)
    patterns = torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]])
    x = patterns[torch.arange(1200) % 4 % 3]
    share = torch.tensor([0.5, 0.25, 0.25])
    algorithm = model.algorithm()
    model.fit(x, epochs=60, algorithm=algorithm, device="cpu")
    independent = x.mean(0)
    entropy = -(share * share.log()).sum()
    apart = -torch.xlogy(independent, independent) - torch.xlogy(1 - independent, 1 - independent)
    loss = -model.log_prob(x).mean()
    assert entropy < loss < 0.5 * (entropy + apart.sum())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden": 0}, "num_hidden must be a positive integer, got 0"),
        ({"num_steps": 0}, "num_steps must be a positive integer"),
        ({"num_sweeps": -1}, "num_sweeps must be a positive integer"),
        ({"num_hidden": 2.5}, "num_hidden must be a positive integer, got 2.5"),
        ({"num_hidden": "3"}, "num_hidden must be a positive integer, got '3'"),
        ({"num_steps": 2.5}, "num_steps must be a positive integer, got 2.5"),
        ({"num_temperatures": 2}, "num_temperatures must be at least 3"),
        ({"num_temperatures": 9.5}, "num_temperatures must be a positive integer, got 9.5"),
        ({"space": Sequence(Binary((4,)), 2)}, "space must be Binary, Real, Pixels, or"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RBM(**{"space": Binary((4,)), **settings})


def test_missing_numbers_are_called_so():
    model = RBM(Binary((2,)), 2)
    with pytest.raises(ValueError, match="1 entries are NaN or infinite, first in row 1"):
        model.fit(torch.tensor([[0.0, 1.0], [torch.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"got shape \(2,\), 1 of 2 entries NaN"):
        model.set_visible_bias(torch.tensor([0.5, torch.nan]))
    with pytest.raises(ValueError, match=r"got shape \(2,\), entries 0.5 to 1.5"):
        model.set_visible_bias(torch.tensor([0.5, 1.5]))
    real = RBM(Real((2,)), 2)
    with pytest.raises(ValueError, match=r"got shape \(2,\), 2 of 2 entries NaN"):
        real.set_visible_bias(torch.full((2,), torch.nan))
    with pytest.raises(ValueError, match=r"variance .* 1 of 2 entries NaN"):
        real.set_visible_bias(torch.zeros(2), torch.tensor([1.0, torch.nan]))


def test_what_cannot_be_summed_or_started_is_refused():
    model = RBM(Binary((26,)), 27)
    with pytest.raises(ValueError, match=r"at most 2\^25 states, this model has 26 and 27 units"):
        model.log_partition_exact()
    with pytest.raises(ValueError, match="start has 3 rows for 5 chains"):
        model.log_partition(5, reverse=True, start=torch.zeros(3, 26))
    with pytest.raises(ValueError, match="start is not in"):
        model.log_partition(reverse=True, start=torch.full((3, 26), 0.5))
    with pytest.raises(ValueError, match="give reverse=True too"):
        model.log_partition(start=torch.zeros(3, 26))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "a"])
def test_a_bad_effort_is_refused_and_not_taken_for_none(bad):
    model = RBM(Binary((3,)), 2)
    for call in (model.log_partition, partial(model.log_partition, reverse=True)):
        with pytest.raises(ValueError, match="num_chains must be a positive integer"):
            call(bad)
        with pytest.raises(ValueError, match="num_temperatures must be a positive integer"):
            call(num_temperatures=bad)


def test_mean_energy_of_samples_is_the_enumerated_one():
    model = stiff(scale=0.8, num_steps=40)
    v, _, p, _ = joint(model)
    wanted = float((p.sum(1) * model.free_energy(v.reshape(-1, 2, 3))).sum())
    # false-alarm rate 1 in 100,000
    assert_mean(model.free_energy(model.sample(20_000, seed=3)).detach(), wanted, "free energy")
