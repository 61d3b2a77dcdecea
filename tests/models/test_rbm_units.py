"""Every pair of kinds of units against sums over states and quadrature without closed forms."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from genus.models import RBM
from genus.models.registry import load
from genus.spaces import Binary, Categorical, Pixels, Real
from genus.testing.statistics import assert_follows, assert_mean

VISIBLE = {
    "binary": (Binary((3,)), None),
    "gaussian": (Real((2,)), None),
    "categorical": (Categorical((2,), 3), None),
    "rectified": (Pixels((1, 1, 2), 4), "rectified"),
}
HIDDEN = ("binary", "gaussian", "categorical", "rectified")
PAIRS = list(itertools.product(VISIBLE, HIDDEN))
LEVELS = 3
GRID = torch.linspace(-24.0, 24.0, 321, dtype=torch.float64)


def stiff(visible, hidden, scale=1.0, seed=2, **settings):
    """Two hidden units, large uneven weights, float64."""
    space, kind = VISIBLE[visible]
    settings = {"num_temperatures": 300, **settings}
    model = RBM(space, 2, hidden=hidden, visible=kind, num_states=LEVELS, **settings).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        rows = torch.linspace(0.5, 1.5, len(model.weights), dtype=torch.float64)
        model.weights.mul_(rows.unsqueeze(1))
        model.base_bias.copy_(torch.linspace(-0.6, 0.8, len(model.base_bias)))
        if visible == "gaussian":
            model.visible_units.log_variance.copy_(torch.tensor([0.5, -0.8]))
            model.visible_units.base_log_variance.copy_(torch.tensor([0.9, 0.3]))
        if visible == hidden == "gaussian":
            model.weights.mul_(0.25)
    return model


def weight_of_level(level, copies):
    """Σ over the subsets of copies of this size of exp −Σ (i − ½), one by one."""
    chosen = itertools.combinations(range(1, copies + 1), level)
    return math.log(sum(math.exp(-sum(i - 0.5 for i in subset)) for subset in chosen))


def one_unit(kind, values):
    """The values of a unit, their entries, and the logarithm of each one's own weight."""
    if kind == "gaussian":
        step = math.log(float(GRID[1] - GRID[0]))
        return GRID, GRID.unsqueeze(1), torch.full((len(GRID),), step).double()
    x = torch.arange(values, dtype=torch.float64)
    if kind == "categorical":
        return x, torch.eye(values).double(), torch.zeros(values).double()
    if kind == "rectified":
        own = torch.tensor([weight_of_level(n, values - 1) for n in range(values)])
        return x, x.unsqueeze(1), own.double()
    return x, x.unsqueeze(1), torch.zeros(2).double()


def side(kind, number, values):
    """All states of a side: values, entries and own log weights."""
    x, entries, own = one_unit(kind, values)
    rows = torch.cartesian_prod(*[torch.arange(len(x))] * number).reshape(-1, number)
    return x[rows], entries[rows].flatten(1), own[rows].sum(1)


def visible_side(model, visible):
    values = {"binary": 2, "categorical": 3, "rectified": 4}.get(visible, 0)
    return side(visible, model.space.num_dimensions, values)


def joint(model, visible, hidden, x=None):
    """Log weights exp(−E) of every v (rows, or those given) and every h (columns)."""
    values, v, own_v = visible_side(model, visible)
    if x is not None:
        values, v, own_v = x
    _, h, own_h = side(hidden, 2, 2 if hidden == "binary" else LEVELS)
    W, b, c = (p.detach() for p in (model.weights, model.visible_bias, model.hidden_bias))
    if visible == "gaussian":
        variance = model.visible_units.log_variance.detach().exp()
        alone = own_v - ((v - b) ** 2 / (2 * variance)).sum(1)
        seen = v / variance
    else:
        alone, seen = own_v + v @ b, v
    caused = own_h + h @ c
    if hidden == "gaussian":
        caused = caused - 0.5 * (h**2).sum(1)
    return values, v, h, alone.unsqueeze(1) + caused + seen @ W @ h.T


