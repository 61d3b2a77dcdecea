import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genus.data.dataset import Dataset, Part
from genus.data.stores import InMemory
from genus.evaluation import feature_network
from genus.evaluation.completion import (
    complete_under_masks,
    completion_error,
    completion_floor,
    masks,
)
from genus.evaluation.evaluate import Effort, evaluate
from genus.evaluation.feature_network import (
    Classifier,
    PrincipalAxes,
    RawFeatures,
    choose_features,
)
from genus.evaluation.features import probe_accuracy, probe_floor
from genus.evaluation.metrics import QUICK
from genus.evaluation.reconstruction import reconstruction_error, reconstruction_floor
from genus.evaluation.reference import Reference, nearest_real
from genus.evaluation.samplers import full_sampler_of, sampler_of
from genus.evaluation.samples import Quality, sample_quality
from genus.evaluation.speed import (
    network_evaluations,
    num_parameters,
    sampling_speed,
)
from genus.evaluation.units import samples_to_units, to_units
from genus.models import GAN, MADE, PPCA, RBM, VAE, BoltzmannMachine, Diffusion
from genus.spaces import Binary, Real


def fitted(data: Dataset, components: int) -> PPCA:
    torch.manual_seed(0)
    space = data.space
    assert isinstance(space, Real)
    return PPCA(space, components).fit(data.train)


def test_levels_and_dequantised_levels_come_to_the_same_unit(stripes: Dataset) -> None:
    x = stripes.materialise("test", 50)
    expected = x.float() / 15
    torch.testing.assert_close(to_units(stripes, x), expected)
    noisy = stripes.dequantised()
    y = noisy.materialise("test", 50)
    assert float((to_units(noisy, y) - expected).abs().max()) <= 0.5 / 15 + 1e-6
    torch.testing.assert_close(samples_to_units(noisy, y), expected)


def test_masks_are_as_documented() -> None:
    found = masks((3, 5, 7), 40)
    assert list(found) == ["left half", "random half", "centre box"]
    left = torch.zeros(5, 7, dtype=torch.bool)
    left[:, :3] = True
    assert bool((found["left half"] == left).all())
    box = torch.ones(5, 7, dtype=torch.bool)
    box[1:3, 1:4] = False
    assert bool((found["centre box"] == box).all())
    random = found["random half"]
    assert torch.equal(random[:, 0], random[:, 2])
    assert not torch.equal(random[0], random[1])
    # 1,400 fair coins: outside 0.4 … 0.6 less than once in 10¹²
    assert 0.4 < float(random[:, 0].float().mean()) < 0.6
    assert torch.equal(masks((3, 5, 7), 10)["random half"], random[:10])
    assert list(masks((4,), 5)) == ["random half"]


def test_reconstruction_of_ppca_is_the_ridge_projection(points: Dataset) -> None:
    model = fitted(points, 2).double()
    x = points.materialise("test").double()
    loadings, identity = model.loadings, torch.eye(2)
    gram = loadings.T @ loadings + model.variance * identity
    seen = (x - model.mean) @ loadings @ torch.linalg.inv(gram) @ loadings.T + model.mean
    expected = (seen - x).square().mean().detach()
    found = reconstruction_error(model, points, batch_size=64)
    assert found is not None
    assert found.value == pytest.approx(float(expected), rel=1e-4)
    floor = reconstruction_floor(points)
    assert floor is not None
    mean = points.materialise("train").mean(0)
    assert floor.value == pytest.approx(float((x - mean).square().mean()), rel=1e-4)


def test_completion_of_a_gaussian_has_the_error_of_its_conditional(points: Dataset) -> None:
    model = fitted(points, 3).double()
    x, n = points.materialise("test").double(), 600
    observed = masks((4,), n)["random half"]
    covariance = model.loadings @ model.loadings.T + model.variance * torch.eye(4)
    expected = []
    for row, seen in zip(x, observed, strict=True):
        if bool(seen.all()):
            continue
        gap = (row - model.mean)[~seen]
        inner = covariance[~seen][:, ~seen]
        if bool(seen.any()):
            gain = covariance[~seen][:, seen] @ torch.linalg.inv(covariance[seen][:, seen])
            gap = gap - gain @ (row - model.mean)[seen]
            inner = inner - gain @ covariance[seen][:, ~seen]
        # a draw errs by its mean's error and its own variance
        expected.append(float((gap.square() + inner.diagonal()).mean().detach()))
    runs = [complete_under_masks(model, points, n=n, seed=seed) for seed in range(8)]
    values = torch.tensor(
        [completion_error(run)["random half"].value for run in runs if run is not None]
    )
    # eight runs: the mean strays by 5 standard errors less than once in 300
    wanted = sum(expected) / len(expected)
    assert abs(float(values.mean()) - wanted) < 5 * float(values.std()) / 8**0.5
    floor = completion_floor(points, n=n)
    assert floor is not None
    assert floor["random half"].value > wanted / 2


