import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import genus
from genus.data.listing import list_files
from genus.data.stores import InMemory, Streamed
from genus.spaces import Binary, Pixels


def levels(n, height=5, width=7, colours=3, seed=0):
    shape = (n, height, width, colours) if colours > 1 else (n, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(folder, images, suffix=".png", start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start):
        Image.fromarray(image).save(folder / f"{number:04d}{suffix}")


@pytest.fixture
def labelled(tmp_path):
    root = tmp_path / "pets"
    write(root / "cat", levels(30, seed=1))
    write(root / "dog" / "small", levels(20, seed=2), ".bmp")
    (root / "notes.md").write_text("not an image")
    (root / ".hidden").mkdir()
    (root / "cat" / "._0000.png").write_bytes(b"junk")
    return root


def everything(data):
    parts = ("train", "valid", "test")
    return torch.cat([data.materialise(p) for p in parts]), torch.cat(
        [data.labels(p) for p in parts]
    )


def test_subfolders_are_labels_and_every_pixel_arrives(labelled):
    data = genus.data.load(labelled)
    assert data.space == Pixels((3, 5, 7))
    assert data.class_names == ("cat", "dog")
    assert data.kind == "image"
    assert data.describe()["examples"] == {"train": 40, "valid": 5, "test": 5}
    x, y = everything(data)
    assert y.bincount().tolist() == [30, 20]
    for label, expected in enumerate((levels(30, seed=1), levels(20, seed=2))):
        ours = {image.permute(1, 2, 0).numpy().tobytes() for image in x[y == label]}
        assert ours == {image.tobytes() for image in expected}
    assert data.render(x).shape == (50, 5, 7, 3)
    assert data.conditional().train.condition.num_categories == 2


def test_streamed_and_held_images_agree(labelled):
    held = genus.data.load(labelled)
    streamed = genus.data.load(labelled, memory_limit=100, workers=3)
    assert isinstance(held.parts.train.store, InMemory)
    assert isinstance(streamed.parts.train.store, Streamed)
    assert not streamed.describe()["in_memory"]
    for view in ("pixels", "static"):
        one, two = held.viewed(view).conditional(), streamed.viewed(view).conditional()
        for part in ("train", "valid", "test"):
            assert torch.equal(one.materialise(part), two.materialise(part))
        for epoch in (0, 1):
            pairs = zip(
                one.train.batches(8, seed=3, epoch=epoch, skip=1, whole=True),
                two.train.batches(8, seed=3, epoch=epoch, skip=1, whole=True),
                strict=True,
            )
            for a, b in pairs:
                assert torch.equal(a.x, b.x)
                assert torch.equal(a.condition, b.condition)


def test_streaming_trains_a_model(tmp_path):
    write(tmp_path / "grey", levels(40, 3, 4, 1))
    data = genus.data.load(tmp_path / "grey", memory_limit=1).dequantised()
    model = genus.models.PPCA(data.space, num_components=2)
    model.fit(data.train)
    x = data.materialise("train")
    # PPCA's mean is that of the data; the noise of dequantisation is anew in each of two epochs
    assert (model.mean - x.flatten(1).mean(0)).abs().max() < 3 / 256


def test_leaving_early_ends_the_readers(labelled):
    import threading

    data = genus.data.load(labelled, memory_limit=1)
    batches = data.train.batches(4, seed=0, epoch=0)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("genus-reader")]


def test_named_parts_are_kept(tmp_path):
    root = tmp_path / "set"
    write(root / "train" / "a", levels(12, seed=1))
    write(root / "train" / "b", levels(12, seed=2))
    write(root / "test" / "b", levels(3, seed=3))
    data = genus.data.load(root)
    assert data.labels("test").tolist() == [1, 1, 1]
    assert {p: len(data.labels(p)) for p in ("train", "valid")} == {"train": 22, "valid": 2}
    x = data.materialise("test").permute(0, 2, 3, 1).numpy()
    found, expected = ({image.tobytes() for image in part} for part in (x, levels(3, seed=3)))
    assert len(x) == len(found) == 3
    assert found == expected
    first = data.materialise("train")
    assert torch.equal(genus.data.load(root).materialise("train"), first)
    assert not torch.equal(data.labels("train"), data.labels("train").sort().values)
    write(root / "test" / "c", levels(1))
    with pytest.raises(ValueError, match="class 'c'"):
        genus.data.load(root)


