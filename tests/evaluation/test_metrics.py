"""Every metric through one door: samples beside real data, and real data in their place."""

import math
from dataclasses import replace

import pytest
import torch

import genus
from genus.data.dataset import Dataset
from genus.evaluation.bootstrap import bootstrap_mean
from genus.evaluation.evaluate import PARTS, Effort, chosen_parts, evaluate
from genus.evaluation.feature_network import features_for
from genus.evaluation.metrics import METRICS, QUICK, chosen_metrics
from genus.evaluation.reference import Reference, closest_pairs
from genus.evaluation.samples import sample_quality
from genus.models import GAN, VAE


@pytest.fixture(scope="module")
def digits() -> Reference:
    data = genus.data.load("mnist", view="pixels")
    features = features_for(data, "digits")
    assert features is not None
    return Reference(data, features, most=600)


@pytest.fixture(scope="module")
def stacks() -> Reference:
    data = genus.data.stacked_mnist()
    features = features_for(data, "digits")
    assert features is not None
    return Reference(data, features, most=400)


def test_all_metrics_of_real_data_are_at_their_floor_and_those_of_noise_are_not(
    digits: Reference,
) -> None:
    units, labels = digits.train.units[:600], digits.train.labels
    assert labels is not None
    real = sample_quality(digits.see(units, labels[:600]), digits)
    homes = {figure for name in real.seconds for figure in METRICS[name].figures}
    assert homes == set(real.figures) == set(real.floors)
    assert "parzen" not in real.figures
    assert set(real.skipped) == {"energy", "modes"}
    for name in ("fid", "kid", "precision", "vendi", "classification_accuracy"):
        assert real.figures[name].value == pytest.approx(real.floors[name].value), name
    assert real.figures["near_copies"].value == 1.0
    # the nearest 1 % of 300 held-out data; 5 % of 300 others are 7 deviations off
    assert real.floors["near_copies"].value < 0.05
    nearer = real.floors["nearer_train"]
    assert abs(nearer.value - 0.5) < 4 * (nearer.standard_error or 0)
    noise = torch.rand(600, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    bad = sample_quality(digits.see(noise, labels[:600]), digits)
    assert bad.figures["fid"].value > 20 * bad.floors["fid"].value
    assert bad.figures["precision"].value < 0.1
    assert bad.figures["two_sample_accuracy"].value > 0.9
    assert bad.figures["classification_accuracy"].value < 0.4
    assert bad.figures["near_copies"].value == 0.0
    assert bad.figures["class_total_variation"].value > 0.2
    for figures in (real.figures, real.floors, bad.figures):
        for name, figure in figures.items():
            assert figure.interval is not None, name
            low, high = figure.interval
            assert low - 1e-9 <= figure.value <= high + 1e-9, name


def test_metrics_are_named_by_themselves_or_by_their_figures() -> None:
    assert chosen_metrics(["recall", "kid"]) == ("kid", "manifold")
    assert set(QUICK) < set(chosen_metrics(None))
    with pytest.raises(ValueError, match="did you mean 'recall'"):
        chosen_metrics(["recal"])
    assert chosen_parts(["curve", "fid"]) == (("curve",), ("fid",))
    with pytest.raises(ValueError, match="did you mean 'likelihood'"):
        chosen_parts(["likelyhood"])


def test_too_few_samples_are_told_of(digits: Reference) -> None:
    few = digits.see(digits.train.units[:4])
    found = sample_quality(few, digits)
    assert "too few for k=5" in found.skipped["manifold"]
    assert "fid" in found.figures
    assert found.skipped["classification"] == "the samples have no labels"
    with pytest.raises(ValueError, match="too few for k=5"):
        sample_quality(few, digits, only=["precision"], strict=True)
    with pytest.raises(ValueError, match="samples have no labels"):
        sample_quality(few, digits, only=["classification"], strict=True)


def test_a_constant_set_gives_figures_and_never_nan(digits: Reference) -> None:
    same = digits.see(torch.full((50, 1, 28, 28), 0.5))
    found = sample_quality(same, digits)
    for name, figure in (found.figures | found.floors).items():
        assert math.isfinite(figure.value), name
        assert figure.standard_error is None or figure.standard_error >= 0, name
    assert found.figures["vendi"].value == pytest.approx(1.0, abs=1e-4)
    assert "duplicates" in found.figures["recall"].note


def test_parzen_is_asked_by_name_and_stands_beside_real_images(digits: Reference) -> None:
    found = sample_quality(digits.see(digits.train.units[:600]), digits, only=["parzen"])
    assert found.figures["parzen"].value == pytest.approx(found.floors["parzen"].value)
    assert "not Goodfellow's protocol" in found.figures["parzen"].note


def test_modes_of_stacked_digits(stacks: Reference) -> None:
    found = sample_quality(stacks.see(stacks.train.units), stacks, only=["modes"])
    labels = stacks.train.labels
    assert labels is not None
    # 400 stacks show about 330 of 1,000 modes; a few are read wrong
    assert abs(found.figures["modes"].value - len(labels.unique())) < 8
    assert "of 1000 modes; as one is missed" in found.figures["modes"].note
    assert "kl_truth_samples" not in found.figures
    one = stacks.see(stacks.train.units[:1].expand(99, -1, -1, -1))
    same = sample_quality(one, stacks, only=["modes"])
    assert same.figures["modes"].value == 1
    share = float((stacks.data.labels("train") == labels[0]).double().mean())  # type: ignore[union-attr]
    assert same.figures["kl"].value == pytest.approx(-torch.tensor(share).log().item(), rel=1e-4)


def test_closest_pairs_are_the_copies(digits: Reference) -> None:
    noise = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    noise[7] = digits.remembered[4321]
    samples, data = closest_pairs(noise, digits, 3)
    assert torch.equal(samples[0], data[0])
    assert torch.equal(data[0], digits.remembered[4321])


def test_a_conditional_model_is_judged_with_the_labels_it_drew_under(digits: Reference) -> None:
    data = digits.data.conditional()
    model = GAN(data.space, num_latent=2, hidden=(8,), condition=data.parts and data._label_space)
    twin = digits.for_view(data)
    effort = Effort(samples=256, speed_seconds=0.05, parts=(), metrics=("classification",))
    report = evaluate(model, data, effort=effort, reference=twin)
    assert report.quality is not None
    figure = report.quality.figures["classification_accuracy"]
    assert 0 <= figure.value < 0.5
    assert report.quality.floors["classification_accuracy"].value > figure.value + 0.2


def test_evaluate_asks_only_what_is_named(stripes: Dataset) -> None:
    torch.manual_seed(0)
    binary = stripes.viewed("binary")
    model = VAE(binary.space, num_latent=2, hidden=(8,))
    effort = replace(Effort(likelihood_examples=50, held_out_examples=3), parts=PARTS)
    told: list[str] = []
    report = evaluate(
        model, binary, effort=effort, only=["curve", "held_out", "neighbours"], say=told.append
    )
    assert told == list(report.seconds) == ["curve", "held_out", "neighbours"]
    assert report.curve is not None
    bounds = [figure.value for figure in report.curve.values()]
    assert list(report.curve) == [1, 10, 100]
    assert bounds == sorted(bounds)
    assert report.held_out is not None
    assert report.held_out.keys() == (report.held_out_floor or {}).keys()
    assert report.likelihood is report.quality is report.speed is None


def test_noise_in_the_plane_is_told_from_a_ring() -> None:
    """Both have mean zero: a linear classifier would see nothing."""
    data = genus.data.load("ring")
    features = features_for(data)
    assert features is not None
    ring = Reference(data, features, most=500)
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    found = sample_quality(ring.see(noise), ring, only=["two_sample"])
    assert found.figures["two_sample_accuracy"].value > 0.8
    assert abs(found.floors["two_sample_accuracy"].value - 0.5) < 0.12


def test_a_floor_of_fewer_data_says_so(digits: Reference) -> None:
    twin = Reference(digits.data, digits.features, most=300, num_floor=100)
    found = sample_quality(twin.see(digits.train.units[:200]), twin, only=["fid"])
    assert "floor of 100 data" in found.floors["fid"].note
    assert found.floors["fid"].num_examples == 100
    assert found.num_reference == 300


def test_what_is_never_seen_is_not_certain() -> None:
    """Of 500 rows none is a copy: up to 0.8 % of all may still be."""
    spread = bootstrap_mean([torch.zeros(500)])
    assert spread.interval is not None
    low, high = spread.interval
    assert low == 0
    assert high == pytest.approx(1.96**2 / (500 + 1.96**2))
    assert bootstrap_mean([torch.ones(500)]).interval == pytest.approx((1 - high, 1.0))
