"""Error rates and annealed bounds as they come out of an evaluation."""

from dataclasses import replace

import pytest
import torch
from conftest import dataset

from genus.data.steps import Floats
from genus.evaluation import error_rate, error_rate_floor, evaluate
from genus.evaluation.likelihood import likelihood
from genus.models import DeepBeliefNetwork
from genus.models.boltzmann.kept import Kept
from genus.recipes.results import baselines_of, metrics_of
from genus.spaces import Binary, Categorical, Pixels
from genus.testing import stiffen


@pytest.fixture
def votes():
    """Rows of 20 bits whose label is which half is fuller; two of three are of label 1."""
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(400, generator=generator) < 0.67).long()
    rate = torch.where(torch.arange(20) < 10, 0.8, 0.2)
    rate = torch.stack([rate, rate.flip(0)])[labels]
    x = (torch.rand(400, 20, generator=generator) < rate).to(torch.uint8)
    return replace(dataset("table", Binary((20,)), x, labels), steps=(Floats(),)).conditional()


def network(shape=(20,), **settings):
    torch.manual_seed(0)
    labels = Categorical((), 2)
    return DeepBeliefNetwork(Binary(shape), (18, 17), condition=labels, num_steps=20, **settings)


def test_the_error_rate_counts_wrong_answers(votes):
    model = network()
    x, labels = votes.materialise("test"), votes.labels("test")
    found = error_rate(model, votes)
    wrong = (model.classify(x).argmax(1) != labels).double().mean()
    assert found.value == pytest.approx(float(wrong))
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.num_examples == len(labels)
    assert error_rate(model, votes, n=7).num_examples == 7
    assert error_rate(model, votes, num_draws=3) == found
    floor = error_rate_floor(votes)
    assert floor.value == pytest.approx(float((labels != 1).double().mean()))


def test_a_trained_network_makes_fewer_errors_than_its_floor(votes):
    model = network()
    algorithm = model.algorithm(num_chains=20, learning_rate=0.1, batch_size=20)
    model.fit(votes.train, algorithm=algorithm, epochs=40, device="cpu")
    assert error_rate(model, votes).value < 0.05 < error_rate_floor(votes).value


def test_a_picture_is_told_apart_by_the_mean_over_draws_of_it():
    """Grey rows whose halves differ little: one draw misleads more often than ten."""
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(600, generator=generator) < 0.5).long()
    level = torch.where(torch.arange(20) < 10, 160, 95)
    x = torch.stack([level, level.flip(0)])[labels].to(torch.uint8).reshape(-1, 1, 4, 5)
    grey = dataset("image", Pixels((1, 4, 5), 256), x, labels).conditional()
    drawn, model = grey.viewed("binary"), network(shape=(1, 4, 5))
    with torch.no_grad():  # the label that has more of its half, by one unit of each
        for p in model.parameters():
            p.zero_()
        top, half = model.stack.top, torch.where(torch.arange(20) < 10, 1.0, -1.0)
        model.stack.recognisers[0][:, 0] = half
        top.weights[0, 0] = top.weights[top.num_units, 0] = 4.0
        top.weights[top.num_units + 1, 0] = -4.0
        top.hidden_bias[0] = -2.0
        top.visible_bias[top.num_units] = -4.0  # undecided where u = ½
    several = error_rate(model, drawn, num_draws=10)
    one = error_rate(model, drawn)
    answers = [model.classify(drawn.redrawn(i).materialise("test")) for i in range(10)]
    mean = torch.stack(answers).mean(0).argmax(1)
    assert several.value == pytest.approx(float((mean != drawn.labels("test")).double().mean()))
    assert several.value < 0.5 * one.value
    assert "10 draws" in several.note
    assert "draws" not in one.note
    report = evaluate(model, drawn, only=["error_rate"])
    assert metrics_of(report)["error_rate"] == one
    assert metrics_of(report)["error_rate, mean of 10 draws"] == several
    assert baselines_of(report)["error_rate, mean of 10 draws"] == error_rate_floor(drawn)
    assert "error_rate, mean of 10 draws" not in metrics_of(
        evaluate(model, grey.viewed("static"), only=["error_rate"])
    )
    with pytest.raises(ValueError, match="num_draws"):
        error_rate(model, drawn, num_draws=0)


def test_models_without_labels_have_no_error_rate(votes, bits):
    without = DeepBeliefNetwork(Binary((20,)), (4, 3))
    assert error_rate(without, votes) is None
    assert error_rate(network(), bits) is None
    assert error_rate_floor(bits) is None
    with pytest.raises(ValueError, match="no labels"):
        without.classify(bits.materialise("test", 2))


def test_the_record_has_error_rate_and_both_sides_of_an_annealed_bound(votes):
    model = stiffen(network(num_temperatures=100), 2.0)
    report = evaluate(model, votes, only=["error_rate", "log_likelihood"])
    found = metrics_of(report)
    assert found["error_rate"] == report.errors
    assert baselines_of(report)["error_rate"] == report.errors_floor
    bound, lower = found["log_likelihood"], found["log_likelihood_lower"]
    assert (bound.sign, lower.sign) == ("~", ">=")
    assert "annealing" in bound.note
    assert "log_likelihood_upper" not in found
    assert lower.value < bound.value
    assert found["log_likelihood_reverse_ais"].sign == "~"


def test_an_annealed_bound_is_bracketed_around_the_summed_one(votes, monkeypatch):
    """Log Z of 17 units is annealed; summed it must lie between both sides."""
    model = stiffen(network(num_temperatures=300), 2.0).double()
    annealed = likelihood(model, votes)
    monkeypatch.setattr("genus.models.boltzmann.layer_path.SMALL", 17)
    model._partitions[-1]._cached = Kept()
    summed = likelihood(model, votes)
    assert summed.reverse is None
    assert summed.bracket is None
    assert "annealing" not in summed.nats.note
    assert annealed.bracket[0].value < summed.nats.value
    for figure in (annealed.nats, annealed.reverse):
        assert abs(figure.value - summed.nats.value) < 0.1
    assert annealed.nats.standard_error > summed.nats.standard_error
