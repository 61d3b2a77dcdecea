"""Images of another size."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import genus
from genus.data.scaling import resized
from genus.data.stores import InMemory
from genus.spaces import Binary, Pixels


def pictures(n=8, height=11, width=7, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, height, width, channels), np.uint8)


@pytest.mark.parametrize("size", [(4, 4), (6, 3), (5, 12), (22, 14), (11, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_pillow_up_to_one_level_of_rounding(size, channels):
    """Levels from 90 to 165, so that nothing overshoots: where Pillow clamps is its own."""
    x = 90 + pictures(channels=channels) % 76
    found = resized(genus.data.from_array(x, channels="last"), size)
    assert found.space == Pixels((channels, *size))
    raw = found.parts.train.store.read(torch.arange(6))
    original = genus.data.from_array(x, channels="last").parts.train.store.read(torch.arange(6))
    for new, old in zip(raw, original, strict=True):
        image = Image.fromarray(np.squeeze(old.permute(1, 2, 0).numpy()))
        wanted = np.array(ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS))
        wanted = wanted.reshape(*size, channels).transpose(2, 0, 1)
        assert np.abs(new.numpy().astype(int) - wanted.astype(int)).max() <= 1


def test_levels_stay_levels():
    digits = genus.data.load("digits", resize=5)
    assert digits.space == Pixels((1, 5, 5), 17)
    assert digits.space.contains(digits.materialise("train"))
    assert int(digits.materialise("train").max()) == 16
    sharp = np.zeros((30, 8, 8), np.uint8)
    sharp[:, 2:5, 3:6] = 255
    scaled = resized(genus.data.from_array(sharp), 6).materialise("train")
    assert (int(scaled.min()), int(scaled.max())) == (0, 255)
    assert genus.data.load("digits", resize=5, view="binary").space == Binary((1, 5, 5))


def test_images_on_disk_are_scaled_as_they_are_read(tmp_path):
    np.save(tmp_path / "a.npy", pictures(60, 9, 9, 3))
    held = genus.data.load(tmp_path / "a.npy", resize=(4, 6))
    streamed = genus.data.load(tmp_path / "a.npy", resize=(4, 6), memory_limit=10)
    assert isinstance(held.parts.train.store, InMemory)
    assert not isinstance(streamed.parts.train.store, InMemory)
    assert torch.equal(held.materialise("train"), streamed.materialise("train"))
    assert streamed.parts.train.store.num_bytes == held.parts.train.store.num_bytes
    rows = torch.tensor([7, 0, 3])
    taken = streamed.parts.train.store.take(rows)
    assert torch.equal(taken.read(torch.arange(3)), held.parts.train.store.read(rows))
    batches = (data.train.batches(5, seed=1, epoch=0) for data in (held, streamed))
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one.x, two.x)


def test_a_folder_scales_its_own_files(tmp_path):
    for name in ("big", "small"):
        (tmp_path / name).mkdir()
        for number, image in enumerate(pictures(40, *(9, 9) if name == "big" else (6, 8))):
            Image.fromarray(image[..., 0]).save(tmp_path / name / f"{number}.png")
    data = genus.data.load(tmp_path, resize=4, classes="small")
    assert data.space == Pixels((1, 4, 4))
    assert sum(part.store.num_examples for part in data.parts) == 40


def test_what_cannot_be_scaled_is_refused():
    for wrong in (0, -3, True, (4, 0), (4, 4, 4), 2.5, "large"):
        with pytest.raises(ValueError, match="resize must be a size or"):
            genus.data.load("digits", resize=wrong)
    for name in ("two_moons", "bars_and_stripes"):
        with pytest.raises(ValueError, match="resize is for images of levels"):
            genus.data.load(name, resize=4)
