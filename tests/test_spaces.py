"""Spaces: what they contain, refuse, list, draw and describe."""

import numpy as np
import pytest
import torch

from genus import Binary, Categorical, Pixels, Real, Sequence
from genus.spaces import from_config

SPACES = [
    Binary((3, 2)),
    Categorical((4,), 3),
    Categorical((), 7),
    Pixels((1, 2, 3), 4),
    Pixels((3, 2, 1)),
    Real((2,)),
    Sequence(Categorical((), 5), 3),
    Sequence(Binary((2,)), 4),
]
FINITE = [Binary((2, 3)), Categorical((3,), 3), Pixels((1, 2, 1), 4)]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_points_lie_inside(space):
    x = space.random(50)
    assert x.shape == (50, *space.shape)
    assert space.contains(x)
    checked = space.check(x)
    assert torch.equal(checked, x)
    assert checked.dtype == (torch.float32 if space.dtype is None else space.dtype)
    assert len(x.unique(dim=0)) > 1


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_description_builds_the_same_space(space):
    assert from_config(space.to_config()) == space


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_wrong_shapes_are_refused(space):
    x = space.random(4)
    for bad in (torch.cat([x, x], -1), x.unsqueeze(0), x.sum()):
        if tuple(bad.shape[1:]) == space.shape and bad.ndim:
            continue
        assert not space.contains(bad)
        with pytest.raises(ValueError, match="expected shape"):
            space.check(bad)


def test_the_error_names_argument_place_and_remedy():
    x = torch.zeros(5, 2)
    x[3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"data is not in .*first in row 3; drop or fill"):
        Real((2,)).check(x, "data")
    with pytest.raises(ValueError, match=r"0 or 1, found 0\.5; binarise"):
        Binary((2,)).check(torch.full((1, 2), 0.5))
    with pytest.raises(ValueError, match="integers 0 to 2, found 3"):
        Categorical((2,), 3).check(torch.tensor([[0, 3]]))
    with pytest.raises(ValueError, match="numeric array"):
        Real((2,)).check("abc")
    with pytest.raises(ValueError, match="numeric array"):
        Real((2,)).check([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("space", "bad"),
    [
        (Binary((1,)), 2.0),
        (Binary((1,)), float("nan")),
        (Categorical((1,), 3), -1),
        (Categorical((1,), 3), 1.5),
        (Categorical((1,), 3), float("nan")),
        (Pixels((1,), 4), 4),
        (Pixels((1,), 256), 256),
        (Pixels((1,), 256), -1),
        (Real((1,)), float("inf")),
        (Sequence(Categorical((), 3), 1), 3),
    ],
)
def test_values_outside_are_refused(space, bad):
    assert not space.contains(torch.tensor([[bad]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int64, torch.bool])
def test_bounds_do_not_wrap_around_in_small_integers(dtype):
    """256 is 0 as uint8 and 255 is −1 as int8."""
    x = torch.tensor([[0, 1]]).to(dtype)
    for space in (Pixels((2,), 256), Categorical((2,), 300), Categorical((2,), 2)):
        assert space.contains(x)
    x = torch.tensor([[0, 255]], dtype=torch.uint8)
    assert Pixels((2,), 256).contains(x)
    assert not Pixels((2,), 255).contains(x)
    assert not Categorical((2,), 300).contains(torch.tensor([[-1, 1]], dtype=torch.int8))


@pytest.mark.parametrize("space", FINITE, ids=str)
def test_points_are_all_of_them_once(space):
    points = space.points()
    levels = 2 if isinstance(space, Binary) else points.long().max() + 1
    assert len(points) == int(levels) ** space.num_dimensions
    assert len(points.unique(dim=0)) == len(points)
    assert space.contains(points)
    flat = points.flatten(1).long()
    weights = levels ** torch.arange(space.num_dimensions - 1, -1, -1)
    assert torch.equal((flat * weights).sum(1), torch.arange(len(points)))


def test_too_many_points_are_not_listed():
    with pytest.raises(ValueError, match="too many"):
        Binary((21,)).points()
    assert len(Binary((10,)).points()) == 1024


def test_levels_and_reals():
    space = Pixels((1, 1, 4), 4)
    x = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 1, 1, 4)
    real = space.to_real(x)
    assert real.flatten().tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert torch.equal(space.from_real(real), x)
    assert space.to_real(x.double()).dtype == torch.float64
    assert space.from_real(torch.tensor([-9.0, -0.4, 0.4, 9.0])).tolist() == [0, 1, 2, 3]
    every = torch.arange(256, dtype=torch.uint8)
    big = Pixels((1, 16, 16))
    assert torch.equal(big.from_real(big.to_real(every)), every)
    assert Binary((2,)).to_real(torch.tensor([0.0, 1.0])).tolist() == [-1.0, 1.0]
    y = torch.randn(3, 2)
    assert torch.equal(Real((2,)).to_real(y), y)
    assert torch.equal(Real((2,)).from_real(y), y)


def test_arrays_devices_and_dtypes():
    x = Binary((2,)).check(np.array([[0, 1], [1, 1]]), like=torch.zeros(1, dtype=torch.float64))
    assert x.dtype == torch.float64
    assert Binary((2,)).check([[True, False]]).tolist() == [[1.0, 0.0]]
    assert Pixels((2,), 256).check(np.array([[0, 255]])).dtype == torch.uint8
    assert Categorical((2,), 3).check(torch.tensor([[0.0, 2.0]])).dtype == torch.int64
    with pytest.raises(ValueError, match="must be real"):
        Real((1,)).check(torch.zeros(1, 1, dtype=torch.complex64))


def test_impossible_spaces():
    with pytest.raises(ValueError, match="at least 1"):
        Binary((0,))
    with pytest.raises(ValueError, match="num_categories"):
        Categorical((2,), 0)
    with pytest.raises(ValueError, match="num_levels"):
        Pixels((1, 2, 2), 257)
    with pytest.raises(ValueError, match="max_length"):
        Sequence(Binary((2,)), 0)
    with pytest.raises(ValueError, match="must be one of"):
        from_config({"space": "Torus", "shape": [2]})
    with pytest.raises(ValueError, match="takes"):
        from_config({"space": "Binary", "shape": [2], "levels": 3})


def test_equal_spaces_are_equal():
    assert Pixels((1, 2, 2), 4) == Pixels([1, 2, 2], 4)
    assert Pixels((1, 2, 2), 4) != Pixels((1, 2, 2), 5)
    assert Binary((4,)) != Real((4,))
    assert Sequence(Binary((2,)), 3).shape == (3, 2)
    assert Pixels((3, 4, 5)).num_dimensions == 60
