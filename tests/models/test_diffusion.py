"""Diffusion: its answers, its network's reach, and what it learns."""

import math

import pytest
import torch

from genus import spaces
from genus.engine import Batch
from genus.inference.solver import ancestral
from genus.models.diffusion import Diffusion
from genus.models.diffusion.bound import (
    Chain,
    trajectory_bound,
    variational_bound,
)
from genus.nn.embedding import ConditionEmbedding
from genus.objectives.denoising import Denoising


def stiff(model, seed=0):
    """The model in float64 with uneven weights, ready to answer."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.double().parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.add_(0.2 * noise * torch.linspace(0.1, 2.0, parameter.shape[-1]))
    return model.eval()


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


def test_the_last_step_adds_its_noise():
    # x̂₀ is about 0 whatever comes before; 12,000 numbers: the standard error of std is 0.7 %
    model = small(SPACES["vector"], channels=(4,)).double()
    torch.nn.init.zeros_(model.network.body.leave.weight)
    torch.nn.init.zeros_(model.network.body.leave.bias)
    torch.nn.init.zeros_(model.error[-1].weight)
    torch.nn.init.constant_(model.error[-1].bias, 8.0)
    model.sampling_steps = 1
    found = model.sample(2400, seed=1).std()
    assert float(found) == pytest.approx(float(model.path.sigma[1]) * math.exp(4.0), rel=0.03)


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


def test_entries_of_a_condition_do_not_share_vectors():
    embedding = ConditionEmbedding(spaces.Categorical((2,), 3), 4)
    vectors = embedding(torch.tensor([[0, 1], [1, 0], [2, 2]]))
    assert not torch.allclose(vectors[0], vectors[1])
    table = embedding.embed.weight
    torch.testing.assert_close(vectors[2], table[2] + table[5])
    kept = embedding(torch.tensor([[0, 1], [0, 1]]), torch.tensor([True, False]))
    torch.testing.assert_close(kept, torch.stack([vectors[0], embedding.absent]))


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
    found = float(model.lower_bound(data[:400], effort=29, seed=1).detach().mean())
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
