"""The scikit-learn adapters keep scikit-learn's contract and agree with its own estimators."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from genus.models import registry
from genus.sklearn import GenusDensity, GenusTransformer


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    return generator.normal(size=(300, 7)) @ generator.normal(size=(7, 7)) + 3.0


MACHINE = GenusTransformer("RBM", settings={"num_hidden": 4}, epochs=1)


@parametrize_with_checks([GenusTransformer(), GenusDensity(), MACHINE])
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)


def test_density_equals_that_of_pca(rows):
    ours = GenusDensity("PPCA", settings={"num_components": 3}).fit(rows[:200])
    theirs = PCA(3).fit(rows[:200])
    # scikit-learn divides the covariance by n - 1, maximum likelihood by n
    expected = PCA(3).fit(rows[:200])
    shrink = 199 / 200
    expected.explained_variance_ = theirs.explained_variance_ * shrink
    expected.noise_variance_ = theirs.noise_variance_ * shrink
    assert np.allclose(
        ours.score_samples(rows[200:]), expected.score_samples(rows[200:]), atol=1e-6
    )
    assert ours.score(rows[200:]) == pytest.approx(ours.score_samples(rows[200:]).mean())


def test_transform_spans_the_same_plane_and_inverts(rows):
    ours = GenusTransformer("PPCA", settings={"num_components": 3}).fit(rows)
    codes = ours.transform(rows)
    theirs = PCA(3).fit_transform(rows)
    # canonical correlations of the two codes are all 1
    q1, q2 = (np.linalg.qr(z - z.mean(0))[0] for z in (codes, theirs))
    assert np.allclose(np.linalg.svd(q1.T @ q2)[1], 1, atol=1e-6)
    back = ours.inverse_transform(codes)
    assert back.shape == rows.shape
    assert np.corrcoef(back.ravel(), rows.ravel())[0, 1] > 0.9
    assert list(ours.get_feature_names_out()) == [f"genustransformer{i}" for i in range(3)]


def test_works_in_a_pipeline_and_a_grid():
    x, y = load_digits(return_X_y=True)
    x, y = x[:600], y[:600]
    pipeline = make_pipeline(
        GenusTransformer("PPCA", settings={"num_components": 12}),
        LogisticRegression(max_iter=500),
    )
    assert pipeline.fit(x[:400], y[:400]).score(x[400:], y[400:]) > 0.8
    grid = GridSearchCV(
        pipeline, {"genustransformer__settings": [{"num_components": q} for q in (2, 12)]}, cv=2
    )
    assert grid.fit(x, y).best_params_["genustransformer__settings"] == {"num_components": 12}


def test_clone_and_pickle_give_the_same_estimator(rows):
    first = GenusDensity("PPCA", settings={"num_components": 2}, seed=3)
    second = clone(first)
    assert first.get_params() == second.get_params()
    scores = first.fit(rows).score_samples(rows)
    assert np.array_equal(second.fit(rows).score_samples(rows), scores)
    assert np.array_equal(pickle.loads(pickle.dumps(first)).score_samples(rows), scores)
    assert np.array_equal(first.sample(4), second.sample(4))


def test_other_models_and_binary_rows(rows):
    bits = (rows > rows.mean()).astype(float)
    rbm = GenusTransformer("RBM", space="binary", settings={"num_hidden": 5}, epochs=1).fit(bits)
    codes = rbm.transform(bits)
    assert codes.shape == (300, 5)
    assert (codes >= 0).all()
    assert (codes <= 1).all()
    made = GenusDensity("MADE", space="binary", settings={"hidden": (9,)}, epochs=1).fit(bits)
    scores = made.score_samples(bits)
    assert (scores < 0).all()
    torch.rand(3)
    assert np.array_equal(clone(made).fit(bits).score_samples(bits), scores)
    assert not np.array_equal(made.set_params(seed=1).fit(bits).score_samples(bits), scores)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (GenusTransformer("GAN", epochs=1), "does not encode"),
        (GenusDensity("GAN", epochs=1), "no density"),
        (GenusDensity("Oracle"), "no model is called"),
        (GenusDensity(space="complex"), "'real' or 'binary'"),
        (GenusDensity(settings={"num_componets": 2}), "settings do not suit PPCA"),
        (GenusDensity("RBM", space="binary", epochs=1), "0 or 1"),
    ],
)
def test_errors_say_what_to_do(estimator, said, rows):
    with pytest.raises(ValueError, match=said):
        estimator.fit(rows)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_model_is_of_the_kind_of_its_rows(rows, kind):
    fitted = GenusTransformer("PPCA", settings={"num_components": 2}).fit(rows.astype(kind))
    codes = fitted.transform(rows.astype(kind))
    assert codes.dtype == kind
    assert fitted.transform(rows).dtype == kind
    assert fitted.inverse_transform(codes).shape == rows.shape


def test_a_machine_begins_at_the_base_rates():
    x = (np.random.default_rng(0).random((200, 6)) < [0.1, 0.2, 0.5, 0.6, 0.8, 0.9]).astype(float)
    fitted = GenusTransformer("RBM", space="binary", settings={"num_hidden": 2}, epochs=1).fit(x)
    rates = x.mean(0)
    assert np.allclose(fitted.model_.base_bias.numpy(), np.log(rates / (1 - rates)))


@pytest.mark.parametrize("name", ["RBM", "DeepBeliefNetwork"])
def test_a_machine_of_reals_begins_at_their_means_and_deviations(name, rows, monkeypatch):
    small = {"num_hidden": 2} if name == "RBM" else {"hidden": (3, 2)}
    x = np.column_stack([rows, np.full(len(rows), 4.0)])
    cls, seen = registry.find(name), []
    begin = cls.set_visible_bias

    def noted(self, *given):
        seen.append(given)
        begin(self, *given)

    monkeypatch.setattr(cls, "set_visible_bias", noted)
    GenusTransformer(name, settings=small, epochs=1).fit(x)
    mean, wide = (given.numpy() for given in seen[0])
    deviation = x.std(0, ddof=1)
    deviation[-1] = 0.05 * deviation.max()
    assert np.allclose(mean, x.mean(0))
    assert np.allclose(wide, deviation**2 if name == "RBM" else deviation)


@pytest.mark.slow
def test_features_of_a_machine_beat_raw_pixels_with_1000_labels():
    """Digits, 5,000 without labels; seen: 0.84 against 0.80 on 2,000 test images, s.e. 0.01."""
    from genus import data

    digits = data.load("mnist", view="static")
    x = digits.materialise("train", 5000).flatten(1).float().numpy()
    test = digits.materialise("test", 2000).flatten(1).float().numpy()
    labels, truth = (part.labels.numpy() for part in (digits.parts.train, digits.parts.test))
    machine = GenusTransformer("RBM", space="binary", settings={"num_hidden": 300}, epochs=5)
    features = FrozenEstimator(machine.fit(x))
    scores = [
        make_pipeline(*steps, LogisticRegression(C=c, max_iter=300))
        .fit(x[:1000], labels[:1000])
        .score(test, truth[:2000])
        for steps, c in (((features,), 1.0), ((), 0.1), ((), 1.0))
    ]
    assert scores[0] > max(scores[1:]) + 0.02
