import gzip
import shutil
import struct

import numpy as np
import pytest
import torch

import genus
from genus.data import mnist as module
from genus.data.idx import FILES, read_idx, read_set
from genus.data.mnist import read_embedded
from genus.spaces import Binary, Pixels, Real


@pytest.fixture(scope="module")
def mnist():
    return genus.data.load("mnist", view="pixels")


def test_the_embedded_copy_equals_the_publishers_files(shared):
    images, labels = read_set({name: shared / "mnist" / name for name in FILES})
    embedded_images, embedded_labels = read_embedded()
    assert np.array_equal(embedded_images, images)
    assert np.array_equal(embedded_labels, labels)


def test_the_embedded_copy_is_small_and_checked(monkeypatch):
    path = module.resources.files("genus.data") / "embedded" / "mnist.xz"
    assert len(path.read_bytes()) < 12_000_000
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="checksum"):
        read_embedded()


def test_the_parts_are_the_canonical_ones(mnist):
    assert [len(mnist.labels(s)) for s in ("train", "valid", "test")] == [50_000, 10_000, 10_000]
    # the first labels that every tutorial prints, and the counts of each digit in the test set
    assert mnist.labels("train")[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert mnist.labels("test")[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.labels("test").bincount().tolist() == counts
    whole = torch.cat([mnist.labels("train"), mnist.labels("valid")])
    assert whole.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    x = torch.cat([mnist.parts.train.store.x, mnist.parts.valid.store.x]).double() / 255
    assert x.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert x.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_the_views(mnist):
    binary = genus.data.load("mnist")
    assert binary.space == Binary((1, 28, 28))
    assert mnist.space == Pixels((1, 28, 28))
    static = mnist.viewed("static")
    assert torch.equal(static.materialise("test", 700), binary.materialise("test", 700))
    assert torch.equal(static.materialise("test", 40), static.materialise("test", 700)[:40])
    assert not torch.equal(
        static.materialise("test", 40), binary.viewed("static").materialise("valid", 40)
    )
    one, two = (static.materialise("train", 50, seed=seed) for seed in (0, 1))
    assert torch.equal(one, two)
    one, two = (binary.materialise("train", 50, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, two)
    assert torch.equal(one, binary.materialise("train", 700, seed=0)[:50])


def test_static_training_does_not_depend_on_order_or_epoch(mnist):
    source = mnist.viewed("static").train
    fixed = mnist.viewed("static").materialise("train")
    for epoch in (0, 1):
        order = torch.randperm(50_000, generator=_order(3, epoch))[:64]
        batch = source.prepare(next(source.batches(64, seed=3, epoch=epoch)))
        assert torch.equal(batch.x, fixed[order])


def _order(seed, epoch):
    from genus.engine.seeding import address

    return torch.Generator().manual_seed(address(seed, "epoch", epoch))


def test_dequantised_binary_digits_lead_back(mnist):
    binary = genus.data.load("mnist").conditional()
    real = binary.dequantised()
    assert real.space == Real((1, 28, 28))
    assert real.log_volume == pytest.approx(-784 * np.log(2))
    assert real.base.space == binary.space
    assert real.dequantised() is real
    y = real.materialise("valid", 100)
    assert torch.equal(real.to_data(y), binary.materialise("valid", 100))
    batch = next(real.train.batches(16, seed=0, epoch=0))
    assert batch.condition.shape == (16,)
    assert real.train.prepare(batch).x.dtype == torch.float32
    assert binary.log_volume == 0.0
    assert binary.to_data(y) is y


def test_the_global_generator_is_left_alone(mnist):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    genus.data.load("mnist").dequantised().materialise("train", 20)
    assert torch.equal(torch.rand(3), expected)


def test_pictures(mnist):
    x = mnist.materialise("test", 5)
    assert torch.equal(mnist.render(x), x[:, 0])
    binary = genus.data.load("mnist")
    assert binary.render(torch.full((2, 784), 0.5)).unique().tolist() == [128]
    real = mnist.dequantised()
    difference = real.render(real.materialise("test", 5)).int() - x[:, 0].int()
    assert difference.abs().max() <= 1


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_keeps_bytes_and_shape(tmp_path, suffix):
    array = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    write_idx(tmp_path / f"a-idx3-ubyte{suffix}", array)
    assert np.array_equal(read_idx(tmp_path / f"a-idx3-ubyte{suffix}"), array)


def test_damaged_idx_files_are_named(tmp_path):
    array = np.zeros((2, 3, 5), np.uint8)
    path = tmp_path / "a-idx3-ubyte"
    write_idx(path, array)
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"x", whole[:9], b"", b"\0\0\x0d\3" + whole[4:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a-idx3-ubyte"):
            read_idx(path)
    path.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(ValueError, match="a-idx3-ubyte"):
        read_idx(path)


def test_the_search_path(shared, tmp_path, monkeypatch):
    assert "embedded" in genus.data.load("mnist").origin
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    shutil.copytree(shared / "mnist", cache / "genus" / "mnist")
    assert str(cache) in genus.data.load("mnist").origin
    monkeypatch.setenv("GENUS_DATA", f"{tmp_path / 'nothing'}:{shared}")
    assert str(shared) in genus.data.load("mnist").origin
    explicit = cache / "genus" / "mnist"
    assert str(explicit) in genus.data.load("mnist", folder=explicit).origin
    with pytest.raises(ValueError, match="does not hold mnist"):
        genus.data.load("mnist", folder=tmp_path)


def test_absent_and_offline_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("GENUS_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.retrieve", _refuse)
    with pytest.raises(ValueError, match="could not be downloaded") as raised:
        genus.data.load("fashion_mnist")
    message = str(raised.value)
    for part in (str(tmp_path), "genus", "train-images-idx3-ubyte.gz", "GENUS_DATA", "no route"):
        assert part in message
    assert not genus.data.names()["fashion_mnist"]["available"]


def _refuse(*_, **__):
    raise OSError("no route to host")


def test_a_download_is_checked_and_used(monkeypatch, tmp_path, shared):
    calls = []

    def retrieve(url, checksum, name, target, downloader):
        calls.append((url, checksum))
        return str(shared / "fashion_mnist" / name)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    data = genus.data.load("fashion_mnist")
    assert [checksum[:4] for _, checksum in calls] == ["md5:"] * 4
    assert calls[0][0].endswith("amazonaws.com/train-images-idx3-ubyte.gz")
    assert data.num_classes == 10
    assert data.space == Pixels((1, 28, 28))


def test_other_files_of_this_form_are_refused(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in FILES:
        shape = (4, 28, 28) if "images" in name else (4,)
        write_idx(folder / name, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="70000"):
        genus.data.load("mnist", folder=tmp_path)


def test_another_draw_of_the_same_pictures():
    """Bits of 40 draws have the grey levels as their mean, to 5 deviations of the worst pixel."""
    drawn = genus.data.load("mnist", view="binary")
    first = drawn.materialise("test", 20)
    grey = genus.data.load("mnist", view="pixels").materialise("test", 20).float() / 255
    again = torch.stack([drawn.redrawn(draw).materialise("test", 20) for draw in range(40)])
    assert torch.equal(again[0], first)
    assert not torch.equal(again[1], first)
    assert torch.equal(again[1:, grey == 1.0], torch.ones_like(again[1:, grey == 1.0]))
    assert float((again.mean(0) - grey).abs().max()) < 5 * (0.25 / 40) ** 0.5
    chunk = drawn.redrawn(3).test.to(torch.device("cpu"))
    assert torch.equal(next(iter(chunk.in_order(20))).x, again[3])
    assert drawn.is_drawn
    static = genus.data.load("mnist", view="static")
    for fixed in (static, genus.data.load("mnist", view="pixels")):
        assert not fixed.is_drawn
        for split in ("train", "test"):
            same = fixed.redrawn(2).materialise(split, 20)
            assert torch.equal(same, fixed.materialise(split, 20))
    noisy = static.base.viewed("pixels").dequantised()
    assert noisy.is_drawn
    assert not torch.equal(noisy.redrawn(2).materialise("test", 2), noisy.materialise("test", 2))
    for wrong in (-1, 0.5, True):
        with pytest.raises(ValueError, match="draw must be"):
            drawn.redrawn(wrong)