def test_completion_stops_in_time_with_as_many_examples_for_every_mask(stripes: Dataset) -> None:
    data = stripes.dequantised()
    found = complete_under_masks(fitted(data, 3), data, n=50, batch_size=8, seconds=0.0)
    assert found is not None
    assert [len(c.drawn) for c in found.values()] == [8, 8, 8]
    for completed in found.values():
        seen = completed.observed
        torch.testing.assert_close(completed.drawn[seen], completed.original[seen])


def test_the_probe_finds_what_the_codes_know(points: Dataset) -> None:
    model = fitted(points, 2)
    found, floor = probe_accuracy(model, points), probe_floor(points)
    assert found is not None
    assert floor is not None
    assert found.value > 0.9
    assert floor.value > 0.95
    with torch.no_grad():
        model.loadings.copy_(torch.tensor([[0.0, 0], [0, 0], [0, 0], [1.0, 1e-6]]))
    blind = probe_accuracy(model, points)
    assert blind is not None
    assert blind.value < 0.8


def test_what_cannot_be_asked_is_none(points: Dataset) -> None:
    gan = GAN(Real((4,)), num_latent=2)
    assert reconstruction_error(gan, points) is None
    assert complete_under_masks(gan, points) is None
    assert probe_accuracy(gan, points) is None
    assert full_sampler_of(gan, points) is None


def test_features_suit_the_data(stripes: Dataset, points: Dataset) -> None:
    assert isinstance(choose_features(points), RawFeatures)
    assert isinstance(choose_features(stripes), PrincipalAxes)  # 900 examples are too few


def test_raw_features_are_standardised_by_the_training_data(points: Dataset) -> None:
    train = points.materialise("train")
    seen = RawFeatures(train)(train)
    torch.testing.assert_close(seen.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(4))


def test_principal_axes_keep_what_varies_most(stripes: Dataset) -> None:
    x = to_units(stripes, stripes.materialise("train"))
    seen = PrincipalAxes(x, 2)(x)
    values = torch.linalg.eigvalsh(torch.cov(x.flatten(1).double().T))
    torch.testing.assert_close(seen.var(0).double(), values.flip(0)[:2], rtol=1e-3, atol=0)


@pytest.mark.slow
def test_a_classifier_is_trained_once_and_found_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from genus import data

    digits = data.load("digits", view="pixels")
    first = choose_features(digits, folder=tmp_path)
    again = choose_features(digits, folder=tmp_path)
    assert isinstance(first, Classifier)
    assert isinstance(again, Classifier)
    assert first.accuracy is not None
    assert first.accuracy > 0.9
    assert again.accuracy == first.accuracy
    x = to_units(digits, digits.materialise("test", 20))
    assert torch.equal(first(x), again(x))
    torch.testing.assert_close(first(x, block=3), first(x, block=50), rtol=1e-4, atol=1e-4)


def judged(samples: Tensor, reference: Reference) -> Quality:
    return sample_quality(reference.see(reference.units(samples)), reference, only=QUICK)


def test_samples_from_the_data_score_the_floor_and_others_do_not(stripes: Dataset) -> None:
    features = choose_features(stripes)
    assert features is not None
    reference = Reference(stripes, features)
    good = judged(stripes.materialise("train"), reference)
    for name in ("fid", "precision"):
        assert good.figures[name].value == pytest.approx(good.floors[name].value)
    torch.manual_seed(0)
    bad = judged(stripes.space.random(400), reference)
    assert bad.figures["fid"].value > 3 * bad.floors["fid"].value
    assert "energy_distance" not in bad.figures
    x = stripes.materialise("train", 5)
    real, distance = nearest_real(x, reference)
    torch.testing.assert_close(real, to_units(stripes, x))
    assert float(distance.max()) < 1e-3


def test_grey_draws_are_tossed_where_the_real_data_are_black_and_white(stripes: Dataset) -> None:
    binary = stripes.viewed("binary")
    features = choose_features(stripes)
    assert features is not None
    reference = Reference(binary, features).for_view(stripes)
    grey = stripes.materialise("train")
    seen = reference.units(grey)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seen, reference.units(grey))
    # 900 tosses of each pixel about its level: a pixel strays by 5 deviations once in 10⁵ runs
    strays = (seen.mean(0) - to_units(stripes, grey).mean(0)).abs() * 2 * 900**0.5
    assert float(strays.max()) < 5
    quality = judged(grey, reference)
    assert quality.figures["fid"].value < 2 * quality.floors["fid"].value
    with pytest.raises(ValueError, match="cannot be judged"):
        Reference(stripes, features).for_view(binary)


