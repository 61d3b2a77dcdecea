import itertools
import math
import time

import pytest
import torch

from genus.evaluation.speed import forget_peak_memory, peak_memory
from genus.inference import enumerate as enumeration
from genus.inference.enumerate import binary_chunks, log_sum, log_sum_pairs


def test_chunks_list_every_vector_once_in_counting_order():
    rows = torch.cat(list(binary_chunks(7, chunk=50)))
    wanted = torch.tensor(list(itertools.product((0.0, 1.0), repeat=7)), dtype=torch.float64)
    assert torch.equal(rows, wanted)


def test_log_sum_of_independent_units_has_a_closed_form():
    bias = torch.linspace(-9, 6, 13, dtype=torch.float64)
    wanted = torch.log1p(bias.exp()).sum()
    assert torch.allclose(log_sum(lambda x: x @ bias, 13), wanted, rtol=1e-12)


def test_log_sum_neither_overflows_nor_vanishes():
    bias = torch.tensor([900.0, -1200.0, 800.0], dtype=torch.float64)
    assert log_sum(lambda x: x @ bias, 3).item() == pytest.approx(1700.0)
    assert log_sum(lambda x: x @ bias - 5000, 3).item() == pytest.approx(-3300.0)


@pytest.mark.parametrize("size", [0, 26])
def test_too_many_units_are_refused(size):
    with pytest.raises(ValueError, match="num_units must be 1 to 25"):
        next(binary_chunks(size))


def parameters(near, far, scale):
    generator = torch.Generator().manual_seed(near * 100 + far)
    shapes = ((near, far), (near,), (far,))
    return [scale * torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def plain(weights, near, far):
    """Every pair of vectors, one by one."""
    xs, ys = (torch.cat(list(binary_chunks(len(bias)))) for bias in (near, far))
    return ((xs @ near)[:, None] + (ys @ far)[None] + xs @ weights @ ys.T).flatten().logsumexp(0)


@pytest.mark.parametrize("block", [1 << 19, 40])
@pytest.mark.parametrize("scale", [0.3, 3.0, 90.0, 400.0])
@pytest.mark.parametrize(("near", "far"), [(1, 1), (1, 6), (7, 1), (5, 7), (9, 4), (6, 8)])
def test_the_sum_over_pairs_equals_every_pair(monkeypatch, near, far, scale, block):
    monkeypatch.setattr(enumeration, "BLOCK", block)
    given = parameters(near, far, scale)
    assert torch.allclose(log_sum_pairs(*given), plain(*given), rtol=1e-12, atol=1e-9)


def test_threads_share_the_sum_and_leave_their_number_alone(monkeypatch):
    monkeypatch.setattr(enumeration, "BLOCK", 16)
    monkeypatch.setattr(enumeration, "SHARE", 3)
    given = parameters(8, 5, 1.0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.allclose(log_sum_pairs(*given), plain(*given), rtol=1e-12)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_sum_over_pairs_does_not_overflow_where_a_product_would():
    weights, near = torch.zeros(3, 900), torch.zeros(3)
    found = log_sum_pairs(weights, near, torch.full((900,), 300.0))
    assert found.item() == pytest.approx(900 * 300 + math.log(8), rel=1e-12)


@pytest.mark.parametrize("far", [0, 1, 30])
@pytest.mark.parametrize("scale", [0.0, 1.0, 900.0])
def test_too_many_near_units_are_refused_before_anything_is_summed(far, scale):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"at most 25 rows .* got 26"):
        log_sum_pairs(*parameters(26, far, scale))
    assert time.perf_counter() - start < 5


def blocks_of(sizes, far_sizes):
    """Separate groups of units, so that the logarithm of the sum is a sum over groups."""
    groups = [parameters(n, f, 1.0) for n, f in zip(sizes, far_sizes, strict=True)]
    weights = torch.block_diag(*(group[0] for group in groups))
    near, far = (torch.cat([group[i] for group in groups]) for i in (1, 2))
    return (weights, near, far), sum(plain(*group) for group in groups)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "far_sizes"), [((7, 7, 6), (9,) * 3), ((9, 8, 8), (12, 11, 9))])
def test_twenty_and_twenty_five_units_are_summed_in_little_memory(sizes, far_sizes):
    given, wanted = blocks_of(sizes, far_sizes)
    forget_peak_memory()
    start = time.perf_counter()
    found = log_sum_pairs(*given)
    assert time.perf_counter() - start < 120
    assert torch.allclose(found, wanted, rtol=1e-12)
    grown = peak_memory()
    assert grown is None or grown < 150e6
