import math

import pytest
import torch

import genus
from genus import spaces
from genus.engine import Descend, Optimiser
from genus.models.autoregressive import MADE
from genus.testing.statistics import g_test


def stiff(space: spaces.Space, hidden=(11, 7), scale=1.1, **settings) -> MADE:
    model = MADE(space, hidden, **settings).double().eval()
    generator = torch.Generator().manual_seed(8)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale
    return model


def points_of(space: spaces.Space) -> torch.Tensor:
    return space.points() if space.dtype else space.points().double()


SMALL = [
    (spaces.Binary((5,)), {}),
    (spaces.Binary((1, 2, 3)), {"direct": False, "hidden": (3,)}),
    (spaces.Binary((5,)), {"head": "categorical", "num_orders": 4}),
    (spaces.Categorical((2, 2), 3), {"hidden": (13,)}),
    (spaces.Categorical((3,), 4), {"num_orders": 3, "mask_seed": 5}),
    (spaces.Pixels((1, 2, 2), 3), {}),
    (spaces.Pixels((1, 1, 4), 3), {"head": "categorical", "num_orders": 2}),
    (spaces.Pixels((1, 3, 1), 3), {"num_orders": 3, "num_mixtures": 2}),
    (spaces.Binary((1,)), {"num_orders": 2}),
]


@pytest.mark.parametrize(("space", "settings"), SMALL)
def test_probabilities_of_all_points_sum_to_one(space, settings):
    model = stiff(space, **settings)
    assert model.log_prob(points_of(space)).logsumexp(0).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("space", "settings"), SMALL)
def test_draws_follow_the_density(space, settings):
    model = stiff(space, scale=0.7, **settings)
    points = points_of(space)
    draws = model.sample(10_000, seed=1)
    assert space.contains(draws)
    same = (draws.flatten(1)[:, None] == points.flatten(1)[None]).all(2).sum(0)
    # nine cases, false alarm 1e-6 each
    assert g_test(same, model.log_prob(points).exp()) > 1e-6


def test_density_of_reals_integrates_to_one_and_draws_follow_it():
    model = stiff(spaces.Real((2,)), scale=0.5, num_orders=2)
    axis = torch.linspace(-25, 25, 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = model.log_prob(grid).exp().detach() * (axis[1] - axis[0]) ** 2
    assert mass.sum().item() == pytest.approx(1, abs=1e-4)
    draws = model.sample(40_000, seed=2)
    for i in range(2):
        mean = (mass * grid[:, i]).sum()
        spread = ((mass * grid[:, i] ** 2).sum() - mean**2).sqrt()
        # five standard errors, two entries: false alarm 1e-6
        assert abs(draws[:, i].mean() - mean) < 5 * spread / math.sqrt(len(draws))
    product = (mass * grid[:, 0] * grid[:, 1]).sum()
    drawn = draws[:, 0] * draws[:, 1]
    assert abs(drawn.mean() - product) < 5 * drawn.std() / math.sqrt(len(draws))


def make_positive(model: torch.nn.Module) -> None:
    """Positive weights and biases: no path is dead, and no two cancel."""
    for p in model.parameters():
        p.data = (torch.rand_like(p) + 0.5) / p[0].numel()


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("direct", [False, True])
def test_an_output_depends_on_every_earlier_entry_and_no_other(order, direct):
    model = stiff(spaces.Real((6,)), hidden=(23, 17), num_orders=3, direct=direct)
    make_positive(model)
    number = torch.tensor([order])
    jacobian = torch.autograd.functional.jacobian(
        lambda y: model.predict(y[None], number, None)[0], torch.rand(6).double()
    )
    position = model.network.positions[order]
    earlier = position[None, :] < position[:, None]
    assert torch.equal(jacobian != 0, earlier.expand_as(jacobian))
    assert sorted(position.tolist()) == list(range(6))


def test_orders_are_mixed_as_probabilities():
    space = spaces.Binary((4,))
    model = stiff(space, num_orders=3)
    x = points_of(space)
    each = [model.log_prob_in_order(x, torch.tensor([k]), None).exp() for k in range(3)]
    assert torch.allclose(model.log_prob(x).exp(), sum(each) / 3, atol=1e-12)
    assert all(abs(p.sum() - 1) < 1e-10 for p in each)
    assert not torch.allclose(each[0], each[1], atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"num_orders": 3}, {"direct": False}, {"hidden": (4, 9, 5)}, {"hidden": (2,)}]
)
def test_the_walk_equals_the_whole_pass(settings):
    space = spaces.Categorical((3, 3), 3)
    model = stiff(space, condition=spaces.Categorical((), 4), **settings)
    x = space.random(5)
    condition = torch.tensor([0, 3, 1, 1, 2])
    for order in range(model.num_orders):
        whole = model.predict(x, torch.tensor([order]), condition)
        walk = model.walk(5, condition, order)
        for entry in walk.entries:
            assert torch.allclose(walk.predict()[:, :, 0], whole[:, :, entry], atol=1e-10)
            walk.commit(model._features(x.flatten(1)[:, entry, None]))