def data(model, values):
    x = values.reshape(-1, *model.space.shape)
    return x if model.space.dtype is None else x.to(model.space.dtype)


def few(model, visible, n=7):
    """Some points of the space, with their own log weights."""
    values, v, own = visible_side(model, visible)
    if visible == "gaussian":
        v = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return v, v, torch.zeros(n).double()
    return values[:n], v[:n], own[:n]


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_free_energy_and_conditionals_equal_sums_over_states(visible, hidden):
    model = stiff(visible, hidden)
    values, v, h, log_w = joint(model, visible, hidden, few(model, visible))
    x = data(model, values)
    assert torch.allclose(model.free_energy(x), -log_w.logsumexp(1), atol=1e-6)
    p = log_w.softmax(1)
    assert torch.allclose(model.encode(x), p @ h, atol=1e-6)
    variance = p @ (h @ model.weights.T).square() - (p @ (h @ model.weights.T)).square()
    activation = model.activation(v)
    found = model.hidden_units.variance_of(model.weights, activation)
    assert torch.allclose(found, variance, atol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_visible_conditional_equals_a_sum_over_states(visible, hidden):
    model = stiff(visible, hidden)
    z = model.hidden_units.states(torch.tensor([[0, 1], [1, 0], [1, 1]]).double())
    W, b = model.weights.detach(), model.visible_bias.detach()
    values, v, own = visible_side(model, visible)
    if visible == "gaussian":
        variance = model.visible_units.log_variance.detach().exp()
        own = own - ((v - b) ** 2 / (2 * variance)).sum(1)
        log_w = own + (z @ W.T / variance) @ v.T
    else:
        log_w = own + (z @ W.T + b) @ v.T
    means = log_w.softmax(1) @ values
    decoded = model.decode(z)
    assert decoded.shape == (3, *model.space.shape)
    assert torch.allclose(decoded.flatten(1), means, atol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_log_partition_and_log_prob_are_exact(visible, hidden):
    model = stiff(visible, hidden)
    if visible == hidden == "gaussian":
        _, v, own = visible_side(model, visible)
        log_z = (own - model._free_energy(v)).logsumexp(0)
    else:
        log_z = joint(model, visible, hidden)[3].flatten().logsumexp(0)
    assert torch.allclose(model.log_partition_exact(), log_z, atol=1e-6)
    x = data(model, few(model, visible)[0])
    wanted = -model.free_energy(x) - log_z
    estimate = model.estimate(x)
    assert torch.allclose(estimate.value, wanted, atol=1e-6)
    assert not bool(estimate.standard_error.any())
    assert estimate.value.dtype == torch.float64


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_annealing_both_ways_agrees_with_the_exact_constant(visible, hidden):
    model = stiff(visible, hidden, scale=0.8)
    log_z = model.log_partition_exact()
    up = model.log_partition(2000, num_temperatures=60, seed=4)
    assert 0 < up.standard_error < 0.15
    # 5 standard errors: false alarm 6e-7
    assert abs(up.value - log_z) < 5 * up.standard_error
    start = exact_draws(model, visible, 2000)
    down = model.log_partition(reverse=True, start=start, num_temperatures=60, seed=5)
    assert 0 < down.standard_error < 0.15
    assert abs(down.value - log_z) < 5 * down.standard_error


def exact_draws(model, visible, n, seed=3):
    """By the free energy of every state; real values on a grid far finer than any test sees."""
    values, _, own = visible_side(model, visible)
    p = (-model._free_energy(data(model, values))).detach()
    own = own if visible == "gaussian" else torch.zeros_like(own)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.multinomial((p + own).softmax(0), n, replacement=True, generator=generator)
    return data(model, values[rows])


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_a_gibbs_step_keeps_the_distribution(visible, hidden):
    """False-alarm rate 1 in 100,000 for each assertion."""
    model = stiff(visible, hidden, scale=0.8)
    start = exact_draws(model, visible, 20_000)
    after = model.gibbs(start, seed=1)
    assert model.space.contains(after)
    if visible != "gaussian":
        assert_follows(counted(after, visible), probabilities(model, visible), "a Gibbs step")
        return
    _, v, own = visible_side(model, visible)
    p = (own - model._free_energy(v)).detach().softmax(0)
    for power in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1)):
        moment = (v[:, 0] ** power[0] * v[:, 1] ** power[1]) @ p
        drawn = after[:, 0] ** power[0] * after[:, 1] ** power[1]
        assert_mean(drawn, float(moment), f"moment {power}", slack=1e-3)


