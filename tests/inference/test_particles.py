import math

import pytest
import torch

from genus import spaces
from genus.inference import particles
from genus.models.autoregressive import MADE
from genus.testing.statistics import g_test


def stiff_made(space: spaces.Space, **settings) -> MADE:
    model = MADE(space, (11, 7), **settings).double().eval()
    generator = torch.Generator().manual_seed(4)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * 1.1
    return model


def conditional(model, points, x, observed):
    """p(point | observed entries of x) of every point of the space."""
    agree = (points.flatten(1) == x.flatten())[:, observed.flatten()].all(1)
    log_joint = model.log_prob(points).masked_fill(~agree, -math.inf)
    return log_joint.softmax(0)


def counts_of(points, draws):
    same = (draws.flatten(1)[:, None] == points.flatten(1)[None]).all(2)
    assert same.any(1).all()
    return same.sum(0)


CASES = [
    (spaces.Binary((5,)), {}, [False, True, False, False, True]),
    (spaces.Pixels((1, 2, 2), 3), {"head": "logistic"}, [[[False, False], [True, False]]]),
    (spaces.Categorical((3,), 4), {}, [False, False, True]),
    (spaces.Binary((5,)), {"num_orders": 3}, [True, False, False, True, False]),
]


@pytest.mark.parametrize(("space", "settings", "observed"), CASES)
def test_completions_follow_the_exact_conditional(space, settings, observed):
    model = stiff_made(space, num_particles=128, **settings)
    points, mask = space.points(), torch.tensor(observed)
    points = points if space.dtype else points.double()
    x = points[len(points) // 3]
    expected = conditional(model, points, x, mask)
    draws = model.complete(x.expand(800, *x.shape), mask, seed=2)
    # false alarm 1e-5 for each of four cases, beside a bias of order 1/128
    assert g_test(counts_of(points, draws), expected) > 1e-5


def test_what_was_drawn_goes_along_when_particles_are_drawn_anew():
    """Always resampling leaves the answer as it is, only noisier."""
    space = spaces.Binary((5,))
    model = stiff_made(space)
    points, mask = space.points().double(), torch.tensor([False, True, False, True, True])
    for number in (6, 21):
        x, runs = points[number], 400
        torch.manual_seed(number)
        with torch.no_grad():
            done = particles.complete(
                model.walk(runs),
                model.head,
                model._features,
                x.expand(runs, 5),
                mask.expand(runs, 5),
                1024,
                threshold=1.1,
            )
        expected = conditional(model, points, x, mask)
        # false alarm 1e-5 for each of two data, beside a bias of order 1/1024
        assert g_test(counts_of(points, done.x), expected) > 1e-5


def test_every_order_completes_by_its_own_positions():
    """The observed entries at which the orders are most equally probable judge all of them."""
    space = spaces.Binary((5,))
    model = stiff_made(space, num_orders=3, num_particles=128)
    points, mask = space.points().double(), torch.tensor([True, False, False, True, True])
    by_order = [model.log_prob_in_order(points, torch.tensor([k]), None) for k in range(3)]
    agree = (points[:, None] == points)[:, :, mask].all(2)
    evidence = [
        log_p.expand(32, 32).masked_fill(~agree, -math.inf).logsumexp(1) for log_p in by_order
    ]
    shares = torch.stack(evidence, 1).softmax(1).amin(1)
    assert shares.max() > 0.1
    x = points[shares.argmax()]
    draws = model.complete(x.expand(1500, 5), mask, seed=7)
    # false alarm 1e-5
    assert g_test(counts_of(points, draws), conditional(model, points, x, mask)) > 1e-5


@pytest.mark.parametrize(("space", "settings", "observed"), CASES[:1])
def test_ignoring_what_lies_behind_the_gap_would_be_seen(space, settings, observed):
    model = stiff_made(space, num_particles=1, **settings)
    points, mask = space.points().double(), torch.tensor(observed)
    x = points[len(points) // 3]
    draws = model.complete(x.expand(800, *x.shape), mask, seed=2)
    assert g_test(counts_of(points, draws), conditional(model, points, x, mask)) < 1e-5


def test_one_particle_is_exact_for_a_prefix():
    space = spaces.Binary((5,))
    model = stiff_made(space, num_particles=1)
    points, mask = space.points().double(), torch.tensor([True, True, False, False, False])
    x = points[19]
    draws = model.complete(x.expand(4000, 5), mask, seed=3)
    # false alarm 1e-6
    assert g_test(counts_of(points, draws), conditional(model, points, x, mask)) > 1e-6


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.1])
def test_evidence_is_unbiased(threshold):
    """The mean of the estimates of p(observed) is p(observed), whatever is resampled when."""
    space = spaces.Binary((5,))
    model = stiff_made(space)
    points = space.points().double()
    x, mask = points[13], torch.tensor([False, True, False, True, True])
    agree = (points == x)[:, mask].all(1)
    truth = model.log_prob(points)[agree].logsumexp(0).exp()
    runs = 4000
    walk = model.walk(runs)
    torch.manual_seed(1)
    with torch.no_grad():
        done = particles.complete(
            walk,
            model.head,
            model._features,
            x.expand(runs, 5),
            mask.expand(runs, 5),
            3,
            threshold=threshold,
        )
    estimates = done.log_evidence.exp()
    error = estimates.std() / math.sqrt(runs)
    # 4.5 standard errors: false alarm 7e-6 for each of three thresholds
    assert abs(estimates.mean() - truth) < 4.5 * error
    assert error < 0.1 * truth


def test_data_of_a_batch_with_masks_of_their_own():
    space = spaces.Categorical((4,), 3)
    model = stiff_made(space, num_particles=200)
    points = space.points()
    xs = points[[7, 50]]
    masks = torch.tensor([[False, True, True, False], [True, False, False, True]])
    rows = torch.arange(2).repeat_interleave(800)
    draws = model.complete(xs[rows], masks[rows], seed=5)
    for row in range(2):
        expected = conditional(model, points, xs[row], masks[row])
        # false alarm 1e-5 each
        assert g_test(counts_of(points, draws[rows == row]), expected) > 1e-5


def test_systematic_resampling_takes_the_expected_number():
    weights = torch.tensor([[0.5, 0.0, 0.3, 0.2], [0.01, 0.01, 0.97, 0.01]]).double()
    torch.manual_seed(0)
    drawn = torch.stack([particles.systematic(weights.log()) for _ in range(2000)])
    for row in range(2):
        shares = torch.stack([(drawn[:, row] == i).sum(1) for i in range(4)], 1).double()
        expected = 4 * weights[row]
        assert (shares >= expected.floor()).all()
        assert (shares <= expected.ceil()).all()
        # standard error at most 0.5/sqrt(2000) = 0.011; six of them: false alarm 2e-9
        assert (shares.mean(0) - expected).abs().max() < 0.067


def test_all_observed_and_nothing_observed():
    space = spaces.Binary((5,))
    model = stiff_made(space)
    x = space.points().double()
    assert torch.equal(model.complete(x, torch.ones(5, dtype=torch.bool)), x)
    blank = model.complete(x[:1].expand(3000, 5), torch.zeros(5, dtype=torch.bool), seed=0)
    # false alarm 1e-6
    assert g_test(counts_of(x, blank), model.log_prob(x).exp()) > 1e-6
