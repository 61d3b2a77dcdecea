import itertools
import random

import pytest

from genus.inference.colouring import colour_classes
from genus.models.boltzmann.couplings import all_pairs, grid_pairs


def neighbours(num_units, pairs):
    found = [set() for _ in range(num_units)]
    for i, j in pairs:
        found[i].add(j)
        found[j].add(i)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_groups_hold_every_unit_once_and_no_pair(seed):
    source = random.Random(seed)
    num_units = source.randint(2, 30)
    share = source.random()
    pairs = [p for p in itertools.combinations(range(num_units), 2) if source.random() < share]
    groups = colour_classes(num_units, pairs)
    assert sorted(unit for group in groups for unit in group) == list(range(num_units))
    assert not any(i in group and j in group for group in groups for i, j in pairs)
    assert len(groups) <= 1 + max(len(found) for found in neighbours(num_units, pairs))
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)
    assert all(group == sorted(group) for group in groups)


def test_known_graphs_take_as_few_colours_as_they_can():
    assert colour_classes(4, all_pairs(4)) == [[0], [1], [2], [3]]
    assert colour_classes(3, []) == [[0, 1, 2]]
    assert colour_classes(6, grid_pairs(2, 3)) == [[1, 3, 5], [0, 2, 4]]
    assert colour_classes(5, [(4, unit) for unit in range(4)]) == [[0, 1, 2, 3], [4]]
    assert len(colour_classes(5, [(i, (i + 1) % 5) for i in range(5)])) == 3


def test_a_grid_joins_neighbours_only():
    wanted = {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)}
    assert set(grid_pairs(2, 3)) == wanted
    assert grid_pairs(1, 1) == []


def test_what_joins_no_two_units_is_refused():
    for bad in [(0, 3), (-1, 2), (1, 1)]:
        with pytest.raises(ValueError, match="pairs must join two different units of 0 to 2"):
            colour_classes(3, [(0, 1), bad])
    with pytest.raises(ValueError, match="num_units must be at least 1, got 0"):
        colour_classes(0, [])
    with pytest.raises(ValueError, match="height and width must be at least 1"):
        grid_pairs(0, 3)
