from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from genus.data.dataset import Dataset, Part, Parts
from genus.data.stores import InMemory
from genus.evaluation import feature_network, inception
from genus.evaluation.blocks import unit_blocks
from genus.evaluation.digit_classifier import DigitClassifier
from genus.evaluation.feature_map import Classifies, Features, PrincipalAxes, RawFeatures
from genus.evaluation.feature_network import CHOICES, Classifier, choose_features, features_for
from genus.evaluation.given_network import GivenNetwork
from genus.evaluation.units import to_units
from genus.spaces import Categorical, Pixels


def pictures(*shape: int, n: int = 60, labelled: bool = False, name: str = "made up") -> Dataset:
    generator = torch.Generator().manual_seed(7)
    x = torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (n,), generator=generator) if labelled else None
    parts = [
        Part(InMemory(x[a:b]), None if labels is None else labels[a:b])
        for a, b in pairwise([0, n // 2, 2 * n // 3, n])
    ]
    names = tuple("0123456789") if labelled else ()
    return Dataset(name, "image", Pixels(shape, 256), Parts(*parts), class_names=names)


@pytest.fixture
def without_inception(monkeypatch):
    monkeypatch.setattr(inception, "is_installed", lambda: False)


@pytest.fixture
def network(tmp_path):
    """A saved TorchScript network from pictures of any size to 5 features."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout())
    path = tmp_path / "mine.pt"
    torch.jit.script(made).save(str(path))
    return path, made.eval()


class Sums(Classifies):
    """The sum of each picture, and the class by its sign."""

    name, kind, shape, num_classes, is_on_unit = "sums", "sums", (1, 2, None), 2, True

    def _features(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True).double()

    def _logits(self, features: Tensor) -> Tensor:
        return torch.cat([features, -features], 1)


def test_blocks_and_batches_give_what_one_call_gives():
    x, done = torch.rand(7, 1, 2, 3), []
    once = Sums()(x)
    torch.testing.assert_close(once[:, 0], x.sum((1, 2, 3)))
    assert once.dtype == torch.float32
    assert torch.equal(Sums()(x, block=2, progress=done.append), once)
    assert done == [2, 4, 6, 7]
    assert torch.equal(Sums().over(iter(x.split(3)), block=2, progress=done.append), once)
    assert done[4:] == [2, 3, 5, 6, 7]


def test_batches_are_held_one_at_a_time():
    held = 0

    def batches():
        nonlocal held
        for _ in range(3):
            held += 1
            yield torch.rand(4, 1, 2, 2)
            held -= 1

    assert len(Sums().over(batches(), progress=lambda _: None if held == 1 else 1 / 0)) == 12


def test_probabilities_follow_the_logits_and_serve_from_features():
    x = torch.rand(6, 1, 2, 2)
    expected = torch.sigmoid(2 * x.sum((1, 2, 3)))
    found = Sums().probabilities(x, block=4)
    torch.testing.assert_close(found[:, 0], expected)
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    assert torch.equal(Sums().probabilities_from(Sums()(x)), found)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(3, 2, 2, 3), r"shape \(n, 1, 2, any\) for sums features, got \(3, 2, 2, 3\)"),
        (torch.rand(3, 4), "must have shape"),
        (torch.ones(3, 1, 2, 2, dtype=torch.int64), "floating point, got torch.int64"),
        (torch.tensor([[[[0.1, torch.nan]] * 2]]), "NaN or infinite"),
        (torch.full((1, 1, 2, 2), -0.1), r"\[0, 1\].*from -0.1"),
        (torch.full((1, 1, 2, 2), 1.01), "to 1.01"),
        (torch.rand(0, 1, 2, 2), "of no data"),
    ],
)
def test_data_that_a_map_does_not_take_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Sums()(x)


def test_a_bad_block_and_no_batches_are_refused():
    with pytest.raises(ValueError, match="block must be at least 1"):
        Sums()(torch.rand(1, 1, 2, 2), block=0)
    with pytest.raises(ValueError, match="of no data"):
        Sums().over([])


def test_principal_axes_of_few_examples_are_those_of_the_covariance():
    x = torch.rand(20, 1, 6, 7, generator=torch.Generator().manual_seed(2))
    seen = PrincipalAxes(x, 5)(x).double()
    values = torch.linalg.eigvalsh(torch.cov(x.flatten(1).double().T)).flip(0)[:5]
    torch.testing.assert_close(seen.var(0), values, rtol=1e-5, atol=0)
    torch.testing.assert_close(torch.corrcoef(seen.T), torch.eye(5).double(), atol=1e-5, rtol=0)
    assert PrincipalAxes(x)(x).shape == (20, 19)  # 20 examples span 19 axes
    constant = torch.ones(20, 1, 6, 7)
    assert not bool(PrincipalAxes(constant)(constant).any())


def test_a_set_is_read_block_by_block(stripes: Dataset):
    for data in (stripes, stripes.dequantised().base):
        blocks = list(unit_blocks(data, "test", 333, block=100))
        assert [len(rows) for rows in blocks] == [100, 100, 100, 33]
        assert torch.equal(torch.cat(blocks), to_units(data, data.materialise("test", 333)))


def test_what_training_draws_anew_differs_from_block_to_block(stripes: Dataset):
    equal = torch.full((200, 1, 5, 6), 8, dtype=torch.uint8)
    binary = replace(stripes, parts=Parts(*(Part(InMemory(equal)),) * 3)).viewed("binary")
    first, second = unit_blocks(binary, "train", block=100)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    again = torch.cat(list(unit_blocks(binary, "train", block=100)))
    assert torch.equal(again, torch.cat([first, second]))


def test_auto_takes_inception_where_it_is_and_what_is_cheap_elsewhere(
    without_inception, monkeypatch, points: Dataset
):
    grey = pictures(1, 28, 28)
    assert isinstance(features_for(grey), DigitClassifier)
    assert isinstance(features_for(pictures(3, 9, 8)), PrincipalAxes)
    assert isinstance(features_for(points), RawFeatures)
    words = replace(points, stored_space=Categorical((4,), 5), parts=grey.parts)
    assert features_for(words) is None
    made = []
    monkeypatch.setattr(inception, "is_installed", lambda: True)
    monkeypatch.setattr(inception, "InceptionFeatures", lambda *given: made.append(given))
    features_for(grey, resizing="clean")
    features_for(pictures(3, 30, 28), device="meta")
    assert isinstance(features_for(pictures(3, 9, 8)), PrincipalAxes)
    assert made == [("clean", "cpu"), ("tf", "meta")]
    assert isinstance(features_for(pictures(2, 9, 8)), PrincipalAxes)
    assert isinstance(features_for(points), RawFeatures)
    assert isinstance(choose_features(grey), DigitClassifier)


def test_labelled_pictures_other_than_digits_get_their_own_classifier(monkeypatch):
    made = []
    monkeypatch.setattr(feature_network, "_train", lambda network, data: made.append(data) or 0.5)
    clothes = pictures(1, 28, 28, n=3000, labelled=True, name="clothes")
    found = choose_features(clothes)
    assert isinstance(found, Classifier)
    assert made == [clothes]
    assert isinstance(choose_features(replace(clothes, name="mnist")), DigitClassifier)
    assert isinstance(features_for(clothes, "digits"), DigitClassifier)
    assert isinstance(features_for(clothes, "classifier"), Classifier)
    x = to_units(clothes, clothes.materialise("test", 9))
    seen = found.probabilities(x, block=4)
    assert seen.shape == (9, 10)
    with torch.no_grad():
        torch.testing.assert_close(seen, found.network(x).softmax(1))


@pytest.mark.parametrize(
    ("choice", "shape", "message"),
    [
        ("best", (1, 28, 28), "a Path or one of auto, inception, digits, classifier, pixels"),
        ("digits", (3, 28, 28), "grey 28×28"),
        ("classifier", (1, 28, 28), "at least 1000 labels"),
    ],
)
def test_a_choice_that_does_not_suit_is_refused(choice, shape, message):
    with pytest.raises(ValueError, match=message):
        features_for(pictures(*shape), choice)


def test_what_has_no_unit_or_is_no_picture_has_no_network(points: Dataset, network):
    words = replace(points, stored_space=Categorical((4,), 5))
    for choice in (*CHOICES[1:], network[0]):
        with pytest.raises(ValueError, match="has no unit"):
            features_for(words, choice)
        if choice != "pixels":
            with pytest.raises(ValueError, match="of pictures"):
                features_for(points, choice)
    assert isinstance(features_for(points, "pixels"), RawFeatures)
    assert isinstance(features_for(pictures(1, 28, 28), "pixels"), PrincipalAxes)


def test_a_network_of_the_user_is_used_as_it_is(network):
    path, made = network
    data = pictures(1, 12, 9)
    found = features_for(data, path)
    assert isinstance(found, GivenNetwork)
    x = to_units(data, data.materialise("test"))
    with torch.no_grad():
        torch.testing.assert_close(found(x, block=3), made(x))
    assert found.name.startswith("5 features of mine.pt (sha256 ")
    with pytest.raises(ValueError, match="must have shape"):
        found(x[:, :, :5])


def test_a_network_that_does_not_fit_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match="cannot take pictures of shape"):
        features_for(pictures(3, 12, 9), network[0])
    flat = tmp_path / "map.pt"
    torch.jit.script(nn.Conv2d(1, 5, 3)).save(str(flat))
    with pytest.raises(ValueError, match=r"features of shape \(2, f\), got \(2, 5, 10, 7\)"):
        features_for(pictures(1, 12, 9), flat)
    broken = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    nn.init.constant_(broken[1].weight, torch.inf)
    torch.jit.script(broken).save(str(flat))
    with pytest.raises(ValueError, match="must give finite features"):
        features_for(pictures(1, 12, 9), flat)


def test_files_that_could_run_code_are_not_read(tmp_path):
    data = pictures(1, 12, 9)
    pickled = tmp_path / "pickled.pt"
    torch.save({"weight": torch.ones(2)}, pickled)
    with pytest.raises(ValueError, match=r"no TorchScript archive.*can run code"):
        features_for(data, pickled)
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(ValueError, match="no TorchScript archive"):
        features_for(data, tmp_path / "noise.pt")
    with pytest.raises(ValueError, match=r"torch.export can hold pickles"):
        features_for(data, tmp_path / "network.pt2")
    with pytest.raises(ValueError, match="cannot read the feature network"):
        features_for(data, tmp_path / "none.pt")


def test_a_map_is_abstract():
    with pytest.raises(TypeError):
        Features()  # type: ignore[abstract]
