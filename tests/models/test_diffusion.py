"""Diffusion: its bound against closed forms, its last step, its network and its samples."""

import itertools
import math

import pytest
import torch
from scipy import stats

from genus import spaces
from genus.engine import Batch
from genus.inference.path import variance_preserving
from genus.inference.solver import ancestral
from genus.models.diffusion import Diffusion
from genus.models.diffusion.bound import (
    Chain,
    step_divergence,
    trajectory_bound,
    variational_bound,
)
from genus.models.diffusion.last_step import LastStep
from genus.nn.attention import SelfAttention, attend
from genus.nn.unet import UNet
from genus.objectives.denoising import Denoising

MEAN = torch.tensor([0.4, -1.1], dtype=torch.float64)
FACTOR = torch.tensor([[0.9, 0.0], [0.6, 0.3]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T


def gaussian_chain(num_steps, spread="exact", least_sigma=0.05):
    """The exact denoiser of N(MEAN, COVARIANCE)."""
    path = variance_preserving(num_steps, "log-linear", least_sigma=least_sigma)
    eye = torch.eye(2, dtype=torch.float64)

    def gain(t):
        total = path.alpha[t, None, None] ** 2 * COVARIANCE + path.sigma[t, None, None] ** 2 * eye
        return path.alpha[t, None, None] * COVARIANCE @ torch.linalg.inv(total)

    def denoise(x_t, t):
        centred = x_t - path.alpha[t, None] * MEAN
        return MEAN + (gain(t) @ centred.unsqueeze(2)).squeeze(2)

    times = torch.arange(num_steps + 1)
    left = COVARIANCE - path.alpha[:, None, None] * gain(times) @ COVARIANCE
    error = left.diagonal(dim1=1, dim2=2).mean(1)
    table = error if spread == "exact" else torch.zeros_like(error)
    return Chain(path, denoise, table, LastStep(spaces.Real((2,)), float(error[1].sqrt())))


def log_density(x):
    return torch.distributions.MultivariateNormal(MEAN, COVARIANCE).log_prob(x)


def stiff(model, seed=0):
    """The model in float64 with uneven weights, ready to answer."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.double().parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.add_(0.2 * noise * torch.linspace(0.1, 2.0, parameter.shape[-1]))
    return model.eval()


def test_bound_tends_to_the_density_of_a_gaussian():
    # 3,000 draws of each bound: 4.5 standard errors, a false alarm in 150,000 runs
    torch.manual_seed(0)
    x = MEAN + torch.randn(3000, 2, dtype=torch.float64) @ FACTOR.T
    gaps = []
    for num_steps in (8, 32, 128):
        bound = variational_bound(gaussian_chain(num_steps), x, num_steps - 1)
        gap = log_density(x) - bound
        assert float(gap.mean()) > -4.5 * float(gap.std()) / 3000**0.5
        gaps.append(float(gap.mean()))
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]
    assert gaps[2] < 0.15


def test_spread_tightens_the_bound():
    x = MEAN + torch.randn(2000, 2, dtype=torch.float64) @ FACTOR.T
    bounds = [variational_bound(gaussian_chain(8, kind), x, 7).mean() for kind in ("exact", "none")]
    assert float(bounds[0] - bounds[1]) > 0.2


def test_step_divergence_is_the_divergence_of_two_gaussians():
    chain = gaussian_chain(6)
    x, t = torch.randn(1, 2, dtype=torch.float64), torch.tensor([4])
    torch.manual_seed(3)
    found = step_divergence(chain, x, t)
    torch.manual_seed(3)
    x_t = chain.path.noised(x, t, torch.randn_like(x))
    a, b, v = chain.path.posterior(t, t - 1)
    q = torch.distributions.Normal(a * x_t + b * x, v.sqrt())
    mean, variance = chain.path.reverse(x_t, chain.denoise(x_t, t), t, t - 1, chain.spread[t])
    p = torch.distributions.Normal(mean, variance.sqrt())
    torch.testing.assert_close(found, torch.distributions.kl_divergence(q, p).sum(1))


@pytest.mark.parametrize("num_times", [1, 3, 10])
def test_drawn_times_leave_the_mean_of_the_bound(num_times):
    # |z| > 4.5 has probability 7e-6
    torch.manual_seed(1)
    chain, n = gaussian_chain(12), 10000
    x = torch.tensor([[1.3, 0.2]], dtype=torch.float64).expand(n, 2)
    every, some = variational_bound(chain, x, 11), variational_bound(chain, x, num_times)
    error = ((every.var() + some.var()) / n).sqrt()
    assert abs(float((every.mean() - some.mean()) / error)) < 4.5
    assert num_times > 3 or float(some.var()) > 1.5 * float(every.var())


def test_trajectories_close_the_bound_of_a_gaussian():
    # one trajectory has the mean of the variational bound; many reach log p: 4.5 standard errors
    torch.manual_seed(2)
    chain, n = gaussian_chain(4), 3000
    x = torch.tensor([[-0.3, -0.9]], dtype=torch.float64).expand(n, 2)
    one, analytic = trajectory_bound(chain, x, 1), variational_bound(chain, x, 3)
    error = ((one.var() + analytic.var()) / n).sqrt()
    assert abs(float((one.mean() - analytic.mean()) / error)) < 4.5
    truth = float(_chain_log_density(chain, x[:1]))
    few, many = trajectory_bound(chain, x, 4), trajectory_bound(chain, x[:200], 200)
    assert float(one.mean()) < float(few.mean()) < truth + 4.5 * float(few.std()) / n**0.5
    assert float(many.mean()) == pytest.approx(truth, abs=0.01)


def _chain_log_density(chain, x):
    """Log p(x) of the reverse chain itself, all of whose steps are affine and Gaussian."""
    mean, covariance = torch.zeros(2).double(), torch.eye(2).double()
    eye, zero = torch.eye(2).double(), torch.zeros(1, 2).double()
    for step in range(chain.path.num_steps, 0, -1):
        t = torch.tensor([step])
        offset = chain.denoise(zero, t)
        gain = (chain.denoise(eye, t.expand(2)) - offset).T
        a, b, v = chain.path.posterior(t, t - 1)
        variance = v + b**2 * chain.spread[step] if step > 1 else chain.last_step.deviation**2
        mean, matrix = (a * eye + b * gain) @ mean + b * offset[0], a * eye + b * gain
        covariance = matrix @ covariance @ matrix.T + variance * eye
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def binary_chain(num_steps):
    """The exact denoiser of uneven probabilities of the points of Binary((2,))."""
    space = spaces.Binary((2,))
    y = space.to_real(space.points()).double()
    prior = torch.tensor([0.55, 0.05, 0.1, 0.3], dtype=torch.float64).log()
    path = variance_preserving(num_steps, "cosine", least_sigma=0.4)

    def denoise(x_t, t):
        distance = ((x_t[:, None] - path.alpha[t, None, None] * y) ** 2).sum(2)
        return (prior - 0.5 * distance / path.sigma[t, None] ** 2).softmax(1) @ y

    return Chain(path, denoise, path.sigma**2, LastStep(space, 0.5)), y


@pytest.mark.parametrize("num_steps", [2, 4])
def test_bounds_against_all_binary_points(num_steps):
    # p(x) by 100,000 draws of x₁ from the chain: relative error below 1 %
    torch.manual_seed(0)
    chain, y = binary_chain(num_steps)
    noise = torch.randn(100_000, 2, dtype=torch.float64)
    times = chain.path.respaced()
    last = ancestral(chain.path, chain.denoise, noise, times, spread=chain.spread).x0
    shares = [chain.last_step.log_prob(row[None], last).exp().mean() for row in y]
    log_p = torch.stack(shares).log()
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(log_p.max() - log_p.min()) > 0.6
    many = y.repeat_interleave(400, 0)
    bounds = [variational_bound(chain, many, num_steps - 1)]
    bounds += [trajectory_bound(chain, many, k) for k in (1, 8)]
    bounds += [trajectory_bound(chain, y.repeat_interleave(100, 0), 150)]
    rows = [bound.reshape(4, -1) for bound in bounds]
    means = [row.mean(1) for row in rows]
    for row, mean in zip(rows, means, strict=True):
        error = row.std(1) / row.shape[1] ** 0.5
        assert bool((mean < log_p + 0.02 + 4.5 * error).all())
    gaps = [float((log_p - mean).mean()) for mean in means]
    assert gaps[0] == pytest.approx(gaps[1], abs=0.2)
    assert gaps[1] > 2 * gaps[2] > 4 * gaps[3]
    torch.testing.assert_close(means[3], log_p, atol=0.1, rtol=0)


def test_samples_follow_the_chain():
    # G-test on 4 points, 10,000 samples: above 21.1 with probability 1e-4, above 24 even
    # where the shares, by 100,000 draws of x₁, are a little off
    space = spaces.Binary((2,))
    model = stiff(Diffusion(space, channels=(6,), num_blocks=1, num_steps=3), seed=5)
    y = model.to_path(space.points())
    with torch.no_grad():
        torch.manual_seed(0)
        noise = torch.randn(100_000, 2, dtype=torch.float64)
        times = model.path.respaced()
        last = ancestral(model.path, model.denoiser(), noise, times, spread=model.spread()).x0
        shares = [model._last_step().log_prob(row[None], last).exp().mean() for row in y]
    drawn = model.sample(10_000, seed=2)
    counts = torch.stack([(drawn == row).all(1).sum() for row in space.points()]).double()
    assert counts.sum() == 10_000
    assert float(counts.min()) < 0.5 * float(counts.max())
    expected = 10_000 * torch.stack(shares)
    assert float(2 * (counts * (counts / expected).log()).sum()) < 24.0


def test_effort_chooses_the_bound():
    model = stiff(small(SPACES["binary"]))
    x = SPACES["binary"].random(3).double()
    chain = Chain(model.path, model.denoiser(), model.spread(), model._last_step())
    for effort, truth in (
        (2, lambda y: variational_bound(chain, y, 2)),
        (11, lambda y: variational_bound(chain, y, 5)),
        (18, lambda y: trajectory_bound(chain, y, 3)),
    ):
        found = model.lower_bound(x, effort=effort, seed=7)
        torch.manual_seed(7)
        torch.testing.assert_close(found, truth(model.to_path(x)))
    three = model.trajectory_bound(x, 3, seed=7)
    torch.testing.assert_close(three, found)


@pytest.mark.parametrize("levels", [2, 3, 256])
@pytest.mark.parametrize("deviation", [0.003, 0.4, 30.0])
def test_last_step_sums_to_one(levels, deviation):
    space = spaces.Pixels((1,), levels)
    y = space.to_real(space.points()).double()
    for mean in (-1.4, -0.99, 0.003, 0.8):
        step = LastStep(space, deviation)
        log_p = step.log_prob(y, torch.full_like(y, mean))
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-7)
        edges = (y[1:, 0] + y[:-1, 0]) / 2
        masses = torch.tensor(stats.norm.cdf(edges, mean, deviation)).diff(
            prepend=torch.zeros(1), append=torch.ones(1)
        )
        torch.testing.assert_close(log_p.exp(), masses, atol=1e-7, rtol=0)


def test_last_step_far_away_is_finite_and_has_gradients():
    space = spaces.Pixels((1,), 256)
    mean = torch.linspace(-1, 1, 256).unsqueeze(1).requires_grad_()
    log_p = LastStep(space, 0.0008).log_prob(torch.linspace(1, -1, 256).unsqueeze(1), mean)
    (gradient,) = torch.autograd.grad(log_p.sum(), mean)
    assert bool(torch.isfinite(log_p).all())
    assert bool(torch.isfinite(gradient).all())
    assert float(log_p.detach().min()) < -1e6


def test_scale_and_centre_move_the_density():
    plain = stiff(Diffusion(spaces.Real((3,)), channels=(8,), num_steps=4))
    moved = stiff(Diffusion(spaces.Real((3,)), channels=(8,), num_steps=4, centre=2.0, scale=5.0))
    moved.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, dtype=torch.float64)
    difference = plain.lower_bound(x, seed=1) - moved.lower_bound(5 * x + 2, seed=1)
    torch.testing.assert_close(difference, torch.full_like(difference, 3 * math.log(5)))
    torch.testing.assert_close(5 * plain.sample(3, seed=2) + 2, moved.sample(3, seed=2))
    z = plain.prior(2, seed=3)
    torch.testing.assert_close(5 * plain.decode(z) + 2, moved.decode(z))


SPACES = {
    "binary": spaces.Binary((1, 6, 5)),
    "pixels": spaces.Pixels((3, 5, 7), 11),
    "real": spaces.Real((2, 4, 6)),
    "vector": spaces.Real((5,)),
}


def small(space, **settings):
    settings = {"channels": (4, 8), "num_blocks": 1, "num_heads": 2, "num_steps": 6} | settings
    return Diffusion(space, **settings)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_answers_lie_in_the_space(name, sampler):
    space = SPACES[name]
    model = small(space, sampler=sampler, sampling_steps=3)
    x = model.sample(3, seed=1)
    assert space.contains(x)
    assert model.num_evaluations == 3
    assert bool(torch.isfinite(model.log_prob(x)).all())
    decoded = model.decode(model.prior(3, seed=1)).detach()
    assert decoded.shape == x.shape
    if space.levels is not None:
        assert float(decoded.min()) >= 0
        assert float(decoded.max()) <= space.levels - 1
    if sampler == "ddim" and name != "vector":
        torch.testing.assert_close(space.from_real(model.to_path(x)), x)


@pytest.mark.parametrize("name", SPACES)
def test_completion_keeps_what_is_observed(name):
    space = SPACES[name]
    model = small(space)
    x = space.random(4)
    observed = torch.rand(4, *space.shape) < 0.5
    completed = model.complete(x, observed, seed=1)
    assert space.contains(completed)
    assert bool((completed == x)[observed].all())
    assert not torch.equal(completed, x)
    assert not torch.equal(completed, model.complete(x, observed, seed=2))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("prediction", ["v", "epsilon", "x"])
def test_gradients_reach_every_parameter(name, prediction):
    condition = spaces.Categorical((), 3)
    model = small(
        SPACES[name], prediction=prediction, condition=condition, condition_dropout=0.5
    ).train()
    batch = Batch(SPACES[name].random(16), torch.arange(16) % 3)
    Denoising()(model, batch)["loss"].backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert float(parameter.grad.abs().sum()) > 0, parameter_name


@pytest.mark.parametrize("name", SPACES)
def test_rows_are_independent(name):
    model = stiff(small(SPACES[name]))
    x = torch.randn(4, *SPACES[name].shape, dtype=torch.float64)
    t = torch.tensor([1, 6, 3, 2])
    together = model.predict(x, t, None)
    for row in range(4):
        alone = model.predict(x[row : row + 1], t[row : row + 1], None)
        torch.testing.assert_close(alone, together[row : row + 1])


@pytest.mark.parametrize(
    ("height", "width", "patch"), [(28, 28, 2), (8, 8, 1), (7, 5, 1), (13, 6, 2), (2, 3, 4)]
)
def test_unet_takes_any_size(height, width, patch):
    net = UNet(2, 3, 10, channels=(4, 6, 8), attention=(False, False, True), patch=patch)
    out = net(torch.randn(2, 2, height, width), torch.randn(2, 10))
    assert out.shape == (2, 3, height, width)


def test_unet_sees_everything():
    net = UNet(1, 1, 6, channels=(4, 8), patch=2).double()
    x = torch.randn(1, 1, 9, 11, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x, torch.randn(1, 6, dtype=torch.float64))[0, 0, 0, 0], x)
    assert bool((gradient != 0).all())


@pytest.mark.parametrize("places", [3, 400])
def test_attention_against_torch(places):
    query, key, value = torch.randn(3, 2, 4, places, 5, dtype=torch.float64)
    truth = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attend(query, key, value), truth)


def test_attention_against_torchs_layer():
    ours = SelfAttention(6, 3).double()
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data.copy_(ours.to_heads.weight)
    theirs.in_proj_bias.data.copy_(ours.to_heads.bias)
    theirs.out_proj.load_state_dict(ours.to_channels.state_dict())
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    tokens = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1).reshape(2, 12, 6), (6,))
    found = theirs(tokens, tokens, tokens)[0].reshape(2, 3, 4, 6).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours(x), x + found)


def test_guidance_extrapolates():
    condition = spaces.Categorical((), 4)
    model = stiff(small(SPACES["vector"], channels=(8,), condition=condition, guidance=2.5))
    x, t = torch.randn(3, 5, dtype=torch.float64), torch.tensor([2, 5, 4])
    labels = torch.tensor([0, 3, 1])
    plain = model.denoiser(labels)(x, t)
    hidden = model._denoise(x, t, labels, torch.zeros(3, dtype=torch.bool))
    assert not torch.allclose(plain, hidden)
    torch.testing.assert_close(model.denoiser(labels, 2.5)(x, t), hidden + 2.5 * (plain - hidden))
    assert model.num_evaluations == 12
    assert model.sample(3, condition=labels, seed=1).shape == (3, 5)


@pytest.mark.parametrize(
    "condition",
    [spaces.Categorical((2,), 3), spaces.Binary((4,)), spaces.Real((2,))],
    ids=str,
)
def test_conditions_of_any_kind_matter(condition):
    model = stiff(small(SPACES["vector"], channels=(8,), condition=condition))
    x, t = torch.randn(6, 5, dtype=torch.float64), torch.full((6,), 4)
    one, other = (condition.check(condition.random(6), like=model.example) for _ in range(2))
    same = (one == other).reshape(6, -1).all(1)
    changed = (model.predict(x, t, one) != model.predict(x, t, other)).any(1)
    assert bool((changed != same).all())


def test_bound_and_sampler_use_one_spread():
    for variance, factor in (("small", 0.0), ("large", 1.0)):
        model = small(SPACES["vector"], variance=variance)
        torch.testing.assert_close(model.spread(), factor * model.path.sigma**2)
    model = stiff(small(SPACES["vector"]))
    expected = model.log_error(torch.tensor([3])).exp() * model.path.sigma[3] ** 2
    torch.testing.assert_close(model.spread()[3:4].detach(), expected.detach())


def test_learns_two_points(tmp_path):
    import genus

    space = spaces.Binary((3,))
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    data = rows[(torch.arange(512) % 4 == 0).long()]
    torch.manual_seed(0)
    model = Diffusion(space, channels=(32,), num_steps=30).fit(data, epochs=60)
    drawn = model.sample(400, seed=1)
    hits = torch.stack([(drawn == row).all(1).double().mean() for row in rows])
    # the truth is (0.75, 0.25); the standard error of a share is 0.02
    assert float(hits.sum()) > 0.97
    assert float(hits[0]) == pytest.approx(0.75, abs=0.12)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    found = float(model.lower_bound(data[:400], effort=29, seed=1).mean())
    assert -entropy - 0.5 < found < -entropy + 0.1
    model.save(tmp_path / "run")
    again = genus.load(tmp_path / "run")
    torch.testing.assert_close(again.sample(5, seed=3), model.sample(5, seed=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "unet"}, "a unet needs"),
        ({"architecture": "cnn"}, "architecture must be"),
        ({"prediction": "score"}, "prediction must be"),
        ({"variance": "huge"}, "variance must be"),
        ({"sampler": "euler"}, "sampler must be"),
        ({"sampling_steps": 0}, "num_steps must be"),
        ({"condition_dropout": 1.0}, "condition_dropout"),
        ({"scale": 0.0}, "scale must be"),
        ({"condition": spaces.Sequence(spaces.Real((2,)), 3)}, "condition must be"),
        ({"num_blocks": 0}, "num_blocks"),
    ],
)
def test_errors_teach(settings, message):
    with pytest.raises(ValueError, match=message):
        Diffusion(spaces.Real((3,)), **settings)


def test_categories_are_refused():
    with pytest.raises(ValueError, match="space must be Binary, Pixels or Real"):
        Diffusion(spaces.Categorical((3,), 4))


def test_strata_cover_every_step():
    seen = []
    chain = gaussian_chain(9)
    spy = Chain(
        chain.path,
        lambda x, t: seen.append(t.clone()) or chain.denoise(x, t),
        chain.spread,
        chain.last_step,
    )
    variational_bound(spy, torch.zeros(500, 2, dtype=torch.float64), 3)
    parts = [sorted(set(t.tolist())) for t in seen]
    assert parts[0] == [1]
    assert sorted(itertools.chain(*parts)) == list(range(1, 10))
