import pytest
import torch

from genus.evaluation.classification import Learner, classification_accuracy


def points(n: int, seed: int, gap: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes around the corners of a triangle, of uneven shares."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n,), generator=generator).clamp_max(2)
    corners = gap * torch.tensor([[0.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    return corners[labels] + torch.randn(n, 2, generator=generator), labels


def stripes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of 1×8×8 whose class is the bright row, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=generator)
    x = 0.5 * torch.rand(n, 1, 8, 8, generator=generator)
    x[torch.arange(n), 0, 2 * labels + 1] += 0.5
    return x, labels


def test_samples_that_follow_the_data_teach_as_much_as_the_data() -> None:
    samples, test, real = points(900, 0), points(1000, 1), points(900, 2)
    found = classification_accuracy(*samples, *test, real=real[0], real_labels=real[1])
    assert found.real is not None
    assert found.samples.value > 0.97
    assert found.samples.value == pytest.approx(found.real.value, abs=0.02)
    assert found.samples.num_examples == 1000
    assert found.samples.interval is not None
    assert found.missing == ()


def test_wrong_conditions_teach_what_is_wrong() -> None:
    samples, labels = points(900, 0)
    test, truth = points(1000, 1)
    found = classification_accuracy(samples, (labels + 1) % 3, test, truth)
    assert found.samples.value < 0.05
    assert found.real is None


def test_a_class_that_is_never_drawn_costs_its_share_and_is_named() -> None:
    samples, labels = points(900, 0)
    test, truth = points(1000, 1)
    found = classification_accuracy(samples[labels != 2], labels[labels != 2], test, truth)
    assert found.missing == (2,)
    assert found.samples.value <= 1 - float((truth == 2).double().mean())
    only = classification_accuracy(samples[labels == 2], labels[labels == 2], test, truth)
    assert only.samples.value == pytest.approx(float((truth == 2).double().mean()))


def test_the_network_learns_images_and_leaves_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    found = classification_accuracy(*stripes(400, 0), *stripes(300, 1), classifier="network")
    assert found.samples.value > 0.95
    assert torch.equal(state, torch.random.get_rng_state())
    again = classification_accuracy(*stripes(400, 0), *stripes(300, 1), classifier="network")
    assert again == found


@pytest.mark.parametrize("classifier", ["linear", "network"])
def test_constant_samples_have_an_accuracy(classifier: Learner) -> None:
    x, labels = torch.ones(60, 1, 8, 8), torch.arange(3).repeat(20)
    found = classification_accuracy(x, labels, *stripes(90, 1), classifier=classifier)
    assert 0 <= found.samples.value <= 1


def test_what_does_not_fit_is_refused() -> None:
    x, labels = points(20, 0)
    with pytest.raises(ValueError, match="20 whole numbers"):
        classification_accuracy(x, labels[:9], x, labels)
    with pytest.raises(ValueError, match="whole numbers"):
        classification_accuracy(x, labels.float(), x, labels)
    with pytest.raises(ValueError, match="samples and test"):
        classification_accuracy(x[:, :1], labels, x, labels)
    with pytest.raises(ValueError, match="images of shape"):
        classification_accuracy(x, labels, x, labels, classifier="network")
    with pytest.raises(ValueError, match="belong together"):
        classification_accuracy(x, labels, x, labels, real=x)
    with pytest.raises(ValueError, match="NaN"):
        classification_accuracy(x * float("nan"), labels, x, labels)
