import numpy as np
import pytest
import torch
from PIL import Image

from genus.evaluation.resizing import RESIZINGS, resize


def pictures(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height))


def bilinear(x: torch.Tensor, side: int, offset: float) -> torch.Tensor:
    """One output at a time: output i lies at (i + offset)·size/side − offset."""
    _, _, height, width = x.shape
    made = torch.empty(*x.shape[:2], side, side)
    for i in range(side):
        for j in range(side):
            y = max(0.0, (i + offset) * height / side - offset)
            z = max(0.0, (j + offset) * width / side - offset)
            top, left = int(y), int(z)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            u, v = y - top, z - left
            upper = (1 - v) * x[:, :, top, left] + v * x[:, :, top, right]
            lower = (1 - v) * x[:, :, bottom, left] + v * x[:, :, bottom, right]
            made[:, :, i, j] = (1 - u) * upper + u * lower
    return made


@pytest.mark.parametrize(("height", "width", "side"), [(5, 8, 13), (9, 6, 4), (7, 7, 7), (1, 1, 3)])
@pytest.mark.parametrize(("mode", "offset"), [("tf", 0.0), ("torch", 0.5)])
def test_bilinear_resizing_is_its_formula(height, width, side, mode, offset):
    x = pictures(height, width)
    torch.testing.assert_close(resize(x, side, mode), bilinear(x, side, offset))


@pytest.mark.parametrize(("height", "width", "side"), [(28, 28, 57), (32, 20, 45), (90, 64, 23)])
def test_clean_resizing_is_that_of_pillow(height, width, side):
    x = pictures(height, width)
    found = resize(x, side, "clean")
    for picture, seen in zip(x.flatten(0, 1), found.flatten(0, 1), strict=True):
        image = Image.fromarray(picture.numpy()).resize((side, side), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(seen.numpy(), np.asarray(image), atol=2e-5)


@pytest.mark.parametrize("mode", RESIZINGS)
def test_a_constant_picture_stays_constant(mode):
    found = resize(torch.full((1, 1, 28, 28), 0.3), 299, mode)
    torch.testing.assert_close(found, torch.full((1, 1, 299, 299), 0.3))


def test_an_unknown_resizing_is_refused():
    with pytest.raises(ValueError, match="one of tf, torch, clean, got 'area'"):
        resize(pictures(4, 4), 8, "area")  # type: ignore[arg-type]
