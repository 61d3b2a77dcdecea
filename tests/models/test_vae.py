import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from genus import spaces
from genus.engine import Batch, Descend, Optimiser
from genus.models.variational import VAE
from genus.objectives.variational import EvidenceLowerBound, ImportanceWeighted
from genus.testing.statistics import assert_follows, assert_mean

LABELS = spaces.Categorical((), 3)
HEADS = [
    (spaces.Binary((5,)), "bernoulli"),
    (spaces.Real((3,)), "gaussian"),
    (spaces.Pixels((2, 3), 7), "logistic"),
    (spaces.Pixels((3,), 5), "categorical"),
    (spaces.Categorical((3,), 4), "categorical"),
    (spaces.Real((3,)), "logistic"),
]


def stiff(model: VAE, scale: float = 1.5) -> VAE:
    """Large uneven weights in float64; the recogniser is wide, so that weights have a variance."""
    generator = torch.Generator().manual_seed(7)
    model.double().eval()
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            size = 0.4 * scale if name.startswith("encoder") else scale
            draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            fan = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.copy_(size * (1 + 0.3 * (number % 3)) * draws / math.sqrt(fan))
        model.encoder.dense[-1].bias[model.num_latent :] += 0.3
    return model


def small(space, head="default", *, num_latent=2, condition=None, scale=1.5, **settings) -> VAE:
    torch.manual_seed(0)
    model = VAE(
        space,
        num_latent,
        hidden=(7,),
        head=head,
        num_mixtures=2,
        condition=condition,
        **settings,
    )
    return stiff(model, scale)


def quadrature(model: VAE, x, condition=None, reach: float = 9.0, points: int = 601):
    """Log p(x) = log ∫ N(z; 0, I) p(x | z) dz on a dense grid, and log p(z | x) on it."""
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * model.num_latent).reshape(-1, model.num_latent)
    volume = (line[1] - line[0]).log() * model.num_latent
    prior = Normal(0.0, 1.0).log_prob(grid).sum(1) + volume
    rows = []
    with torch.no_grad():
        for i in range(len(x)):
            given = None if condition is None else condition[i : i + 1].expand(len(grid))
            parameters = model.decoder(grid, model._given(given))
            log_likelihood = model.head.log_prob(parameters, x[i].expand(len(grid), *x[i].shape))
            rows.append(prior + log_likelihood.flatten(1).sum(1))
    joint = torch.stack(rows)
    return joint.logsumexp(1), joint, grid


def data_of(space, n=4):
    torch.manual_seed(2)
    x = space.random(n)
    return x.double() if x.is_floating_point() else x


@pytest.mark.parametrize(("space", "head"), HEADS)
@torch.no_grad()
def test_bound_lies_below_quadrature_and_closes(space, head):
    model, x = small(space, head, scale=1.0), data_of(space)
    exact = quadrature(model, x, points=201)[0]
    repeats = x.repeat_interleave(1000, 0)
    means = []
    for effort in (1, 5):
        bounds = model.lower_bound(repeats, effort=effort, seed=0).reshape(len(x), -1)
        means.append(bounds.mean(1))
        error = bounds.std(1) / math.sqrt(bounds.shape[1])
        # normal tails of 5 standard errors: 3e-7 each
        assert (means[-1] < exact + 5 * error).all()
    # the gap of effort 1 is tenths of a nat, a hundred standard errors
    assert (means[0] < means[1]).all()
    # 8,000 draws stray by less than 0.03 nats here: 0.15 is out of reach
    assert torch.allclose(model.lower_bound(x, effort=8000, seed=0), exact, atol=0.15)


def test_importance_weights_average_to_the_density():
    """E[p(x, z)/q(z | x)] = p(x), exactly unbiased for any effort."""
    model = small(spaces.Binary((5,)), num_latent=1, scale=0.8)
    x = data_of(model.space, 3)
    exact = quadrature(model, x, points=4001)[0]
    torch.manual_seed(0)
    with torch.no_grad():
        weights = model._log_weights(x, None, 200_000).exp()
    for row, value in zip(weights, exact.exp(), strict=True):
        assert_mean(row, value.item(), "mean weight")


def test_kl_is_torchs():
    model = small(spaces.Binary((5,)), num_latent=3)
    x = data_of(model.space, 6)
    mean, log_scale = model._posterior(x, None)
    expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(model._bound_terms(x, None).kl, expected, atol=1e-12)


def test_weight_is_the_ratio_of_torchs_densities():
    model = small(spaces.Real((3,)), num_latent=2)
    x = data_of(model.space, 6)
    mean, log_scale = model._posterior(x, None)
    z = mean + 0.7
    parameters = model.decoder(z, None)
    posterior = Independent(Normal(mean, log_scale.exp()), 1)
    expected = model.head.log_prob(parameters, x).sum(1) - posterior.log_prob(z)
    expected = expected + Normal(0.0, 1.0).log_prob(z).sum(1)
    weight = model._log_weight(x, z, parameters, mean, log_scale)
    assert torch.allclose(weight, expected, atol=1e-10)