def counted(x, visible):
    base = {"binary": 2, "categorical": 3, "rectified": 4}[visible]
    x = x.flatten(1).long()
    code = (x * base ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)
    return torch.bincount(code, minlength=base ** x.shape[1])


def probabilities(model, visible):
    x = data(model, visible_side(model, visible)[0])
    return (-model.free_energy(x)).softmax(0).detach()


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@torch.no_grad()
def test_a_tempered_move_keeps_its_density(visible, hidden, beta):
    """Moments or frequencies of exact draws at β, moved; false-alarm rate 1 in 100,000 each."""
    model = stiff(visible, hidden, scale=0.8)
    path = model._tempered()
    values, v, own = visible_side(model, visible)
    own = own if visible == "gaussian" else torch.zeros_like(own)
    # log f_β = −F less what annealing adds from β on
    log_f = own - model._free_energy(data(model, values))
    log_f = log_f - path.log_ratio(path.at(v), beta, 1.0)
    p = log_f.softmax(0)
    generator = torch.Generator().manual_seed(2)
    start = v[torch.multinomial(p, 20_000, replacement=True, generator=generator)]
    torch.manual_seed(3)
    after = path.start(20_000).visible if beta == 0 else path.move(path.at(start), beta).visible
    for i, j in itertools.combinations_with_replacement(range(v.shape[1]), 2):
        wanted = float((v[:, i] * v[:, j]) @ p)
        assert_mean(after[:, i] * after[:, j], wanted, f"moment {i}{j} at {beta}", slack=1e-3)
        assert_mean(after[:, i], float(v[:, i] @ p), f"mean {i} at {beta}", slack=1e-3)
    if beta == 0:
        ground = model.visible_units.ground(model.visible_bias).sum()
        assert torch.allclose(path.log_base_partition - ground, log_f.logsumexp(0), atol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@torch.no_grad()
def test_samples_and_completions_follow_the_model(visible, hidden):
    """False-alarm rate 1 in 100,000 for each assertion."""
    model = stiff(visible, hidden, scale=0.5, num_steps=30, num_sweeps=30)
    x = model.sample(8_000, seed=1)
    assert model.space.contains(x)
    x0 = data(model, few(model, visible)[0])[3:4]
    mask = torch.zeros(x0[0].numel(), dtype=torch.bool)
    mask[0] = True
    rows = x0.expand(8_000, *x0.shape[1:])
    filled = model.complete(rows, mask.reshape(x0[0].shape), seed=2)
    if visible != "gaussian":
        p = probabilities(model, visible)
        assert_follows(counted(x, visible), p, "samples")
        points = data(model, visible_side(model, visible)[0]).flatten(1)
        fits = points[:, 0] == x0.flatten()[0]
        assert_follows(counted(filled, visible), p * fits, "completions")
        return
    _, v, own = visible_side(model, visible)
    p = (own - model._free_energy(v)).detach().softmax(0)
    for power in (1, 2):
        assert_mean(x[:, 1] ** power, float(v[:, 1] ** power @ p), "samples", slack=1e-3)
    line = torch.stack([x0[0, 0].expand(len(GRID)), GRID], 1)
    q = (-model._free_energy(line)).detach().softmax(0)
    for power in (1, 2):
        assert_mean(filled[:, 1] ** power, float(GRID**power @ q), "completions", slack=1e-3)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@torch.no_grad()
def test_the_conditional_probability_of_the_missing_part(visible, hidden):
    model = stiff(visible, hidden, scale=0.8)
    values = few(model, visible)[0]
    x = data(model, values)
    number = model.space.num_dimensions
    mask = torch.zeros(len(x), number, dtype=torch.bool)
    mask[:, 0] = True
    mask[2:4] = False
    mask[5] = True
    found = model.conditional_log_prob(x, mask.reshape(x.shape), effort=500, seed=1)
    for row, known, value in zip(values, mask, found.value, strict=True):
        if visible == "gaussian":
            lines = [row[i : i + 1] if known[i] else GRID for i in range(2)]
            states = torch.cartesian_prod(*lines)
            step = (~known).sum() * math.log(float(GRID[1] - GRID[0]))
        else:
            points = visible_side(model, visible)[0]
            states = points[((points == row) | ~known).all(1)]
            step = 0.0
        log_z = (-model._free_energy(data(model, states))).logsumexp(0) + step
        wanted = -model._free_energy(data(model, row.unsqueeze(0)))[0] - log_z
        if found.sign == "=":
            assert torch.allclose(value, wanted, atol=1e-6)
        else:
            # 500 chains over 300 temperatures: a hundredth of a nat is many standard errors
            assert hidden == "gaussian"
            assert abs(value - wanted) < 0.05
    assert (found.sign == "=") == (hidden != "gaussian" or visible == "gaussian")


def test_gaussian_machines_without_a_constant_are_refused():
    model = stiff("gaussian", "gaussian")
    with torch.no_grad():
        model.weights.mul_(20.0)
    for call in (
        model.log_partition_exact,
        lambda: model.log_prob(torch.zeros(1, 2)),
        lambda: model.sample(3),
        lambda: model.gibbs(torch.zeros(1, 2)),
        lambda: model.complete(torch.zeros(1, 2), torch.tensor([True, False])),
    ):
        with pytest.raises(ValueError, match="no log Z: its Gaussian units pull"):
            call()


def test_many_copies_come_near_the_softplus_of_rectified_units():
    from genus.models.boltzmann.rectified_units import Rectified

    field = torch.linspace(-4.0, 8.0, 25, dtype=torch.float64)
    mean = Rectified(40).mean(field)
    assert torch.allclose(mean, torch.nn.functional.softplus(field), atol=0.02)


@pytest.mark.parametrize("visible", list(VISIBLE))
def test_the_visible_bias_gives_the_mean_of_the_data(visible):
    model = stiff(visible, "binary")
    values = visible_side(model, visible)[0][:9].double()
    if visible == "gaussian":
        values = torch.randn(50, 2).double() * torch.tensor([0.3, 2.0]) + 3
    mean = values.mean(0).reshape(model.space.shape)
    if visible == "categorical":
        share = torch.nn.functional.one_hot(values.long(), 3).double().mean(0)
        model.set_visible_bias(share)
    elif visible == "gaussian":
        model.set_visible_bias(mean, values.var(0))
        variance = model.visible_units.log_variance.exp()
        assert torch.allclose(variance, values.var(0))
        assert torch.equal(model.visible_units.base_log_variance, variance.log())
    else:
        model.set_visible_bias(mean)
    with torch.no_grad():
        model.weights.zero_()
    z = model.hidden_units.states(torch.zeros(1, 2).double())
    # what never comes is given a thousandth
    assert torch.allclose(model.decode(z)[0], mean, atol=5e-3)
    assert torch.equal(model.base_bias, model.visible_bias)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_saved_machines_answer_alike(visible, hidden, tmp_path):
    model = stiff(visible, hidden).float()
    model.save(tmp_path)
    x = data(model, few(model, visible)[0]).float() if visible == "gaussian" else None
    x = data(model, few(model, visible)[0]) if x is None else x
    assert torch.equal(load(tmp_path).log_prob(x), model.log_prob(x))


def test_binary_machines_keep_the_names_of_their_tensors():
    names = list(RBM(Binary((3,)), 2).state_dict())
    assert names == ["weights", "visible_bias", "hidden_bias", "base_bias"]
    added = set(RBM(Real((3,)), 2).state_dict()) - set(names)
    assert added == {"visible_units.log_variance", "visible_units.base_log_variance"}


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (Pixels((1, 2, 2), 4), {}, "visible must be 'rectified' or 'categorical'"),
        (Binary((3,)), {"visible": "gaussian"}, "visible must be 'binary'.*'gaussian'"),
        (Real((3,)), {"visible": "rectified"}, "visible must be 'gaussian'"),
        (Binary((3,)), {"hidden": "relu"}, "hidden must be 'binary', 'gaussian'"),
        (Binary((3,)), {"hidden": "rectified", "num_states": 1}, "num_states must be at least 2"),
    ],
)
def test_bad_arguments_are_refused(space, settings, message):
    with pytest.raises(ValueError, match=message):
        RBM(space, 2, **settings)