def test_points_are_judged_in_their_own_unit(points: Dataset) -> None:
    features = choose_features(points)
    assert features is not None
    quality = judged(fitted(points, 3).sample(500, seed=0), Reference(points, features))
    found, floor = (part["energy_distance"].value for part in (quality.figures, quality.floors))
    assert abs(found - floor) < 0.2


def test_network_evaluations_by_type() -> None:
    data = None
    assert sampler_of(PPCA(Real((4,)), 2), data).evaluations == 1  # type: ignore[arg-type]
    assert sampler_of(GAN(Real((4,)), num_latent=2), data).evaluations == 1  # type: ignore[arg-type]
    assert sampler_of(MADE(Binary((6,))), data).evaluations == 6  # type: ignore[arg-type]
    assert sampler_of(RBM(Binary((6,)), 3, num_steps=17), data).evaluations == 17  # type: ignore[arg-type]
    machine = BoltzmannMachine(Binary((6,)), num_steps=13)
    assert sampler_of(machine, data).evaluations == 13  # type: ignore[arg-type]


def test_a_diffusion_is_timed_short_and_through_all_steps() -> None:
    model = Diffusion(Real((3,)), num_steps=40, channels=(8,), sampler="ddpm")
    short = sampler_of(model, None, most_steps=10)  # type: ignore[arg-type]
    full = full_sampler_of(model, None)  # type: ignore[arg-type]
    assert full is not None
    assert (short.evaluations, full.evaluations) == (10, 40)
    for sampler in (full, short):
        assert network_evaluations(model, lambda s=sampler: s.draw(2, 0)) == sampler.evaluations  # type: ignore[misc]
    assert (model.sampler, model.sampling_steps) == ("ddpm", None)


def test_speed_counts_draws_over_time() -> None:
    import time

    model = PPCA(Real((4,)), 2)
    speed = sampling_speed(
        model, batch_size=8, seconds=0.2, draw=lambda n, _: time.sleep(0.002 * n)
    )
    assert 300 < speed.samples_per_second <= 500
    assert speed.batch_size == 8
    assert num_parameters(model) == 4 * 2 + 4 + 1


def test_evaluate_asks_all_that_a_type_can_answer(stripes: Dataset) -> None:
    effort = Effort(200, 2, 5.0, 128, 1.0, 10, 1.0, 0.05)
    data = stripes.dequantised()
    report = evaluate(fitted(data, 3), data, effort=effort)
    assert report.density == "exact"
    assert report.samples is not None
    assert len(report.samples) == 128
    for part in (
        report.likelihood,
        report.quality,
        report.reconstruction,
        report.completion,
        report.probe,
        report.speed,
    ):
        assert part is not None
    hurried = evaluate(fitted(data, 3), data, effort=replace(effort, samples=512, sample_seconds=0))
    assert hurried.samples is not None
    assert len(hurried.samples) == 128
    vae = evaluate(VAE(stripes.space, 2, hidden=(8,)), stripes, effort=effort)
    assert vae.density == "lower bound"
    assert vae.likelihood is not None
    assert vae.likelihood.effort == 2


def test_an_edited_data_set_trains_its_classifier_anew(stripes: Dataset, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    trained = []

    def train(network: torch.nn.Module, data: Dataset) -> float:
        trained.append(data)
        return 0.5

    monkeypatch.setattr(feature_network, "_train", train)
    monkeypatch.setattr(feature_network, "FEWEST_EXAMPLES", 10)

    def count(data: Dataset) -> int:
        assert isinstance(choose_features(data, folder=tmp_path), Classifier)
        return len(trained)

    store, labels = stripes.parts.train.store, stripes.parts.train.labels
    assert labels is not None
    assert count(stripes) == 1
    assert count(stripes) == 1
    x = store.read(torch.arange(store.num_examples)).clone()
    x[17, 0, 2, 3] += 1
    edited = stripes.parts._replace(train=Part(InMemory(x), labels))
    assert count(replace(stripes, parts=edited)) == 2
    other = labels.clone()
    other[-1] = (other[-1] + 1) % 3
    relabelled = stripes.parts._replace(train=Part(store, other))
    assert count(replace(stripes, parts=relabelled)) == 3


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account")
def test_peak_memory_leaves_out_what_was_held_before() -> None:
    # In a process of its own: memory that earlier tests gave back and the process kept would be
    # used again, which the peak leaves out by design.
    code = """
import torch
from genus.evaluation.speed import forget_peak_memory, peak_memory
held = torch.ones(60_000_000)  # 240 MB
forget_peak_memory()
del held
little = peak_memory()
used = torch.ones(25_000_000)  # 100 MB
forget_peak_memory()
more = torch.ones(25_000_000)
del more
print(little, peak_memory())
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    little, grown = map(int, said.split())
    assert little < 30e6
    assert 90e6 < grown < 150e6
