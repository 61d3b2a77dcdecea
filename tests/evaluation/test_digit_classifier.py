import hashlib

import pytest
import torch

import genus.data
from genus.data.dataset import Dataset
from genus.evaluation import digit_classifier
from genus.evaluation.digit_classifier import (
    SHA256,
    DigitClassifier,
    DigitNetwork,
    StackedDigits,
    embedded_weights,
    write_weights,
)
from genus.evaluation.feature_network import choose_features, features_for
from genus.evaluation.units import to_units


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return genus.data.load("mnist", view="pixels")


@pytest.fixture(scope="module")
def classifier() -> DigitClassifier:
    return DigitClassifier()


def right(classifier: DigitClassifier, x: torch.Tensor, truth: torch.Tensor) -> float:
    return float((classifier.probabilities(x).argmax(1) == truth).double().mean())


def test_the_accuracy_on_all_test_digits_is_the_one_it_ships_with(digits, classifier):
    x, truth = to_units(digits, digits.materialise("test")), digits.labels("test")
    found = right(classifier, x, truth)
    assert len(x) == 10_000
    assert found >= 0.993
    # a last bit may tip a digit on another processor
    assert classifier.accuracy == pytest.approx(found, abs=3e-4)
    # a new toss of the pixels: spread √(p(1 − p)/10,000) = 0.0008, 5 of them once in 10⁶ runs
    tossed = right(classifier, torch.bernoulli(x), truth)
    assert tossed == pytest.approx(classifier.accuracy_binarised, abs=4e-3)
    assert tossed >= 0.99


def test_mnist_is_seen_by_the_embedded_classifier(digits, classifier, tmp_path):
    chosen = choose_features(digits, folder=tmp_path)
    assert isinstance(chosen, DigitClassifier)
    assert not list(tmp_path.iterdir())
    x = to_units(digits, digits.materialise("test", 20))
    seen = chosen(x, block=7)
    assert seen.shape == (20, 128)
    torch.testing.assert_close(seen, classifier(x), rtol=1e-4, atol=1e-4)
    for part in ("digits", SHA256[:8], f"{classifier.accuracy:.2%}"):
        assert part in chosen.name
    with pytest.raises(ValueError, match=r"must have shape \(n, 1, 28, 28\)"):
        classifier(torch.rand(2, 3, 28, 28))


def test_loading_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    DigitClassifier()
    assert torch.equal(torch.rand(1), expected)


def test_the_file_is_small_and_checked(tmp_path, monkeypatch):
    assert embedded_weights().stat().st_size < 2_000_000
    changed = tmp_path / "changed.safetensors"
    content = bytearray(embedded_weights().read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    for path in (changed, tmp_path / "none.safetensors"):
        monkeypatch.setattr(digit_classifier, "embedded_weights", lambda path=path: path)
        with pytest.raises(ValueError, match=r"differs from its checksum.*reinstall"):
            DigitClassifier()


def test_what_is_written_is_read(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = DigitNetwork().eval()
    path = tmp_path / "weights.safetensors"
    checksum = write_weights(network, path, {"accuracy": 0.1, "binarised": 0.2})
    assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(digit_classifier, "embedded_weights", lambda: path)
    monkeypatch.setattr(digit_classifier, "SHA256", checksum)
    found = DigitClassifier()
    assert (found.accuracy, found.accuracy_binarised) == (0.1, 0.2)
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(found(x), network.body(x), rtol=1e-2, atol=1e-2)


def test_stacked_digits_are_read_channel_by_channel() -> None:
    # 0.995³ of 300 stacks are read right: below 95 % in one of 10⁷ draws
    stacked = genus.data.stacked_mnist()
    features = StackedDigits()
    x = to_units(stacked, stacked.materialise("test", 300))
    seen = features(x)
    single = DigitClassifier()(x[:, 1:2])
    torch.testing.assert_close(seen[:, 128:256], single, rtol=1e-4, atol=1e-4)
    p = features.probabilities_from(seen)
    torch.testing.assert_close(p.sum(1), torch.ones(300))
    right = p.argmax(1) == stacked.labels("test")[:300]
    assert right.float().mean() > 0.95
    assert isinstance(choose_features(stacked), StackedDigits)
    assert isinstance(features_for(stacked, "digits"), StackedDigits)