@pytest.mark.parametrize(
    ("visible", "bad", "message"),
    [
        ("binary", torch.tensor([[0.0, 0.5, 1.0]]), "entries must be 0 or 1, found 0.5"),
        ("binary", torch.zeros(2, 4), "expected shape"),
        ("gaussian", torch.tensor([[0.0, math.nan]]), "NaN or infinite"),
        ("categorical", torch.tensor([[0, 3]]), "integers 0 to 2, found 3"),
        ("categorical", torch.tensor([[0, -1]]), "integers 0 to 2, found -1"),
        ("rectified", torch.full((1, 1, 1, 2), 4), "integers 0 to 3, found 4"),
    ],
)
def test_data_of_another_space_are_refused(visible, bad, message):
    model = stiff(visible, "binary")
    for call in (model.free_energy, model.log_prob, model.encode, model.gibbs, model.fit):
        with pytest.raises(ValueError, match=message):
            call(bad)


def test_means_and_variances_that_do_not_fit_are_refused():
    real, potts, levels = (stiff(v, "binary") for v in ("gaussian", "categorical", "rectified"))
    with pytest.raises(ValueError, match=r"mean must have shape \(2,\) and finite"):
        real.set_visible_bias(torch.tensor([1.0, math.inf]))
    with pytest.raises(ValueError, match=r"variance must have shape \(2,\) and positive"):
        real.set_visible_bias(torch.ones(2), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="variance is for Gaussian"):
        levels.set_visible_bias(torch.ones(1, 1, 2), torch.ones(1, 1, 2))
    with pytest.raises(ValueError, match=r"mean must have shape \(2, 3\), the share"):
        potts.set_visible_bias(torch.ones(2, 3))
    with pytest.raises(ValueError, match="entries 0 to 3"):
        levels.set_visible_bias(torch.full((1, 1, 2), 3.5))


