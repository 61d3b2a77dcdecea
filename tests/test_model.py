"""The public face of a model: checks, seeds, conditions, config, fit, save and load."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import genus
from genus import Binary, Budget, Categorical, Real
from genus.engine import Descend, Optimiser, Tensors
from genus.model import Estimate, Estimated, Exact, Latent, LowerBound, Model
from genus.models import PPCA
from genus.models.registry import CLASSES, find, load


class Coins(Exact):
    """Independent bits, whose odds depend on a label."""

    def __init__(self, space: Binary, num_classes: int = 3, sizes: tuple[int, ...] = (4, 2)):
        super().__init__()
        self.space, self.condition = space, Categorical((), num_classes)
        self.sizes = sizes
        self.odds = nn.Parameter(torch.linspace(-2, 2, num_classes * space.num_dimensions))
        self.dropout = nn.Dropout(0.9)

    def _odds(self, condition):
        return self.dropout(self.odds).reshape(-1, self.space.num_dimensions)[condition]

    def _sample(self, n, condition):
        return torch.bernoulli(self._odds(condition).sigmoid()).reshape(n, *self.space.shape)

    def _log_prob(self, x, condition):
        odds, x = self._odds(condition), x.flatten(1)
        return (x * odds - nn.functional.softplus(odds)).sum(1)

    def algorithm(self):
        return Descend(
            lambda model, batch: {"loss": -model._log_prob(batch.x, batch.condition).mean()},
            Optimiser(learning_rate=0.1),
            batch_size=20,
        )


def coins():
    return Coins(Binary((3, 2)))


def test_log_prob_is_evaluated_without_dropout_and_mode_comes_back():
    model = coins().train()
    x, y = model.space.random(5), torch.tensor([0, 1, 2, 0, 1])
    odds = model.odds.reshape(3, 6)[y]
    expected = torch.distributions.Bernoulli(logits=odds).log_prob(x.flatten(1)).sum(1)
    assert torch.allclose(model.log_prob(x, condition=y), expected, atol=1e-6)
    assert model.training
    assert not model.eval().log_prob(x, condition=y).isnan().any()
    assert not model.training


def test_one_condition_stands_for_all():
    model = coins()
    x = model.space.random(4)
    one = model.log_prob(x, condition=2)
    assert torch.equal(one, model.log_prob(x, condition=torch.full((4,), 2)))
    assert torch.equal(one, model.log_prob(x.numpy(), condition=np.full(4, 2)))
    assert model.sample(3, condition=1).shape == (3, 3, 2)


@pytest.mark.parametrize("condition", [None, 3, -1, [0, 1], 0.5, float("nan")])
def test_wrong_conditions(condition):
    model = coins()
    with pytest.raises(ValueError, match=r"condition"):
        model.sample(3, condition=condition)
    with pytest.raises(ValueError, match=r"condition"):
        model.log_prob(model.space.random(3), condition=condition)


def test_a_condition_of_the_wrong_rank_is_a_value_error():
    class Vectors(Coins):
        def __init__(self, space: Binary):
            super().__init__(space)
            self.condition = Real((2,))

    with pytest.raises(ValueError, match="condition"):
        Vectors(Binary((2,))).sample(3, condition=0.5)


def test_an_unconditional_model_refuses_a_condition():
    model = PPCA(Real((4,)), 2)
    with pytest.raises(ValueError, match="not conditional"):
        model.sample(2, condition=0)


@pytest.mark.parametrize("n", [0, -3, 1.0, True, None])
def test_n_must_be_a_positive_integer(n):
    with pytest.raises(ValueError, match="positive integer"):
        coins().sample(n, condition=0)


def test_config_keeps_positional_keyword_and_default_arguments():
    assert PPCA(Real((4,)), 2).config == {
        "space": Real((4,)),
        "num_components": 2,
        "method": "closed form",
    }
    model = Coins(Binary((2,)), sizes=(7,))
    assert model.config == {"space": Binary((2,)), "num_classes": 3, "sizes": (7,)}


def test_save_and_load(tmp_path):
    model = Coins(Binary((3, 2)), sizes=(5, 6))
    model.odds.data.normal_()
    model.save(tmp_path / "deep" / "folder", recipe={"name": "coins"})
    again = load(tmp_path / "deep" / "folder", cls=Coins)
    assert torch.equal(again.odds, model.odds)
    assert again.config == model.config
    assert not again.training
    described = json.loads((tmp_path / "deep" / "folder" / "config.json").read_text())
    assert described["recipe"] == {"name": "coins"}
    assert described["class"] == "Coins"
    with pytest.raises(ValueError, match="no model is called 'Coins'"):
        load(tmp_path / "deep" / "folder")
    with pytest.raises(ValueError, match="holds a Coins, not a PPCA"):
        load(tmp_path / "deep" / "folder", cls=PPCA)


def test_genus_load_finds_the_class(tmp_path):
    model = PPCA(Real((4,)), 2)
    model.save(tmp_path)
    assert isinstance(genus.load(tmp_path), PPCA)
    assert genus.models.PPCA is PPCA
    assert find("PPCA") is PPCA
    for name in CLASSES:
        assert issubclass(find(name), Model)


@pytest.mark.parametrize(
    "damage", ["truncated", "weights", "config", "swapped", "no config", "json", "shape"]
)
def test_damaged_models_are_value_errors(damage, tmp_path):
    PPCA(Real((4,)), 2).save(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    described = json.loads(config.read_text())
    match damage:
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-7])
        case "weights":
            tensors = load_file(weights)
            tensors["mean"] += 1
            save_file(tensors, weights)
        case "config":
            described["config"]["num_components"] = 3
            config.write_text(json.dumps(described))
        case "swapped":
            PPCA(Real((5,)), 2).save(tmp_path / "other")
            (tmp_path / "other" / "model.safetensors").replace(weights)
        case "no config":
            config.unlink()
        case "json":
            config.write_text(config.read_text()[:-9])
        case "shape":
            described["class"] = "RBM"
            config.write_text(json.dumps(described))
    with pytest.raises(ValueError, match=str(tmp_path)):
        load(tmp_path)


def test_fit_takes_arrays_labels_and_sources():
    model = coins()
    y = torch.arange(300) % 3
    x = torch.bernoulli((y.float() / 3 + 0.1).reshape(-1, 1, 1).expand(300, 3, 2))
    model.dropout.p = 0.0
    before = torch.get_rng_state()
    assert model.fit(x.numpy(), condition=y.numpy(), epochs=40, device="cpu") is model
    assert torch.equal(before, torch.get_rng_state())
    assert not model.training
    rates = model.odds.detach().reshape(3, 6).sigmoid().mean(1)
    expected = torch.stack([x[y == k].mean() for k in range(3)])
    assert torch.allclose(rates, expected, atol=0.05)
    source = Tensors(x, model.space, condition=y, condition_space=model.condition)
    again = coins()
    again.dropout.p = 0.0
    again.fit(source, epochs=40, device="cpu")
    assert torch.equal(again.odds, model.odds)


def test_fit_refuses_what_does_not_fit():
    model, x = coins(), torch.zeros(20, 3, 2)
    with pytest.raises(ValueError, match=r"condition=\.\.\."):
        model.fit(x)
    with pytest.raises(ValueError, match="20 examples but 3"):
        model.fit(x, condition=torch.zeros(3).long())
    with pytest.raises(ValueError, match="data is not in"):
        model.fit(x + 0.5, condition=torch.zeros(20).long())
    with pytest.raises(ValueError, match="not both"):
        model.fit(x, condition=torch.zeros(20).long(), epochs=1, budget=Budget(steps=2))
    with pytest.raises(ValueError, match="the data lie in"):
        model.fit(Tensors(torch.zeros(4, 2), Real((2,))))
    with pytest.raises(ValueError, match="carry"):
        model.fit(Tensors(x, Binary((3, 2))))
    with pytest.raises(ValueError, match="positive"):
        model.fit(x, condition=torch.zeros(20).long(), epochs=0)


class Loose(LowerBound, Latent):
    """A bound that tells what effort it was given."""

    effort = 7

    def __init__(self, space: Real):
        super().__init__()
        self.space, self.weight = space, nn.Parameter(torch.zeros(1))

    def _lower_bound(self, x, condition, effort):
        return self.weight * 0 - 1.0 / effort + 0 * torch.randn(len(x))

    def _sample(self, n, condition):
        return torch.randn(n, *self.space.shape)

    def _prior(self, n):
        return torch.randn(n, 2)

    def _decode(self, z, condition):
        return z

    def algorithm(self):
        raise AssertionError


class Guess(Estimate):
    """An estimate that tells what effort it was given."""

    def __init__(self, space: Real):
        super().__init__()
        self.space, self.weight = space, nn.Parameter(torch.zeros(1))

    def _estimate(self, x, condition, effort):
        return Estimated(torch.full((len(x),), float(effort)), torch.ones(len(x)))

    def _sample(self, n, condition):
        return torch.randn(n, *self.space.shape)

    def algorithm(self):
        raise AssertionError


def test_effort_reaches_bounds_and_estimates():
    bound, guess = Loose(Real((2,))), Guess(Real((2,)))
    x = torch.zeros(3, 2)
    assert bound.log_prob(x).tolist() == pytest.approx([-1 / 7] * 3)
    assert bound.lower_bound(x).tolist() == pytest.approx([-1 / 7] * 3)
    assert bound.lower_bound(x, effort=2).tolist() == pytest.approx([-1 / 2] * 3)
    assert guess.log_prob(x).tolist() == [100.0] * 3
    assert guess.estimate(x, effort=5).value.tolist() == [5.0] * 3
    for effort in (0, -1, 2.5):
        with pytest.raises(ValueError, match="positive integer"):
            bound.lower_bound(x, effort=effort)
        with pytest.raises(ValueError, match="positive integer"):
            guess.estimate(x, effort=effort)
    with pytest.raises(ValueError, match="n must"):
        bound.prior(0)


def test_what_a_model_cannot_answer_it_does_not_have():
    bound = Loose(Real((2,)))
    assert not hasattr(bound, "encode")
    assert not hasattr(bound, "complete")
    assert not hasattr(bound, "free_energy")
    with pytest.raises(TypeError, match="abstract"):
        Exact()


def test_complete_checks_its_mask():
    model = PPCA(Real((4,)), 2)
    x = torch.randn(3, 4)
    filled = model.complete(x, torch.tensor([True, False, True, True]), seed=1)
    assert torch.equal(filled[:, [0, 2, 3]], x[:, [0, 2, 3]])
    with pytest.raises(ValueError, match="must be boolean"):
        model.complete(x, torch.ones(3, 4))
    with pytest.raises(ValueError, match="must fit"):
        model.complete(x, torch.ones(3, 5).bool())


def test_example_tells_device_and_dtype():
    model = PPCA(Real((4,)), 2).double()
    assert model.example.dtype == torch.float64
    assert model.log_prob(torch.randn(2, 4)).dtype == torch.float64
    assert math.isfinite(float(model.log_prob(np.zeros((1, 4))).detach()))


def test_fit_refuses_a_condition_that_it_would_not_use():
    model = genus.models.PPCA(genus.Real((3,)), 1)
    with pytest.raises(ValueError, match="not conditional"):
        model.fit(torch.randn(9, 3), condition=torch.zeros(9, dtype=torch.int64))


def test_counts_may_be_any_integer():
    model = genus.models.PPCA(genus.Real((3,)), 1)
    assert model.sample(np.int64(2)).shape == (2, 3)