def test_scales_are_bounded_softly_and_finite():
    model = small(spaces.Real((3,)), scale=60.0)
    x = 1e4 * data_of(model.space)
    log_scale = model._posterior(x, None)[1]
    assert (log_scale.abs() <= 8).all()
    assert (log_scale.abs() > 7.9).any()
    terms = model._bound_terms(x, None)
    (terms.kl - terms.log_likelihood).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("effort", [1, 3, 5000])
def test_pieces_do_not_change_the_bound(effort, monkeypatch):
    """However many codes fit into memory, the same weights are averaged."""
    model = small(spaces.Binary((5,)), scale=0.5, condition=LABELS)
    x, labels = data_of(model.space, 3), torch.tensor([2, 0, 1])
    monkeypatch.setattr(VAE, "_posterior", lambda self, x, given: (x[:, :2] - 0.3, x[:, :2] * 0))
    draws = torch.randn(3, effort, 2, dtype=torch.float64)
    position = {"at": 0}
    monkeypatch.setattr("genus.models.variational.vae.MOST_ROWS", 2)

    def cut(self, x, condition, num_samples):
        row = int(labels.eq(condition[0]).nonzero()[0])
        start = position["at"]
        position["at"] = (start + num_samples) % effort
        return draws[row : row + len(x), start : start + num_samples].sum(2)

    if effort > 1:
        monkeypatch.setattr(VAE, "_log_weights", cut)
        expected = draws.sum(2).logsumexp(1) - math.log(effort)
        assert torch.allclose(model.lower_bound(x, effort=effort, condition=labels), expected)
    else:
        assert model.lower_bound(x, effort=1, condition=labels).shape == (3,)


@pytest.mark.parametrize("shape", [(1, 9, 6), (3, 4, 8)])
@pytest.mark.parametrize("space", [spaces.Binary, spaces.Real, spaces.Pixels])
def test_convolutional_networks_fit_any_image(space, shape):
    torch.manual_seed(0)
    model = VAE(space(shape), 3, architecture="convolutional", hidden=(5, 7), num_sweeps=2)
    x = space(shape).random(4)
    assert model.space.contains(model.sample(5, seed=0))
    assert model.decode(model.prior(2)).shape == (2, *shape)
    assert model.encode(x).shape == (4, 3)
    observed = torch.zeros(shape, dtype=torch.bool)
    observed[..., :2] = True
    filled = model.complete(x, observed, seed=0)
    assert torch.equal(filled[..., :2], x[..., :2])
    EvidenceLowerBound()(model, Batch(x))["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_decode_is_the_mean_of_draws_in_the_units_of_the_space():
    model = small(spaces.Pixels((2, 2), 6), "categorical")
    z = torch.tensor([[0.4, -1.3]], dtype=torch.float64)
    parameters = model.decoder(z, None).expand(40_000, -1, -1, -1)
    torch.manual_seed(0)
    draws = model.head.sample(parameters).double()
    mean = model.decode(z)[0]
    for i in range(2):
        for j in range(2):
            assert_mean(draws[:, i, j], mean[i, j].item(), "level")


def test_samples_follow_quadrature():
    model = small(spaces.Binary((3,)))
    points = model.space.points().double()
    probabilities = quadrature(model, points, points=301)[0].exp()
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-6)
    draws = model.sample(20_000, seed=0)
    counts = torch.bincount((draws @ torch.tensor([4.0, 2.0, 1.0]).double()).long(), minlength=8)
    assert_follows(counts, probabilities, "samples")


