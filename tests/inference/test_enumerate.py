import itertools

import pytest
import torch

from genus.inference.enumerate import binary_chunks, log_sum


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
