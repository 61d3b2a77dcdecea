import pytest
import torch

from genus.engine.seeding import address, seed_now
from genus.inference.gibbs import BLOCK, below, bernoulli, blocks, hashed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_draws_with_the_given_probabilities(dtype):
    torch.manual_seed(0)
    n = 200_000
    p = torch.tensor([0.0, 1e-3, 0.2, 0.5, 0.93, 1.0], dtype=dtype)
    draws = bernoulli(p.expand(n, -1))
    assert draws.dtype == p.dtype
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    mean = draws.mean(0)
    assert mean[0] == 0
    assert mean[-1] == 1
    # false alarm of a 5.5 sigma interval, 4 cells: 2e-7
    assert ((mean - p).abs() <= 5.5 * (p * (1 - p) / n).sqrt()).all()


def test_sixteen_bits_and_eight_give_a_probability_of_twenty_four():
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).unsqueeze(1)
    p = torch.tensor([0.0, 1e-7, 3e-6, 1e-5, 0.1, 0.7, 1 - 1e-5, 1 - 1e-7, 1.0])
    share = torch.zeros(len(p), dtype=torch.float64)
    for part in range(256):
        shift = torch.tensor(-(2**15) - part / 256)
        share += below(every, shift, p.expand(2**16, -1)).double().mean(0)
    assert (share / 256 - p.double()).abs().max() <= 2.0**-24
    assert share[0] == 0
    assert share[-1] == 256


def test_draws_of_one_call_are_independent():
    torch.manual_seed(0)
    n, p = 400_000, torch.tensor([0.3, 0.6, 0.5, 0.1, 0.7])
    draws = bernoulli(p.expand(n, -1)).double() - p
    covariance = draws.T @ draws / n
    spread = (p * (1 - p)).double()
    noise = (spread.unsqueeze(1) * spread / n).sqrt()
    # false alarm of a 5.5 sigma interval, 25 cells: 1e-6
    assert ((covariance - spread.diag()).abs() <= 5.5 * noise.clamp_min(noise.max())).all()
    lagged = draws[1:].T @ draws[:-1] / n
    assert (lagged.abs() <= 5.5 * noise).all()


def test_rare_events_of_different_rows_are_independent():
    torch.manual_seed(0)
    times, shape, p = 300, (1000, 784), 2.0**-17
    few = torch.full(shape, p)
    sums = torch.stack([bernoulli(few).sum() for _ in range(times)])
    wanted = shape[0] * shape[1] * p
    # false alarms of 5.5 sigma: 4e-8 each; the variance of a Poisson sum has relative error √(2/n)
    assert abs(float(sums.mean()) - wanted) < 5.5 * (wanted / times) ** 0.5
    assert abs(float(sums.var()) / wanted - 1) < 5.5 * (2 / times + 1 / (wanted * times)) ** 0.5


def test_bits_are_those_of_the_published_generator():
    """The first five of seed 1234567, as other implementations of SplitMix64 have them."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    found = hashed(torch.arange(1, 6), torch.tensor(1234567))
    assert [word % 2**64 for word in found.tolist()] == published


@pytest.mark.parametrize("number", [1, 4, BLOCK, BLOCK + 1, 3 * BLOCK + 2])
def test_blocks_are_one_sequence(number):
    key = torch.tensor(-987654321987654321)
    assert torch.equal(blocks(number, key), hashed(torch.arange(1, number + 1), key))
    assert int(key) == -987654321987654321


def test_draws_of_one_step_after_another_are_independent():
    num_steps, p = 20_000, torch.full((2, 8, 4), 0.5)
    drawn = torch.empty(num_steps, p.numel())
    for step in range(num_steps):
        seed_now(address(0, "step", step), p.device)
        drawn[step] = torch.stack([bernoulli(part) for part in p]).flatten()
    signs = 2.0 * drawn - 1.0
    here, before = signs[1:], signs[:-1]
    noise = num_steps**-0.5
    # false alarm of a 5.5 sigma interval, 6,112 cells: 2e-4
    assert ((here.T @ here / num_steps).fill_diagonal_(0.0).abs() < 5.5 * noise).all()
    assert ((here.T @ before / num_steps).abs() < 5.5 * noise).all()


def test_draws_of_many_units_have_a_key_each():
    torch.manual_seed(0)
    p = torch.full((200, 200), 0.5)
    signs = torch.stack([2.0 * bernoulli(p).flatten() - 1.0 for _ in range(40)])
    alike = (signs @ signs.T / p.numel()).fill_diagonal_(0.0)
    # false alarm of a 5.5 sigma interval, 780 cells: 3e-5
    assert (alike.abs() < 5.5 * p.numel() ** -0.5).all()


def test_draws_take_any_layout():
    torch.manual_seed(0)
    p = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    for given in (p, p.T, p[:, 1:], p.flatten()[:5], p[:0], p[0, 1]):
        assert torch.equal(bernoulli(given), given)


def test_bernoulli_carries_no_gradient():
    p = torch.full((3,), 0.5, requires_grad=True)
    assert not bernoulli(p).requires_grad