def cells(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Index of (x₀, x₂, bin of z) for chains over three bits and one code."""
    edges = torch.tensor([-1.0, -0.3, 0.3, 1.0], dtype=torch.float64)
    return (x[:, 0] * 2 + x[:, 2]).long() * 5 + torch.bucketize(z[:, 0], edges)


def test_completion_step_leaves_the_exact_conditional_unchanged():
    """Starts from exact draws of p(z, missing | observed) on a grid, with a poor recogniser."""
    model = small(spaces.Binary((3,)), num_latent=1, scale=1.2)
    points = model.space.points().double()
    points = points[points[:, 1] == 1]
    _, joint, grid = quadrature(model, points, points=2001)
    weights = joint.flatten().softmax(0)
    torch.manual_seed(0)
    drawn = torch.multinomial(weights, 30_000, replacement=True)
    x, z = points[drawn // len(grid)], grid[drawn % len(grid)]
    observed = torch.tensor([False, True, False]).expand_as(x)
    rows = points.repeat_interleave(len(grid), 0)
    index = cells(rows, grid.repeat(len(points), 1))
    expected = torch.zeros(20, dtype=torch.float64).index_add_(0, index, weights)
    assert_follows(torch.bincount(cells(x, z), minlength=20), expected, "start")
    moved = False
    for _ in range(3):
        before = x
        x, z = model._sweep(x, z, observed, None, accept_all=False)
        moved = moved or not torch.equal(before, x)
    assert moved
    assert (x[:, 1] == 1).all()
    assert_follows(torch.bincount(cells(x, z), minlength=20), expected, "after three sweeps")
    # accepting everything follows the recogniser instead, and the test sees it
    for _ in range(3):
        x, z = model._sweep(x, z, observed, None, accept_all=True)
    with pytest.raises(AssertionError):
        assert_follows(torch.bincount(cells(x, z), minlength=20), expected, "pseudo-Gibbs")


def test_completion_reaches_the_exact_conditional():
    model = small(spaces.Binary((4,)), num_latent=1, scale=1.5, num_sweeps=60, condition=LABELS)
    points = model.space.points().double()
    points = points[(points[:, 0] == 1) & (points[:, 3] == 0)]
    labels = torch.full((len(points),), 2)
    exact = quadrature(model, points, labels, points=2001)[0].softmax(0)
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(8000, 4)
    filled = model.complete(x, [True, False, False, True], condition=2, seed=0)
    assert (filled[:, 0] == 1).all()
    assert (filled[:, 3] == 0).all()
    counts = torch.bincount((2 * filled[:, 1] + filled[:, 2]).long(), minlength=4)
    assert_follows(counts, exact, "completions")


def test_condition_reaches_both_networks():
    model = small(spaces.Binary((5,)), condition=LABELS, scale=1.0)
    x, labels = data_of(model.space, 3), torch.tensor([2, 0, 1])
    exact = quadrature(model, x, labels, points=401)[0]
    bound = model._log_weights(x, labels, 8000).logsumexp(1) - math.log(8000)
    # 8,000 draws stray by less than 0.03 nats here
    assert torch.allclose(bound, exact, atol=0.15)
    others = quadrature(model, x, labels.roll(1), points=401)[0]
    assert not torch.allclose(others, exact, atol=0.3)
    codes = [model.encode(x, condition=given) for given in (0, 1)]
    assert not torch.allclose(*codes)
    decoded = [model.decode(codes[0], condition=given) for given in (0, 1)]
    assert not torch.allclose(*decoded)


@pytest.mark.parametrize("objective", [EvidenceLowerBound(), ImportanceWeighted(5)])
def test_learning_nears_the_density_of_the_data(objective):
    torch.manual_seed(0)
    bits = torch.bernoulli(torch.full((2000, 1), 0.4))
    x = (bits.expand(2000, 6) + torch.bernoulli(torch.full((2000, 6), 0.05))) % 2
    model = VAE(spaces.Binary((6,)), 2, hidden=(16,))
    before = model.lower_bound(x, effort=50, seed=0).mean()
    model.fit(x, algorithm=Descend(objective, Optimiser(learning_rate=1e-2)), epochs=10)
    after = model.lower_bound(x, effort=50, seed=0).mean()
    entropy = -0.4 * math.log(0.4) - 0.6 * math.log(0.6)
    noise = -6 * (0.05 * math.log(0.05) + 0.95 * math.log(0.95))
    assert before < -4
    assert after > -(entropy + noise) - 0.25


def test_half_precision_keeps_float32_losses():
    torch.manual_seed(0)
    model = VAE(spaces.Binary((1, 8, 6)), 3, architecture="convolutional", hidden=(8, 8))
    batch = Batch(model.space.random(16))
    with torch.autocast("cpu", torch.bfloat16):
        info = EvidenceLowerBound()(model, batch)
        info["loss"].backward()
    assert all(value.dtype == torch.float32 for value in info.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_latent": 0}, "num_latent must be at least 1, got 0"),
        ({"num_sweeps": 0}, "num_sweeps must be at least 1"),
        ({"architecture": "cnn"}, "architecture must be 'mlp' or 'convolutional', got 'cnn'"),
        ({"architecture": "convolutional"}, "needs images of shape"),
        ({"head": "gaussian"}, "does not suit"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        VAE(spaces.Binary((5,)), **settings)


def test_too_many_halvings_are_named():
    with pytest.raises(ValueError, match="give at most 2"):
        VAE(spaces.Binary((1, 6, 9)), architecture="convolutional", hidden=(4, 4, 4))


@pytest.mark.parametrize(("space", "head"), HEADS)
@torch.no_grad()
def test_bound_of_one_draw_has_the_mean_that_quadrature_gives(space, head):
    """E_q[log p(x | z)] − KL, the expectation under q on a grid; a wrong spread of z shows here."""
    model, x = small(space, head, num_latent=1, scale=1.0), data_of(space, 3)
    _, joint, grid = quadrature(model, x, points=2001)
    mean, log_scale = model._posterior(x, None)
    q = Normal(mean, log_scale.exp()).log_prob(grid.T) + (grid[1] - grid[0]).log()
    cell = (grid[1] - grid[0]).log()
    expected = (q.exp() * (joint - cell - (q - cell))).sum(1)
    repeats = x.repeat_interleave(20000, 0)
    draws = model.lower_bound(repeats, effort=1, seed=3).reshape(3, -1)
    for row, value in zip(draws, expected.tolist(), strict=True):
        assert_mean(row, value, "bound of one draw")
