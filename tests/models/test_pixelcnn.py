import math
import time

import pytest
import torch

import genus
from genus import spaces
from genus.engine import Descend, Optimiser
from genus.models.autoregressive import PixelCNN
from genus.objectives.likelihood import NegativeLogLikelihood
from genus.testing.statistics import g_test

SETTINGS = {"channels": 7, "num_layers": 3, "kernel": 3, "first_kernel": 5}


def stiff(space: spaces.Space, scale=0.8, **settings) -> PixelCNN:
    model = PixelCNN(space, **{**SETTINGS, **settings}).double().eval()
    generator = torch.Generator().manual_seed(8)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale
    return model


def points_of(space: spaces.Space) -> torch.Tensor:
    return space.points() if space.dtype else space.points().double()


def counts_of(points: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    return (draws.flatten(1)[:, None] == points.flatten(1)[None]).all(2).sum(0)


SMALL = [
    (spaces.Binary((1, 3, 4)), {}),
    (spaces.Binary((1, 4, 2)), {"num_skip": 5, "first_kernel": 3, "num_layers": 2}),
    (spaces.Binary((3, 2, 1)), {"num_skip": 4}),
    (spaces.Pixels((3, 1, 2), 3), {}),
    (spaces.Pixels((1, 2, 3), 3), {"head": "categorical", "residual": False}),
    (spaces.Categorical((3, 2, 1), 3), {"positional": False, "kernel": 5}),
    (spaces.Categorical((2, 1, 3), 3), {"num_skip": 3}),
]


@pytest.mark.parametrize(("space", "settings"), SMALL)
def test_probabilities_of_all_points_sum_to_one(space, settings):
    model = stiff(space, **settings)
    assert model.log_prob(points_of(space)).logsumexp(0).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("space", "settings"), [SMALL[1], SMALL[2], SMALL[3]])
def test_draws_follow_the_density(space, settings):
    model = stiff(space, scale=0.4, **settings)
    points = points_of(space)
    draws = model.sample(10_000, seed=1)
    assert space.contains(draws)
    # three cases, false alarm 1e-6 each
    assert g_test(counts_of(points, draws), model.log_prob(points).exp()) > 1e-6


def dependence(model: PixelCNN, shape: tuple[int, int, int]) -> torch.Tensor:
    """Which parameters depend on which entries, both in raster order.

    Positive weights and biases leave no path dead, and no two cancel.
    """
    for p in model.parameters():
        p.data = (torch.rand_like(p) + 0.5) / p[0].numel()

    def outputs(y: torch.Tensor) -> torch.Tensor:
        parameters = model.network(y[None, None])[0]
        return parameters.permute(0, 2, 3, 1).flatten(1)

    jacobian = torch.autograd.functional.jacobian(outputs, torch.rand(shape).double())
    depends = jacobian.permute(0, 1, 3, 4, 2).flatten(2) != 0
    assert torch.equal(depends.any(0), depends.all(0))
    return depends.any(0)


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 3, 4), (2, 4, 3)])
@pytest.mark.parametrize("settings", [{}, {"num_skip": 5}, {"kernel": 5, "positional": False}])
def test_an_output_depends_on_every_earlier_entry_and_no_other(shape, settings):
    """Triangular, and full below the diagonal: neither a look ahead nor a blind spot."""
    model = stiff(spaces.Real(shape), **{"num_layers": 6, **settings})
    expected = torch.ones(math.prod(shape), math.prod(shape)).tril(-1).bool()
    assert torch.equal(dependence(model, shape), expected)


def test_the_reach_grows_by_the_kernels_and_leaves_no_blind_spot():
    """Three layers of reach 1: in the picture's middle, all that 3 steps can reach, no more."""
    shape = (1, 6, 11)
    model = stiff(spaces.Real(shape), first_kernel=3, num_layers=3)
    seen = dependence(model, shape)[5 * 11 + 5].reshape(6, 11)
    expected = torch.zeros(6, 11, dtype=torch.bool)
    expected[2:5, 2:9] = True
    expected[5, 2:5] = True
    assert torch.equal(seen[2:, :2], expected[2:, :2])
    assert torch.equal(seen, expected)