def test_grey_images_stay_grey_and_binarise(tmp_path):
    write(tmp_path, levels(12, colours=1))
    data = genus.data.load(tmp_path, view="binary")
    assert data.space == Binary((1, 5, 7))
    assert genus.data.load(tmp_path, channels=3).space == Pixels((3, 5, 7))
    write(tmp_path, levels(1), start=99)
    assert genus.data.load(tmp_path).space == Pixels((3, 5, 7))
    assert genus.data.load(tmp_path, channels=1).space == Pixels((1, 5, 7))


def test_mixed_sizes_name_two_files_and_the_remedy(tmp_path):
    write(tmp_path, levels(11))
    write(tmp_path, levels(1, 9, 8), start=50)
    with pytest.raises(ValueError, match="resize=5") as raised:
        genus.data.load(tmp_path)
    assert "0000.png is 5×7" in str(raised.value)
    assert "0050.png is 9×8" in str(raised.value)
    assert genus.data.load(tmp_path, resize=5).space == Pixels((3, 5, 5))
    assert genus.data.load(tmp_path, resize=(4, 6)).space == Pixels((3, 4, 6))
    with pytest.raises(ValueError, match="resize"):
        genus.data.load(tmp_path, resize=0)


def test_sizes_that_the_headers_probed_do_not_show_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("genus.data.images.MOST_PROBES", 2)
    write(tmp_path, levels(11))
    write(tmp_path, levels(1, 9, 8), start=1)
    with pytest.raises(ValueError, match=r"0001.png is 9×8.*resize=5"):
        genus.data.load(tmp_path)


def test_resizing_crops_about_the_centre(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    write(tmp_path, [wide] * 12)
    assert (genus.data.load(tmp_path, resize=4).materialise("train") == 200).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    write(tmp_path, levels(12, 40, 40), suffix)
    path = tmp_path / f"0007{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="0007"):
        genus.data.load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="0007"):
        genus.data.load(tmp_path)


def test_a_truncated_image_is_named_while_streaming(tmp_path):
    write(tmp_path, levels(12, 40, 40))
    data = genus.data.load(tmp_path, memory_limit=1)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot read image .*\.png"):
        list(data.train.in_order(4))


def test_folders_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="neither images nor WAV"):
        genus.data.load(tmp_path)
    with pytest.raises(ValueError, match="no file or folder"):
        genus.data.load(tmp_path / "absent")
    write(tmp_path / "a", levels(5))
    write(tmp_path / "b", levels(5))
    write(tmp_path, levels(1))
    with pytest.raises(ValueError, match="beside the labelled"):
        genus.data.load(tmp_path)
    write(tmp_path / "few", levels(2))
    with pytest.raises(ValueError, match="cannot be split"):
        genus.data.load(tmp_path / "few")
    with pytest.raises(ValueError, match="no labels"):
        genus.data.load(tmp_path / "a").conditional()


