import tarfile
import wave

import numpy as np
import pytest
import torch

import genus
from genus.data.archives import cached_arrays
from genus.data.audio import read_wave
from genus.data.memory import parse_size
from genus.data.search import cache_folder
from genus.spaces import Binary, Categorical, Pixels, Real, Sequence

RNG = np.random.default_rng(0)
SPLITS = ("train", "valid", "test")


def rows(data):
    return sorted(x.flatten().tolist() for p in SPLITS for x in data.materialise(p).double())


@pytest.mark.parametrize(
    ("array", "space", "kind"),
    [
        (RNG.integers(0, 256, (30, 4, 6), dtype=np.uint8), Pixels((1, 4, 6)), "image"),
        (RNG.integers(0, 256, (30, 5, 6, 3), dtype=np.uint8), Pixels((3, 5, 6)), "image"),
        (RNG.integers(0, 256, (30, 3, 4, 6), dtype=np.uint8), Pixels((3, 4, 6)), "image"),
        (RNG.integers(0, 256, (30, 4, 6)), Pixels((1, 4, 6)), "image"),
        (RNG.integers(0, 2, (30, 5)).astype(bool), Binary((5,)), "table"),
        (RNG.integers(0, 2, (30, 5)).astype(float), Binary((5,)), "table"),
        (RNG.integers(0, 2, (30, 2, 5), dtype=np.uint8), Binary((1, 2, 5)), "image"),
        (np.arange(150).reshape(30, 5) % 7, Categorical((5,), 7), "table"),
        (RNG.normal(size=(30, 5)), Real((5,)), "table"),
        (RNG.normal(size=(30, 2)).astype(np.float16), Real((2,)), "points"),
        (RNG.normal(size=(30, 5, 6, 1)), Real((1, 5, 6)), "image"),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_values_and_shape_decide_the_space(tmp_path, array, space, kind):
    np.save(tmp_path / "a.npy", array)
    data = genus.data.load(tmp_path / "a.npy")
    assert data.space == space
    assert data.kind == kind
    assert all(space.contains(data.materialise(p)) for p in SPLITS)
    last = array.ndim == 4 and array.shape[3] in (1, 3)
    moved = np.moveaxis(array, 3, 1) if last else array
    expected = sorted(x.ravel().astype(np.float32).tolist() for x in moved)
    assert rows(data) == expected
    streamed = genus.data.load(tmp_path / "a.npy", memory_limit=1)
    batches = zip(
        data.train.batches(7, seed=1, epoch=2), streamed.train.batches(7, seed=1, epoch=2),
        strict=True,
    )  # fmt: skip
    assert all(torch.equal(a.x, b.x) for a, b in batches)


def test_splits_are_fixed_and_whole():
    x = torch.arange(1003, dtype=torch.float32)[:, None] + 0.5
    data = genus.data.from_array(x)
    parts = [data.materialise(p).flatten() for p in SPLITS]
    assert [len(part) for part in parts] == [803, 100, 100]
    assert torch.equal(torch.cat(parts).sort().values, x.flatten())
    # written down once, so that a change of the rule shows
    assert parts[1].sort().values[:5].tolist() == [5.5, 23.5, 45.5, 50.5, 57.5]
    assert parts[2].sort().values[:5].tolist() == [1.5, 6.5, 12.5, 20.5, 21.5]
    assert parts[1][:5].tolist() == [899.5, 244.5, 172.5, 57.5, 775.5]
    assert genus.data.from_array(x).materialise("train", 803).equal(data.materialise("train"))
    halves = genus.data.from_array(x, valid_fraction=0.2, test_fraction=0.3)
    assert halves.describe()["examples"] == {"train": 501, "valid": 201, "test": 301}
    for bad in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="valid_fraction"):
            genus.data.from_array(x, valid_fraction=bad)


def test_the_first_few_of_a_part_stand_for_all_of_it(tmp_path):
    """Data stored class by class: 100 of 500 first rows hold each of 5 classes 8 times or more."""
    x = np.arange(1000.0)[:, None] + 0.25
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(1000) // 200)
    data = genus.data.load(tmp_path / "a.npz")
    for split in SPLITS:
        counts = torch.bincount(data.labels(split)[:100], minlength=5)
        # hypergeometric, 20 ± 4: below 8 or above 32 once in 1,000 draws, and the draw is fixed
        assert counts.min() >= 8
        assert counts.max() <= 32
        rows = data.materialise(split).flatten().long()
        assert torch.equal(rows // 200, data.labels(split))


def test_labels_follow_their_rows(tmp_path):
    x = np.arange(40.0)[:, None] + 0.25
    y = np.arange(40) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    for data in (
        genus.data.load(tmp_path / "a.npz"),
        genus.data.load(tmp_path / "x.npy", labels=tmp_path / "y.npy"),
    ):
        assert data.num_classes == 3
        batch = next(data.conditional().train.batches(20, seed=0, epoch=0))
        assert torch.equal(batch.condition, batch.x.flatten().long() % 3)
        assert torch.equal(data.labels("test"), data.materialise("test").flatten().long() % 3)


def test_bad_arrays(tmp_path):
    path = tmp_path / "a.npy"
    x = RNG.normal(size=(30, 5))
    x[17, 2] = np.nan
    np.save(path, x)
    with pytest.raises(ValueError, match=r"a\.npy has NaN.*row 17"):
        genus.data.load(path)
    streamed = genus.data.load(path, memory_limit=1)
    with pytest.raises(ValueError, match="row 17"):
        [rows for p in SPLITS for rows in getattr(streamed, p).in_order(4)]
    np.save(path, np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npy"):
        genus.data.load(path)
    np.save(path, np.zeros((30, 5)))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"a\.npy"):
        genus.data.load(path)
    for bad, match in (
        (np.zeros(5), "one example a row"),
        (np.array([["a"]]), "must hold numbers"),
        (np.zeros((0, 3)), "one example a row"),
        (np.full((9, 2), -3), "negative"),
        (np.full((9, 3, 5, 3), 7, np.uint8), "channels="),
    ):
        with pytest.raises(ValueError, match=match):
            genus.data.from_array(bad)
    with pytest.raises(ValueError, match="labels"):
        genus.data.from_array(RNG.normal(size=(9, 2)), np.zeros(8, int))
    assert genus.data.from_array(
        np.full((9, 3, 5, 3), 7, np.uint8), channels="first"
    ).space == Pixels((3, 5, 3))
    np.savez(tmp_path / "b.npz", u=np.zeros(3), v=np.zeros(3))
    with pytest.raises(ValueError, match="u, v; name the data x"):
        genus.data.load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", x=np.zeros((300, 40)))
    with pytest.raises(ValueError, match="store x as"):
        genus.data.load(tmp_path / "c.npz", memory_limit=1000)


def test_sizes_in_words():
    assert parse_size("8GB") == 8_000_000_000
    assert parse_size("1.5 m") == 1_500_000
    assert parse_size(77) == 77
    assert 10**7 < parse_size(None) < 10**14
    for bad in ("lots", "-1", "8 apples"):
        with pytest.raises(ValueError, match="memory_limit"):
            parse_size(bad)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_tables(tmp_path, delimiter, header):
    path = tmp_path / ("a.tsv" if delimiter == "\t" else "a.csv")
    x = RNG.normal(size=(50, 3)).round(6)
    kinds = ["rose" if row[0] > 0 else "ash, grey" for row in x]
    lines = [delimiter.join(["one", "two", "kind", "three"])] if header else []
    for row, kind in zip(x, kinds, strict=True):
        lines.append(delimiter.join([str(row[0]), str(row[1]), f'"{kind}"', str(row[2])]))
    path.write_text("\n".join(lines) + "\n")
    column = "kind" if header else 2
    data = genus.data.load(path, label_column=column)
    assert data.space == Real((3,))
    assert data.class_names == ("ash, grey", "rose")
    assert rows(data) == sorted(row.astype(np.float32).tolist() for row in x)
    y = data.labels("train")
    assert torch.equal(y, (data.materialise("train")[:, 0] > 0).long())
    scaled = genus.data.load(path, label_column=column, standardise=True).materialise("train")
    assert scaled.mean(0).abs().max() < 1e-6
    assert (scaled.std(0, correction=0) - 1).abs().max() < 1e-6
    if header:
        two = genus.data.load(path, columns=("three", "one"))
        assert torch.equal(two.materialise("test"), data.materialise("test")[:, [2, 0]])
        assert two.kind == "points"


def test_numbers_as_labels_are_in_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(f"{i}.5,{[10, 9, 100][i % 3]}" for i in range(30)))
    data = genus.data.load(path, label_column=-1)
    assert data.class_names == ("9", "10", "100")
    expected = torch.tensor([1, 0, 2])[data.materialise("test").flatten().long() % 3]
    assert torch.equal(data.labels("test"), expected)


@pytest.mark.parametrize(
    ("cell", "found"),
    [("abc", "the text 'abc'"), ("", "is empty"), ("nan", "'nan'"), ("inf", "'inf'")],
)
def test_a_bad_cell_is_named(tmp_path, cell, found):
    path = tmp_path / "a.csv"
    lines = [f"{i}.0,{i * i}" for i in range(20)]
    lines[11] = f"11.0,{cell}"
    path.write_text("x,y\n" + "\n".join(lines))
    with pytest.raises(ValueError, match=r"row 13, column 'y'") as raised:
        genus.data.load(path)
    assert found in str(raised.value)


def test_bad_tables(tmp_path):
    path = tmp_path / "a.csv"
    for content, options, match in (
        ("", {}, "empty"),
        ("x,y\n", {}, "no rows"),
        ("x,y\n1,2\n3\n", {}, "row 3: expected 2 cells, got 1"),
        ("x,y\n1,2\n", {"label_column": "z"}, "has x, y, got 'z'"),
        ("x,y\n" + "1,2\n" * 20, {"standardise": True}, "'x' is constant"),
        ("x\n1\n", {"label_column": "x"}, "no column beside"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=match):
            genus.data.load(path, **options)
    path.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(ValueError, match=r"a\.csv"):
        genus.data.load(path)


def test_text_windows(tmp_path):
    text = "".join("abc déf\n"[i % 8] for i in range(1000)) + "ζ" * 50
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    data = genus.data.load(path, length=7)
    assert data.space == Sequence(Categorical((), 9), 7)
    assert data.vocabulary == tuple(sorted(set(text)))
    train = text[:946]
    windows = data.decode(data.materialise("train"))
    assert windows == [train[i : i + 7] for i in range(0, len(train) - 6, 7)]
    assert "".join(data.decode(data.materialise("test"))) == text[998:][:49]
    assert torch.equal(data.encode(windows[3]), data.materialise("train")[3])
    dense = genus.data.load(path, length=7, stride=2)
    assert data.decode(dense.materialise("train"))[5] == train[10:17]
    assert dense.describe()["examples"]["valid"] == data.describe()["examples"]["valid"]
    with pytest.raises(ValueError, match="'q'"):
        data.encode("aq")
    with pytest.raises(ValueError, match="smaller length"):
        genus.data.load(path, length=60)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        genus.data.load(path)
    with pytest.raises(ValueError, match="can be dequantised"):
        data.dequantised()


def test_text_with_many_characters(tmp_path):
    text = "".join(chr(0x4E00 + i % 700) for i in range(3000))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    data = genus.data.load(tmp_path / "a.txt", length=10)
    assert "".join(data.decode(data.materialise("train"))) == text[:2700]


def test_shakespeare(shared):
    data = genus.data.load(shared / "text" / "tinyshakespeare.txt", length=64)
    assert len(data.vocabulary) == 65
    assert data.decode(data.materialise("train", 1))[0].startswith("First Citizen:")


def write_wave(path, sound, rate=8000, width=2, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        levels = np.round(np.asarray(sound) * (1 << (8 * width - 1))).astype(np.int64)
        if width == 1:
            content = (levels + 128).astype(np.uint8).tobytes()
        else:
            content = levels.astype("<i8")[..., None].view(np.uint8)[..., :width].tobytes()
        file.writeframes(content)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_every_width(tmp_path, width):
    sound = np.array([0.5, -0.25, -1.0, 0.75, 0.0])
    write_wave(tmp_path / "a.wav", sound, rate=11_025, width=width)
    read, rate = read_wave(tmp_path / "a.wav")
    assert read.tolist() == sound.tolist()
    assert rate == 11_025
    stereo = np.stack([sound, np.zeros(5)], axis=1)
    write_wave(tmp_path / "b.wav", stereo, width=width, channels=2)
    assert read_wave(tmp_path / "b.wav")[0].tolist() == (sound / 2).tolist()


def test_recordings(tmp_path):
    for number in range(12):
        folder = tmp_path / ("yes" if number % 2 else "no")
        write_wave(folder / f"{number}.wav", np.full(20 + number, number / 16))
    with pytest.raises(ValueError, match=r"length=") as raised:
        genus.data.load(tmp_path)
    assert "0.wav has 20 samples" in str(raised.value)
    data = genus.data.load(tmp_path, length=25)
    assert data.space == Real((25,))
    assert data.kind == "audio"
    assert data.sample_rate == 8000
    assert data.class_names == ("no", "yes")
    for part in SPLITS:
        for x, y in zip(data.materialise(part), data.labels(part), strict=True):
            number = round(float(x[0]) * 16)
            assert y == number % 2
            expected = torch.zeros(25)
            expected[: 20 + number] = number / 16
            assert torch.equal(x, expected)
    write_wave(tmp_path / "no" / "0.wav", np.arange(31) / 64)
    centre = genus.data.load(tmp_path, length=21, crop="centre", memory_limit=1)
    first = [x for p in SPLITS for x in centre.materialise(p) if x[-1] == 25 / 64]
    assert len(first) == 1
    assert first[0][0] == 5 / 64
    write_wave(tmp_path / "no" / "99.wav", np.zeros(20), rate=16_000)
    with pytest.raises(ValueError, match=r"8000 Hz.*99\.wav 16000 Hz"):
        genus.data.load(tmp_path, length=20)


def test_bad_recordings(tmp_path):
    for number in range(5):
        write_wave(tmp_path / f"{number}.wav", np.zeros(100))
    path = tmp_path / "3.wav"
    whole = path.read_bytes()
    for content in (whole[:60], whole[:44], whole[:20], b"", b"RIFFnothing"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"3\.wav"):
            genus.data.load(tmp_path, length=100)


def test_other_encodings_through_soundfile(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    sound = np.array([0.5, -0.25, 0.125], np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 8000, subtype="FLOAT")
    assert read_wave(tmp_path / "a.wav")[0].tolist() == sound.tolist()


def test_the_spoken_digits(shared, tmp_path):
    with tarfile.open(shared / "fsdd" / "fsdd.tar.gz") as tar:
        names = [f"recordings/{digit}_theo_0.wav" for digit in range(10)]
        tar.extractall(tmp_path, [tar.getmember(name) for name in names], filter="data")
    data = genus.data.load(tmp_path / "recordings", length=4000)
    assert data.sample_rate == 8000
    assert 0.01 < data.materialise("train").abs().max() <= 1


def test_names_options_and_paths(tmp_path):
    listed = genus.data.names()
    assert listed["mnist"]["available"]
    assert not listed["cifar10"]["available"]
    for bad, match in (("mnits", "did you mean 'mnist'"), ("a/b", "no file"), ("x.npy", "no file")):
        with pytest.raises(ValueError, match=match):
            genus.data.load(bad)
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(ValueError, match="no known kind"):
        genus.data.load(tmp_path / "a.xyz")
    np.save(tmp_path / "a.npy", np.zeros((9, 2)))
    with pytest.raises(ValueError, match=r"no option 'memory_limits'; did you mean memory_limit"):
        genus.data.load(tmp_path / "a.npy", memory_limits=3)
    with pytest.raises(ValueError, match="view"):
        genus.data.load("digits", view="grey")
    with pytest.raises(ValueError, match="needs stored pixel levels"):
        genus.data.load("ring", view="binary")
    with pytest.raises(ValueError, match="for images"):
        genus.data.load("ring").augmented(flip=True)


def test_augmentation_is_for_training_alone():
    data = genus.data.load("digits")
    moved = data.augmented(flip=True, shift=1)
    assert torch.equal(moved.materialise("test"), data.materialise("test"))
    changed = moved.materialise("train", 100)
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, data.materialise("train", 100))
    assert moved.viewed("binary").train.space == Binary((1, 8, 8))


def test_a_dataset_is_immutable():
    data = genus.data.load("digits")
    with pytest.raises(AttributeError):
        data.name = "other"
    assert isinstance(data.describe()["shape"], list)


def test_a_cache_that_cannot_be_written_costs_no_more_than_time(tmp_path, monkeypatch):
    calls = []

    def make():
        calls.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        assert cached_arrays("k", make, ("x",))["x"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    (cache_folder() / "decoded" / "k" / "x.npy").write_bytes(b"half")
    assert cached_arrays("k", make, ("x",))["x"].tolist() == [0, 1, 2]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached_arrays("k", make, ("x",))["x"].tolist() == [0, 1, 2]
    assert len(calls) == 3
