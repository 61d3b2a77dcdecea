"""What the settings of ``rbm-500`` do."""

import pytest
import torch

from genus import recipes
from genus.engine import Budget
from genus.engine import run as train_loop

SMALL = {"num_hidden": 12, "num_chains": 20, "batch_size": 20}
KINDS = ("persistent", "fast", "tempered", "from data")


def learnt(steps=60, seed=0, **settings):
    data = recipes.data_for(recipes.find("rbm-500"), "digits")
    recipe = recipes.build("rbm-500", data, seed=seed, **{**SMALL, **settings})
    train_loop(
        recipe.model,
        recipe.data.train,
        recipe.algorithm,
        budget=Budget(steps=steps),
        seed=seed,
        device="cpu",
    )
    return recipe


def mean_activity(recipe):
    return float(recipe.model.encode(recipe.data.materialise("train")).detach().mean())


@pytest.mark.parametrize("chains", KINDS)
def test_hidden_units_keep_to_the_wanted_mean(chains):
    plain = mean_activity(learnt(chains=chains))
    pulled = mean_activity(learnt(400, chains=chains, sparsity=0.1, sparsity_cost=1.0))
    assert plain > 0.3
    assert pulled == pytest.approx(0.1, abs=0.06)


def test_a_target_alone_has_the_usual_cost():
    found = learnt(1, sparsity=0.2).algorithm.objective.sparsity
    assert (found.target, found.cost) == (0.2, 0.1)
    assert learnt(1).algorithm.objective.sparsity is None


def test_no_hidden_unit_has_longer_weights_than_allowed():
    longest = learnt(learning_rate=0.5).model.weights.detach().norm(dim=0).max()
    held = learnt(learning_rate=0.5, max_norm=0.4).model.weights.detach().norm(dim=0)
    assert float(longest) > 0.8
    assert float(held.max()) == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize("chains", KINDS)
def test_offsets_follow_the_data_only_where_it_is_centred(chains):
    for centred in (True, False):
        objective = learnt(3, chains=chains, centred=centred).algorithm.objective
        assert bool(objective.visible_offset.any()) == centred
        assert bool(objective.hidden_offset.any()) == centred


def test_the_rate_follows_the_schedule():
    """The last of ten steps has a tenth of the rate where it falls to zero, and all of it else."""
    for schedule, share in (("constant", 1.0), ("linear", 0.1), ("cosine", 0.0245)):
        groups = learnt(10, schedule=schedule, learning_rate=0.05).algorithm.optimiser.param_groups
        assert groups[0]["lr"] == pytest.approx(0.05 * share, rel=0.01)


def test_defaults_are_what_they_were():
    one = learnt(5).model
    other = learnt(5, schedule="linear", centred=True, sparsity=None, max_norm=None).model
    assert torch.equal(one.weights, other.weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 0.0}, "sparsity must be above 0 and below 1"),
        ({"sparsity": 1.5}, "sparsity must be above 0 and below 1"),
        ({"sparsity_cost": 0.1}, "sparsity, the wanted mean of the hidden units, is missing"),
        ({"sparsity": 0.1, "sparsity_cost": -1.0}, "cost must be at least 0"),
        ({"max_norm": 0.0}, "max_norm must be positive or None"),
        ({"schedule": "linaer"}, "schedule of rbm-500 must be one of constant, linear"),
        ({"centred": 1}, "centred of rbm-500 must be true or false"),
        ({"centered": True}, "did you mean 'centred'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        recipes.build("rbm-500", "digits", **{**SMALL, **settings})