def recomputed(model: PixelCNN, n: int, condition: torch.Tensor | None) -> torch.Tensor:
    """The judge: the whole network anew for each entry."""
    channels, height, width = model.space.shape
    x = torch.zeros(n, channels, height, width).to(model.space.dtype or model.example.dtype)
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                parameters = model.predict(x, condition)[:, :, channel, row, column]
                drawn = model.head.sample(parameters.unsqueeze(2))
                x[:, channel, row, column] = drawn.squeeze(1)
    return x


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (spaces.Binary((1, 9, 7)), {}),
        (spaces.Binary((1, 6, 8)), {"num_skip": 5, "kernel": 5, "first_kernel": 7}),
        (spaces.Pixels((3, 4, 5), 4), {}),
        (spaces.Categorical((2, 3, 4), 5), {"num_skip": 4, "residual": False}),
        (spaces.Pixels((1, 4, 4), 256), {"positional": False}),
    ],
)
@pytest.mark.parametrize("labels", [False, True])
def test_cached_draws_equal_recomputed_ones(space, settings, labels):
    given = {"condition": spaces.Categorical((), 3)} if labels else {}
    model = stiff(space, scale=0.4, **settings, **given)
    condition = torch.tensor([0, 2, 1, 2, 0]) if labels else None
    cached = model.sample(5, condition=condition, seed=11)
    with torch.no_grad():
        torch.manual_seed(11)
        plain = recomputed(model, 5, condition)
    assert torch.equal(cached, plain)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_walk_whose_rows_are_chosen_goes_on_as_they_would(channels):
    """After any choice of rows the caches are those of the rows chosen."""
    space = spaces.Binary((channels, 4, 3))
    model = stiff(space, scale=0.5, condition=spaces.Categorical((), 3))
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2, (4, *space.shape), generator=generator).double()
    condition = torch.tensor([0, 1, 2, 1])
    walk, rows = model.walk(4, condition), torch.arange(4)
    for step in range(walk.num_steps):
        if step % 3 == 1:
            chosen = torch.randint(0, 4, (4,), generator=generator)
            walk.select(chosen)
            rows = rows[chosen]
        whole = model._to_raster(model.predict(x, condition)[:, 0])
        assert torch.allclose(walk.predict()[:, 0, 0], whole[rows, step], atol=1e-10)
        walk.commit(model._features(model._to_raster(x)[rows, step, None]))


def test_completions_follow_the_exact_conditional():
    space = spaces.Binary((1, 2, 3))
    model = stiff(space, scale=0.45, num_particles=100)
    points = points_of(space)
    x = points[21]
    observed = torch.tensor([[[False, True, False], [False, False, True]]])
    agree = (points == x).flatten(1)[:, observed.flatten()].all(1)
    expected = model.log_prob(points).masked_fill(~agree, -math.inf).softmax(0)
    draws = model.complete(x.expand(600, *space.shape), observed, seed=4)
    # false alarm 1e-5, beside a bias of order 1/100
    assert g_test(counts_of(points, draws), expected) > 1e-5
    blind = model.log_prob(points).exp()
    for i in observed.flatten().nonzero():
        blind = blind * (points.flatten(1)[:, i] == x.flatten()[i]).squeeze(1)
    assert torch.allclose(blind / blind.sum(), expected)


def test_classes_have_densities_of_their_own():
    space = spaces.Binary((1, 3, 2))
    model = stiff(space, scale=0.4, condition=spaces.Categorical((), 3))
    points = points_of(space)
    tables = [model.log_prob(points, condition=c).exp() for c in range(3)]
    assert not torch.allclose(tables[0], tables[2], atol=1e-3)
    for c, table in enumerate(tables):
        assert table.sum().item() == pytest.approx(1, abs=1e-10)
        draws = model.sample(4000, condition=c, seed=c)
        # three classes, false alarm 1e-6 each
        assert g_test(counts_of(points, draws), table) > 1e-6


@pytest.mark.parametrize("num_skip", [0, 5])
def test_gradient_reaches_every_parameter(num_skip):
    space = spaces.Pixels((3, 5, 4), 7)
    model = stiff(space, scale=0.3, num_skip=num_skip, condition=spaces.Categorical((), 3))
    model.log_prob(space.random(6), condition=[0, 1, 2, 0, 1, 2]).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_it_survives_a_checkpoint(tmp_path):
    model = PixelCNN(spaces.Pixels((3, 3, 2), 5), **SETTINGS, condition=spaces.Categorical((), 2))
    again = genus.load(model.save(tmp_path))
    x = model.space.random(4)
    assert torch.equal(again.log_prob(x, condition=1), model.log_prob(x, condition=1))


def test_fitting_lowers_the_loss_also_in_half_precision():
    space = spaces.Binary((1, 6, 5))
    torch.manual_seed(0)
    bars = torch.rand(256, 1, 1, 5) < 0.5
    x = bars.float().expand(256, *space.shape).contiguous()
    for precision in ("float32", "bf16"):
        model = PixelCNN(space, **SETTINGS)
        fast = Descend(NegativeLogLikelihood(), Optimiser(learning_rate=0.02), batch_size=32)
        model.fit(x, algorithm=fast, epochs=12, precision=precision)
        # 5 fair coins: 3.5 nats where blind guessing costs 20.8
        assert -model.log_prob(x).mean() < 6


def test_the_cache_is_ten_times_faster_than_recomputing():
    """16 pictures of 28×28; a few of the 784 equally costly recomputations are timed."""
    model = PixelCNN(spaces.Binary((1, 28, 28)), channels=16, num_layers=4).eval()
    start = time.process_time()
    x = model.sample(16, seed=0)
    cached = time.process_time() - start
    with torch.no_grad():
        model.predict(x, None)
        start = time.process_time()
        for _ in range(5):
            model.predict(x, None)
    recomputing = (time.process_time() - start) / 5 * 784
    assert recomputing > 10 * cached


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="shape"):
        PixelCNN(spaces.Binary((4,)))
    with pytest.raises(ValueError, match="channels"):
        PixelCNN(spaces.Binary((3, 4, 4)), channels=2)
    with pytest.raises(ValueError, match="first_kernel"):
        PixelCNN(spaces.Binary((1, 4, 4)), first_kernel=4)
    with pytest.raises(ValueError, match="num_layers"):
        PixelCNN(spaces.Binary((1, 4, 4)), num_layers=1)