def test_deep_images_are_refused(tmp_path):
    write(tmp_path, levels(9, colours=1))
    Image.fromarray(np.full((5, 7), 4000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has more than 8 bits"):
        genus.data.load(tmp_path)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_of_images(labelled, tmp_path, kind):
    archive = tmp_path / f"pets.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(labelled.rglob("*.[pb]*")):
                file.write(path, path.relative_to(tmp_path))
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(labelled, "pets")
    data = genus.data.load(archive)
    assert torch.equal(data.materialise("train"), genus.data.load(labelled).materialise("train"))
    assert data.class_names == ("cat", "dog")


@pytest.mark.parametrize("member", ["../escape.png", "/tmp/genus-escape.png"])
def test_archives_cannot_leave_their_folder(tmp_path, member):
    image = io.BytesIO()
    Image.fromarray(levels(1)[0]).save(image, "PNG")
    tar = tmp_path / "evil.tar"
    with tarfile.open(tar, "w") as file:
        info = tarfile.TarInfo(member)
        info.size = len(image.getvalue())
        file.addfile(info, io.BytesIO(image.getvalue()))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../.."
        file.addfile(link)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(member, image.getvalue())
    for name in ("evil.tar", "evil.zip"):
        with pytest.raises(ValueError, match=f"cannot unpack .*{name}"):
            genus.data.load(tmp_path / name)
    assert not list(tmp_path.parent.rglob("*escape.png"))


def test_a_damaged_archive_is_named_and_leaves_nothing(labelled, tmp_path):
    archive = tmp_path / "pets.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(labelled, "pets")
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"pets\.tar\.gz"):
        genus.data.load(archive)
    from genus.data.search import cache_folder

    assert not list((cache_folder() / "unpacked").iterdir())


def test_the_listing_is_compact(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(500):
            (tmp_path / folder / f"image_{number:07d}.jpg").touch()
    listing = list_files(tmp_path, frozenset((".jpg",)), "images")["all"]
    # two million such names: 60 MB, beside 16 MB for an epoch's order
    assert listing.num_bytes / len(listing) < 32
    assert listing.path(500).name == "image_0000000.jpg"
    assert listing.path(500).parent.name == "b"
    assert listing.labels().tolist() == [0] * 500 + [1] * 500


@pytest.mark.slow
def test_cifar10_from_the_image_archive(shared, monkeypatch):
    data = genus.data.load("cifar10_jpeg", folder=shared)
    assert data.describe()["examples"] == {"train": 45_000, "valid": 5_000, "test": 10_000}
    assert data.labels("valid").bincount().tolist() == [500] * 10
    assert data.labels("test").bincount().tolist() == [1000] * 10
    with tarfile.open(shared / "cifar10_jpeg" / "cifar10_jpeg.tar.gz") as tar:
        member = tar.extractfile("test/ship/0003.jpg")
        image = np.array(Image.open(member).convert("RGB")).transpose(2, 0, 1)
    ship = data.class_names.index("ship")
    ships = data.parts.test.store.x[data.labels("test") == ship]
    assert int((ships == torch.from_numpy(image)).flatten(1).all(1).sum()) == 1
    monkeypatch.setattr("genus.data.cifar10._read_jpeg", None)
    again = genus.data.load("cifar10_jpeg", folder=shared)
    assert torch.equal(again.parts.valid.store.x, data.parts.valid.store.x)
    monkeypatch.setenv("GENUS_DATA", str(shared))
    with pytest.warns(UserWarning, match="JPEG"):
        assert genus.data.load("cifar10").name == "cifar10_jpeg"


def test_cifar10_from_the_binary_version(tmp_path, monkeypatch):
    monkeypatch.setattr("genus.data.cifar10.NUM_TEST", 20)
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 20, 3073), dtype=np.uint8)
    records[..., 0] = rng.integers(0, 10, (6, 20))
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    with tarfile.open(path, "w:gz") as tar:
        for name, part in reversed(list(zip(names, records, strict=True))):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = part.size
            tar.addfile(info, io.BytesIO(part.tobytes()))
    data = genus.data.load("cifar10", folder=tmp_path)
    assert data.describe()["examples"] == {"train": 90, "valid": 10, "test": 20}
    assert np.array_equal(data.labels("test").numpy(), records[5, :, 0])
    x = data.materialise("train")
    assert x[25, 2, 30, 4] == records[1, 5, 1 + 2048 + 30 * 32 + 4]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cifar-10-binary"):
        genus.data.load("cifar10", folder=tmp_path)
