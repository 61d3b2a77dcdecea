import math

import pytest
import torch

from genus.data.augmentation import Flip, Shift
from genus.data.noise import Addressed, Fresh, Noise, bits_of
from genus.data.steps import Binarise, Dequantise
from genus.spaces import Binary, Pixels, Real


class Constant(Noise):
    def __init__(self, value):
        self.value = value

    def uniform(self, k):
        return torch.full((1, k), self.value)

    def bits(self, x, top):
        return bits_of(self.uniform(x[0].numel()), x, top)


@pytest.mark.parametrize("levels", [2, 3, 17, 200, 255, 256])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-24])
def test_dequantised_levels_come_back(levels, uniform):
    x = torch.arange(levels, dtype=torch.uint8)[None]
    step = Dequantise(levels)
    y = step(x, Constant(uniform))
    assert ((y > 0) & (y < 1)).all()
    assert torch.equal(step.invert(y, Pixels((levels,), levels)), x)


def test_dequantisation_is_uniform_within_a_level():
    x = torch.full((500, 40), 3, dtype=torch.uint8)
    y = Dequantise(5)(x, Addressed(1, torch.arange(500), torch.device("cpu"))).double()
    u = y * 5 - 3
    # the mean of 20,000 uniform draws has deviation 0.00204; 5 of them: once in 1.7e6
    assert abs(u.mean() - 0.5) < 0.0102
    assert abs(u.var() - 1 / 12) < 0.004
    assert u.min() < 0.001
    assert u.max() > 0.999


def test_the_volume_makes_a_uniform_density_count_levels():
    space = Real((2, 3))
    assert Dequantise(4).log_volume(space) == pytest.approx(-math.log(4**6))


@pytest.mark.parametrize("levels", [2, 17, 129, 256])
def test_black_and_white_are_certain(levels):
    x = torch.tensor([[0, levels - 1]], dtype=torch.uint8)
    for uniform in (0.0, 1 - 2.0**-24):
        assert Binarise(levels)(x, Constant(uniform)).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("levels", [2, 17, 129, 256])
def test_black_and_white_are_certain_in_draws_without_number(levels):
    torch.manual_seed(0)
    x = torch.tensor([0, levels - 1], dtype=torch.uint8).expand(2000, 1000, 2)
    assert torch.equal(Binarise(levels)(x, Fresh(x)), (x > 0).float())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float32])
def test_binarising_leaves_what_it_is_given_as_it_was(dtype):
    for shape in ((6,), (6, 5), (6, 1, 5, 4)):
        x = torch.ones(shape).to(dtype)
        for noise in draws(x).values():
            assert Binarise(3)(x, noise).shape == shape
            assert torch.equal(x, torch.ones(shape).to(dtype))


def draws(x):
    return {"fresh": Fresh(x), "addressed": Addressed(1, torch.arange(len(x)), x.device)}


@pytest.mark.parametrize("kind", ["fresh", "addressed"])
def test_binarised_means_are_grey_levels(kind):
    torch.manual_seed(0)
    levels = torch.tensor([0, 1, 40, 200, 255], dtype=torch.uint8)
    x = levels.expand(20_000, 5)
    bits = Binarise(256)(x, draws(x)[kind])
    assert bits.dtype == torch.float32
    p = levels / 255
    # five deviations; once in 3.5e5 over the three uncertain levels and both sides
    bound = 5 * (p * (1 - p) / len(x)).sqrt()
    assert ((bits.mean(0) - p).abs() <= bound).all()
    assert Binarise(256).space(Pixels((5,))) == Binary((5,))


def images():
    return torch.randint(
        1, 256, (400, 3, 4, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_flip_mirrors_whole_images_left_to_right():
    torch.manual_seed(1)
    x = images()
    y = Flip(0.3)(x, Fresh(x))
    mirrored = (y == x.flip(3)).flatten(1).all(1)
    kept = (y == x).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    # binomial(400, 0.3): deviation 9.2, five of them
    assert abs(int(mirrored.sum()) - 120) < 46


def test_shift_moves_images_over_the_fill_and_reaches_every_offset():
    torch.manual_seed(2)
    x = images()
    y = Shift(2)(x, Fresh(x))
    seen = set()
    for before, after in zip(x, y, strict=True):
        offsets = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                moved = torch.zeros_like(before)
                rows = slice(max(down, 0), 4 + min(down, 0))
                columns = slice(max(right, 0), 7 + min(right, 0))
                from_rows = slice(max(-down, 0), 4 + min(-down, 0))
                from_columns = slice(max(-right, 0), 7 + min(-right, 0))
                moved[:, rows, columns] = before[:, from_rows, from_columns]
                if torch.equal(moved, after):
                    offsets.append((down, right))
        assert len(offsets) == 1
        seen.add(offsets[0])
    # each of 25 offsets is missed with probability (24/25)^400 = 8e-8
    assert len(seen) == 25


def test_augmentation_refuses_senseless_settings():
    with pytest.raises(ValueError, match="probability"):
        Flip(1.5)
    with pytest.raises(ValueError, match="most"):
        Shift(0)
