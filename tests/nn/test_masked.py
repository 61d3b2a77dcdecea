import pytest
import torch

from genus.nn.masked import MaskedNetwork, MaskedWalk


@pytest.mark.parametrize("width", [3, 7, 40])
def test_degrees_are_spread_evenly(width):
    network = MaskedNetwork(8, 1, 1, (width, 20), num_orders=3)
    for order in range(3):
        counts = torch.bincount(network.degrees(0)[order], minlength=7)
        assert len(counts) == 7
        assert counts.max() - counts.min() <= 1


def test_orders_are_permutations_and_the_first_is_natural():
    network = MaskedNetwork(9, 2, 3, (20,), num_orders=4)
    assert network.positions[0].tolist() == list(range(9))
    assert len({tuple(order.tolist()) for order in network.positions}) == 4
    assert all(sorted(order.tolist()) == list(range(9)) for order in network.positions)


def test_a_walk_whose_rows_are_chosen_goes_on_as_they_would():
    torch.manual_seed(0)
    network = MaskedNetwork(6, 2, 3, (11, 9), num_orders=2, num_given=2).double()
    features, given = torch.randn(4, 2, 6).double(), torch.randn(4, 2).double()
    whole = network(features, torch.tensor([1]), given)
    walk, rows = MaskedWalk(network, 1, 4, given), torch.arange(4)
    with torch.no_grad():
        for step, entry in enumerate(walk.entries):
            if step in (2, 4):
                chosen = torch.tensor([3, 0, 0, 1])
                walk.select(chosen)
                rows = rows[chosen]
            assert torch.allclose(walk.predict()[:, :, 0], whole[rows, :, entry], atol=1e-12)
            walk.commit(features[rows, :, entry, None])
