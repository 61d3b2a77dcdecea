"""Samples of other programs: every layout comes to the unit of the data, and faults are named."""

import numpy as np
import pytest
import torch
from PIL import Image

from genus import data as datasets
from genus.data.arrays import from_array
from genus.data.drawn import read_samples

N = 7
LEVELS = torch.randint(0, 256, (N, 1, 28, 28), generator=torch.Generator().manual_seed(0))
GREY = LEVELS.to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def mnist():
    return datasets.load("mnist", view="pixels")


@pytest.fixture(scope="module")
def colour():
    """A set of 4×5 pictures in colour with two classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
    return from_array(pixels, np.arange(30) % 2, channels="last")


def saved(folder, arrays, names=None):
    folder.mkdir(parents=True, exist_ok=True)
    for i, array in enumerate(arrays):
        name = f"{i:03d}.png" if names is None else names[i]
        Image.fromarray(array).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "array",
    [
        GREY,
        GREY[:, 0],
        GREY.transpose(0, 2, 3, 1),
        GREY.reshape(N, -1),
        GREY.astype(np.int64),
        (GREY / 255).astype(np.float64),
    ],
    ids=["first", "grey", "last", "flat", "integers", "floats"],
)
def test_arrays_of_every_layout_come_to_the_same(mnist, tmp_path, array):
    np.savez(tmp_path / "a.npz", x=array, y=np.arange(N))
    found = read_samples(tmp_path / "a.npz", mnist)
    torch.testing.assert_close(found.x, LEVELS.float() / 255)
    assert found.labels.tolist() == list(range(N))
    assert not found.is_binary
    np.save(tmp_path / "a.npy", array)
    torch.testing.assert_close(read_samples(tmp_path / "a.npy", mnist).x, found.x)


def test_bits_are_black_and_white_not_the_two_darkest_levels(mnist, tmp_path):
    bits = (GREY > 127).astype(np.uint8)
    np.save(tmp_path / "bits.npy", bits)
    found = read_samples(tmp_path / "bits.npy", mnist)
    assert found.is_binary
    torch.testing.assert_close(found.x, torch.from_numpy(bits).float())


def test_a_folder_of_images_and_its_labels(mnist, tmp_path):
    saved(tmp_path / "flat", GREY[:, 0])
    found = read_samples(tmp_path / "flat", mnist)
    torch.testing.assert_close(found.x, LEVELS.float() / 255)
    assert found.labels is None
    for name in ("7", "3"):
        saved(tmp_path / "sorted" / name, GREY[:2, 0])
    assert read_samples(tmp_path / "sorted", mnist).labels.tolist() == [3, 3, 7, 7]
    for name in ("cats", "3"):
        saved(tmp_path / "strange" / name, GREY[:2, 0])
    assert read_samples(tmp_path / "strange", mnist).labels is None


def test_grey_pictures_are_shown_to_colour_data_and_colours_to_grey_on_demand(
    mnist, colour, tmp_path
):
    saved(tmp_path / "grey", GREY[:, 0, :4, :5])
    found = read_samples(tmp_path / "grey", colour)
    torch.testing.assert_close(found.x, (LEVELS.float() / 255)[:, :, :4, :5].expand(-1, 3, -1, -1))
    shades = np.repeat(GREY[:, 0, :, :, None], 3, 3)
    saved(tmp_path / "shades", shades)
    with pytest.raises(ValueError, match="channels=1"):
        read_samples(tmp_path / "shades", mnist)
    turned = read_samples(tmp_path / "shades", mnist, channels=1)
    torch.testing.assert_close(turned.x, LEVELS.float() / 255)


def test_points_of_the_plane_stay_as_they_are(tmp_path):
    ring = datasets.load("ring")
    points = np.random.default_rng(0).normal(size=(9, 2))
    np.save(tmp_path / "points.npy", points)
    found = read_samples(tmp_path / "points.npy", ring)
    torch.testing.assert_close(found.x, torch.from_numpy(points).float())


def spoilt():
    """What may come, and a word of the answer."""
    holes = (GREY / 255).astype(np.float32)
    holes[4, 0, 3, 3] = np.nan
    yield holes, "row 4"
    yield (GREY / 127.5 - 1).astype(np.float32), r"\[0, 1\]"
    yield GREY[:, :, :14], r"\(1, 28, 28\)"
    yield GREY.astype(np.int64) + 1, "0 to 255"
    yield np.array(["a", "b"]), "numbers"
    yield GREY[:0], "one sample a row"


@pytest.mark.parametrize(("array", "word"), spoilt())
def test_bad_arrays_are_named(mnist, tmp_path, array, word):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=word):
        read_samples(tmp_path / "a.npy", mnist)


def test_bad_folders_and_paths_are_named(mnist, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        read_samples(tmp_path / "empty", mnist)
    mixed = saved(tmp_path / "mixed", [GREY[0, 0], GREY[0, 0, :20, :20]])
    with pytest.raises(ValueError, match="resize="):
        read_samples(mixed, mnist)
    assert read_samples(mixed, mnist, resize=28).x.shape == (2, 1, 28, 28)
    small = saved(tmp_path / "small", GREY[:3, 0, :20, :20])
    with pytest.raises(ValueError, match=r"20×20, those of mnist 28×28.*resize=28"):
        read_samples(small, mnist)
    with pytest.raises(ValueError, match="does not exist"):
        read_samples(tmp_path / "nothing.npy", mnist)
    (tmp_path / "a.pdf").touch()
    with pytest.raises(ValueError, match="neither a folder"):
        read_samples(tmp_path / "a.pdf", mnist)
    with pytest.raises(ValueError, match="memory_limit"):
        read_samples(small, mnist, resize=28, memory_limit=1000)


def test_labels_must_be_classes_of_the_data(mnist, tmp_path):
    np.savez(tmp_path / "a.npz", x=GREY, y=np.arange(N) + 5)
    with pytest.raises(ValueError, match="0 to 9"):
        read_samples(tmp_path / "a.npz", mnist)