def test_the_condition_matters_for_every_entry_and_is_followed():
    space = spaces.Binary((3,))
    model = stiff(space, condition=spaces.Categorical((), 3), num_orders=2)
    points = points_of(space)
    tables = [model.log_prob(points, condition=c) for c in range(3)]
    for c, table in enumerate(tables):
        assert table.logsumexp(0).item() == pytest.approx(0, abs=1e-10)
        draws = model.sample(4000, condition=c, seed=c)
        same = (draws[:, None] == points[None]).all(2).sum(0)
        # three conditions, false alarm 1e-6 each
        assert g_test(same, table.exp()) > 1e-6
    given = torch.eye(3).double()
    parameters = model.network(torch.zeros(3, 1, 3).double(), torch.tensor([1]), given)
    assert (parameters[0] != parameters[1]).all()
    seen = torch.tensor([False, True, True])
    x = points[5].expand(1000, 3)
    draws = model.complete(x, seen, condition=1, seed=0)
    agree = (points == x[0])[:, seen].all(1)
    expected = tables[1].masked_fill(~agree, -math.inf).softmax(0)
    same = (draws[:, None] == points[None]).all(2).sum(0)
    assert g_test(same, expected) > 1e-5


@pytest.mark.parametrize("settings", [{}, {"num_orders": 3}, {"condition": spaces.Real((2,))}])
def test_gradient_reaches_every_parameter(settings):
    space = spaces.Categorical((5,), 3)
    model = stiff(space, **settings)
    x = space.random(16)
    condition = torch.randn(16, 2).double() if "condition" in settings else None
    model.log_prob(x, condition=condition).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_masks_follow_from_the_arguments_and_survive_a_checkpoint(tmp_path):
    space = spaces.Binary((6,))
    first, second = MADE(space, (9, 8), num_orders=3), MADE(space, (9, 8), num_orders=3)
    assert torch.equal(first.network.positions, second.network.positions)
    assert torch.equal(first.network.degrees(1), second.network.degrees(1))
    other = MADE(space, (9, 8), num_orders=3, mask_seed=1)
    assert not torch.equal(first.network.positions, other.network.positions)
    again = genus.load(first.save(tmp_path))
    x = space.points()
    assert torch.equal(again.log_prob(x), first.log_prob(x))


@pytest.mark.parametrize("num_orders", [1, 4])
def test_fitting_finds_a_known_distribution(num_orders):
    space = spaces.Binary((4,))
    truth = torch.tensor([0.0, 3.0, 1.0, 0.0, 2.0, 0, 0, 1, 4, 0, 0, 0, 1, 1, 0, 3])
    truth = (truth + 0.05) / (truth + 0.05).sum()
    torch.manual_seed(0)
    data = space.points()[torch.multinomial(truth, 4000, replacement=True)]
    model = MADE(space, (32,), num_orders=num_orders)
    algorithm = model.algorithm()
    fast = Descend(algorithm.objective, Optimiser(learning_rate=0.03, schedule="linear"))
    model.fit(data, algorithm=fast, epochs=10)
    entropy = -(truth * truth.log()).sum()
    cross = -(truth * model.log_prob(space.points())).sum()
    assert cross - entropy < 0.06


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="hidden"):
        MADE(spaces.Binary((3,)), ())
    with pytest.raises(ValueError, match="num_orders"):
        MADE(spaces.Binary((3,)), (4,), num_orders=0)
    with pytest.raises(ValueError, match="num_particles"):
        MADE(spaces.Binary((3,)), (4,), num_particles=0)
    with pytest.raises(ValueError, match="space"):
        MADE(spaces.Sequence(spaces.Binary((2,)), 3), (4,))
