"""The sign of a bound less log Z: a bound where log Z is summed, an estimate where annealed."""

import pytest
import torch

from genus import recipes
from genus.compare.families import FAMILIES
from genus.compare.row import finished_row
from genus.compare.table import notes, plain_tables
from genus.data.dataset import Dataset
from genus.engine import Progress
from genus.evaluation import Effort, density_kind, effort_curve, evaluate
from genus.evaluation.likelihood import likelihood
from genus.models import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.recipes.results import metrics_of
from genus.testing import stiffen

FEW = {"num_temperatures": 40, "num_chains": 50, "num_steps": 40}


def networks(data: Dataset, summed: bool) -> list:
    torch.manual_seed(0)
    units = 4 if summed else 18
    found = [
        DeepBeliefNetwork(data.space, (units, 17), **FEW),
        DeepBoltzmannMachine(data.space, (4, 3), most_summed=20 if summed else 0, **FEW),
    ]
    return [stiffen(model.double(), 1.0) for model in found]


def test_a_bound_whose_log_z_is_summed_is_a_bound(bits: Dataset) -> None:
    for model in networks(bits, summed=True):
        assert model.sums_exactly
        assert density_kind(model) == "lower bound"
        found = likelihood(model, bits, n=20)
        assert (found.nats.sign, found.bits_per_dim.sign) == (">=", "<=")
        assert (found.kind, found.reverse, found.bracket) == ("lower bound", None, None)
        assert "annealing" not in found.nats.note
        curve = effort_curve(model, bits, (1, 2), n=5)
        assert {figure.sign for figure in curve.values()} == {">="}


def test_a_bound_whose_log_z_is_annealed_is_an_estimate(bits: Dataset) -> None:
    for model in networks(bits, summed=False):
        assert not model.sums_exactly
        assert density_kind(model) == "estimate"
        found = likelihood(model, bits, n=20)
        assert (found.nats.sign, found.bits_per_dim.sign) == ("~", "~")
        assert (found.kind, found.reverse.sign) == ("estimate", "~")
        assert [end.sign for end in found.bracket] == [">="]
        error = float(model.bound_bracket(bits.materialise("test", 2)).value.standard_error[0])
        assert 0 < error < found.nats.standard_error
        assert "errs to make the figure too high" in found.nats.note
        curve = effort_curve(model, bits, (1, 2), n=5)
        assert {figure.sign for figure in curve.values()} == {"~"}
        report = evaluate(model, bits, only=["likelihood"], effort=Effort(likelihood_examples=20))
        figures = metrics_of(report)
        assert report.density == "estimate"
        assert figures["log_likelihood"].sign == "~"
        assert figures["log_likelihood_lower"].sign == ">="
        assert str(figures["log_likelihood"]).startswith("≈")


def test_a_comparison_shows_the_same_sign() -> None:
    data = recipes.data_for(recipes.find("dbm-500-1000"), "digits")
    recipe = recipes.build("dbm-500-1000", data, hidden=(22, 3))
    recipe.model.num_temperatures, recipe.model.num_steps = 40, 40
    report = evaluate(recipe.model, data, only=["likelihood"], effort=Effort(50))
    row = finished_row("dbm", FAMILIES["dbm"], recipe, Progress(examples=9), report, None)
    assert (row["density"], row["log_likelihood_sign"]) == ("estimate", "~")
    assert row["bits_per_dim_sign"] == "~"
    assert "≈" in plain_tables([row])
    lower = f"{row['log_likelihood_lower']:,.1f}".replace("-", "−")
    assert any(f"the truth is at least {lower}" in note for note in notes([row]))


@pytest.mark.parametrize(("low", "high"), [(None, None), (-3.0, -1.0)])
def test_notes_of_other_estimates_say_where_the_truth_lies(low, high) -> None:
    row = {"model": "RBM", "status": "done", "space": "binary", "log_likelihood": -2.0}
    row |= {"log_likelihood_reverse": -2.5, "log_likelihood_examples": 9}
    row |= {"log_likelihood_lower": low, "log_likelihood_upper": high}
    wanted = "the truth lies between" + ("" if low is None else " −3.0 and −1.0")
    assert any(wanted in note for note in notes([row]))
