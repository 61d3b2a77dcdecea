"""What ``--set key=value`` accepts, and what it says where it does not."""

from typing import Literal

import pytest

from genus.engine import Budget
from genus.models.linear import PPCA
from genus.recipes.budgets import describe_budget, parse_budget, parse_budget_or_examples
from genus.recipes.recipe import Entry
from genus.recipes.settings import check_settings, nearest, parse_settings
from genus.spaces import Real


def cook(
    data,
    *,
    hidden: tuple[int, ...] = (500,),
    rate: float = 0.1,
    layers: int = 2,
    direct: bool = True,
    title: str = "",
    head: Literal["bernoulli", "logistic"] = "bernoulli",
    clip: float | None = 1.0,
    betas: tuple[float, float] = (0.9, 0.99),
):
    return None


ENTRY = Entry("stew", "soup", "", "mnist", None, cook, "")


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("hidden=7,3", (7, 3)),
        ("hidden=7", (7,)),
        ("hidden=(7, 3)", (7, 3)),
        ("rate=3e-4", 3e-4),
        ("rate=2", 2.0),
        ("layers=12", 12),
        ("direct=no", False),
        ("direct=True", True),
        ("title=a=b", "a=b"),
        ("head=logistic", "logistic"),
        ("clip=none", None),
        ("clip=0.5", 0.5),
        ("betas=0.5,0.9", (0.5, 0.9)),
    ],
)
def test_values_are_converted_by_annotation(pair, value):
    key = pair.split("=")[0]
    found = parse_settings(ENTRY, [pair])
    assert found == {key: value}
    assert type(found[key]) is type(value)
    check_settings(ENTRY, found)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("layrs=3", "did you mean 'layers'"),
        ("zzz=3", "settings: hidden, rate, layers"),
        ("layers=2.5", "layers of stew must be a whole number, got '2.5'"),
        ("layers=many", "a whole number"),
        ("layers=", "a whole number, got ''"),
        ("rate=fast", "rate of stew must be a number"),
        ("direct=maybe", "true or false"),
        ("head=logistik", "did you mean 'logistic'"),
        ("hidden=5,x", "a list such as 500,500"),
        ("betas=0.5", "a list such as 0.5,0.5"),
        ("clip=never", "a number or none"),
        ("layers", "key=value"),
    ],
)
def test_errors_name_key_type_and_near_miss(pair, said):
    with pytest.raises(ValueError, match=r"stew|key=value") as caught:
        parse_settings(ENTRY, [pair])
    assert said in str(caught.value)


def test_a_setting_is_given_once():
    with pytest.raises(ValueError, match="twice"):
        parse_settings(ENTRY, ["layers=1", "layers=2"])


@pytest.mark.parametrize(
    "settings", [{"layers": 2.5}, {"layers": True}, {"hidden": 500}, {"head": "x"}, {"rate": "1"}]
)
def test_python_values_are_checked_too(settings):
    with pytest.raises(ValueError, match="must be"):
        check_settings(ENTRY, settings)


def test_nearest_is_silent_where_nothing_is_near():
    assert nearest("vea", ["vae", "made"]) == "; did you mean 'vae'?"
    assert nearest("qqqqqq", ["vae", "made"]) == ""


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("60s", Budget(seconds=60)),
        ("1.5m", Budget(seconds=90)),
        ("2 h", Budget(seconds=7200)),
        ("1000steps", Budget(steps=1000)),
        ("1e3 steps", Budget(steps=1000)),
        ("3epochs", Budget(epochs=3)),
        ("0.5 epochs", Budget(epochs=0.5)),
    ],
)
def test_budgets_as_people_write_them(text, budget):
    assert parse_budget(text) == budget
    assert parse_budget(describe_budget(budget)) == budget
    assert parse_budget_or_examples(text) == budget
    assert parse_budget_or_examples("600 examples") == 600


@pytest.mark.parametrize(
    "text", ["0s", "0", "0steps", "-3s", "60", "soon", "", "1.5steps", "infs", "nans", "5 parsecs"]
)
def test_no_budgets(text):
    for parse in (parse_budget, parse_budget_or_examples):
        with pytest.raises(ValueError, match="the budget must be"):
            parse(text)
    with pytest.raises(ValueError, match="the budget must be a number and its unit"):
        parse_budget("600 examples")


def test_a_model_takes_no_budget_in_words():
    with pytest.raises(ValueError, match=r"genus\.Budget\(seconds=60\)"):
        PPCA(Real((3,)), 2).fit([[1.0, 2.0, 3.0]], budget="60s")