def test_score_is_the_slope_of_log_p_in_closed_form():
    from genus.objectives.score_matching import differentiated

    for hidden in HIDDEN:
        model = stiff("gaussian", hidden)
        x = 2 * torch.randn(6, 2, generator=torch.Generator().manual_seed(1)).double()
        found, wanted = model.score_and_divergence(x), differentiated(model._free_energy, x)
        for a, b in zip(found, wanted, strict=True):
            assert isinstance(a, Tensor)
            assert torch.allclose(a, b, atol=1e-8)
    with pytest.raises(ValueError, match="a score needs a Real space"):
        stiff("binary", "binary").score_and_divergence(torch.zeros(1, 3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", HIDDEN)
def test_means_found_with_their_sum_over_states_are_those_found_alone(kind, dtype):
    """The means are held against sums over states by other tests; here up to fields of ±200."""
    units = RBM(Binary((2,)), 2, hidden=kind, num_states=LEVELS).hidden_units
    field = torch.linspace(-200.0, 200.0, 606, dtype=dtype).reshape(-1, 6)
    mean, log_partition = units.mean_and_log_partition(field)
    tolerance = {"rtol": 64 * torch.finfo(dtype).eps, "atol": 256 * torch.finfo(dtype).eps}
    assert torch.allclose(mean, units.mean(field), **tolerance)
    assert torch.allclose(log_partition, units.log_partition(field).sum(-1), **tolerance)
    assert mean.dtype == log_partition.dtype == dtype
    assert log_partition.shape == (len(field),)
