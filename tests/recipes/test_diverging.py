"""A learning rate that is far too large ends a run, and what was good before it stays."""

from dataclasses import replace

import pytest
import torch

import genus
from genus import recipes
from genus.engine import Budget, NotFiniteError
from genus.recipes.running import train

FEW = {"num_chains": 10, "batch_size": 50}
DEEP = {**FEW, "hidden": (20, 15)}
WILD = {"learning_rate": 1000.0}
CASES = {
    "persistent": ("rbm-500", {**FEW, "num_hidden": 20}, WILD),
    "from data": ("rbm-500", {**FEW, "num_hidden": 20, "chains": "from data"}, WILD),
    "fast": ("rbm-500", {**FEW, "num_hidden": 20, "chains": "fast"}, WILD),
    "tempered": ("rbm-500", {**FEW, "num_hidden": 20, "chains": "tempered"}, WILD),
    "plain": ("rbm-500", {**FEW, "num_hidden": 20, "centred": False}, WILD),
    "joined": ("boltzmann", {**FEW, "num_hidden": 8, "k": 1}, WILD),
    "belief": ("dbn-500-2000", DEEP, WILD),
    "belief with labels": ("dbn-500-500-2000", DEEP, WILD),
    "deep": ("dbm-500-1000", DEEP, WILD),
    "deep, greedy": ("dbm-500-1000", {**DEEP, "pretraining": 0.2}, {"pretraining_rate": 1000.0}),
    "real": ("rbm-gaussian", {**FEW, "num_hidden": 20}, WILD),
}


def recipe_of(case, steps, wild=False):
    """Tiny, on 8×8 digits; a wild one passes for the tame one, whose settings it shows."""
    name, tame, further = CASES[case]
    data = recipes.data_for(recipes.find(name), "digits")
    made = recipes.build(name, data, **tame, **(further if wild else {}))
    shown = recipes.build(name, data, **tame).settings
    return replace(made, budget=Budget(steps=steps), settings=shown)


# the greedy layers of a run that has ended lie behind it
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"belief with labels", "deep, greedy"}))
def test_a_rate_of_a_thousand_ends_the_run_and_keeps_the_good_checkpoint(case, tmp_path):
    train(recipe_of(case, 20), tmp_path, device="cpu", samples=0)
    again = recipe_of(case, 150, wild=True)
    with pytest.raises(NotFiniteError, match=r"diverged.* lower the learning rate"):
        train(again, tmp_path, resume=True, device="cpu", samples=0)
    after = genus.load(tmp_path)
    assert all(bool(torch.isfinite(p).all()) for p in after.parameters())
    assert max(float(p.detach().abs().max()) for p in after.parameters()) < 30


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_diverges_at_once_leaves_nothing(case, tmp_path):
    with pytest.raises(NotFiniteError):
        train(recipe_of(case, 150, wild=True), tmp_path / "run", device="cpu", samples=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", CASES)
def test_usual_rates_are_let_be(case, tmp_path):
    recipe = recipe_of(case, 150)
    assert train(recipe, tmp_path, device="cpu", samples=0).step == 150
