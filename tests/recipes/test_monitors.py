"""What the log says of a machine while it learns, and that saying it changes nothing."""

import json

import pytest
import torch

from genus import data as datasets
from genus import recipes
from genus.engine import Budget
from genus.engine import run as train_loop
from genus.engine.callbacks import Log, Monitor
from genus.recipes.chains import chains_of
from genus.recipes.monitors import FreeEnergyMonitor, HiddenMonitor
from genus.recipes.watching import monitors_of

SMALL = {"num_hidden": 6, "num_chains": 5, "batch_size": 20}
KINDS = ("persistent", "fast", "tempered", "from data", "joined")


def recipe_of(kind, **settings):
    if kind == "joined":
        return recipes.build("boltzmann", "bars_and_stripes", **{**SMALL, **settings})
    data = recipes.data_for(recipes.find("rbm-500"), "digits")
    return recipes.build("rbm-500", data, chains=kind, **{**SMALL, **settings})


def learn(recipe, callbacks=(), steps=12):
    train_loop(
        recipe.model,
        recipe.data.train,
        recipe.algorithm,
        budget=Budget(steps=steps),
        seed=3,
        callbacks=callbacks,
        device="cpu",
    )
    state = recipe.algorithm.state_dict()
    tensors = [*recipe.model.state_dict().values(), *state["objective"].values()]
    return [t.clone() for t in tensors if isinstance(t, torch.Tensor)]


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_watched_run_equals_an_unwatched_one_bit_for_bit(kind, tmp_path):
    watched = recipe_of(kind)
    monitors = monitors_of(watched)
    log = Log(tmp_path / "log.jsonl", every=1, monitors=monitors)
    ours = learn(watched, [*monitors, log])
    theirs = learn(recipe_of(kind))
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    last = rows_of(tmp_path / "log.jsonl")[-1]
    assert last["free_energy_gap"] == pytest.approx(
        last["free_energy_valid"] - last["free_energy_train"], abs=1e-4
    )
    assert ("chain_flips" in last) == (kind != "from data")
    assert "loss" not in last


def test_free_energies_are_those_of_the_model(tmp_path):
    recipe = recipe_of("persistent")
    monitors = monitors_of(recipe)
    learn(recipe, [*monitors, Log(tmp_path / "log.jsonl", every=5, monitors=monitors)])
    last = rows_of(tmp_path / "log.jsonl")[-1]
    for part in ("train", "valid"):
        x = recipe.data.materialise(part, 1000)
        wanted = float(recipe.model.free_energy(x).detach().mean())
        assert last[f"free_energy_{part}"] == pytest.approx(wanted, rel=1e-5)
    code = recipe.model.encode(recipe.data.materialise("train", 1000))
    assert last["hidden_activity"] == pytest.approx(float(code.detach().mean()), rel=1e-5)
    x = recipe.data.materialise("train", 1000)
    error = (recipe.model.reconstruct(x) - x).square().mean()
    assert last["reconstruction"] == pytest.approx(float(error.detach()), rel=1e-5)


def test_idle_hidden_units_are_counted():
    recipe = recipe_of("persistent")
    x = recipe.data.materialise("train", 50)
    with torch.no_grad():
        recipe.model.weights.zero_()
        recipe.model.hidden_bias.copy_(torch.tensor([-9.0, -9, -9, 9, 9, -9]))
        pixel = (x.flatten(1).mean(0) - 0.5).abs().argmin()
        recipe.model.weights[pixel, 5] = 18.0
    found = HiddenMonitor(x).report(Watched(recipe.model))
    assert (int(found["hidden_never_on"]), int(found["hidden_always_on"])) == (3, 2)
    wanted = (2 + float(x.flatten(1)[:, pixel].mean())) / 6
    assert float(found["hidden_activity"]) == pytest.approx(wanted, abs=1e-3)


class Watched:
    """As much of a run as a monitor asks of it."""

    device = torch.device("cpu")

    def __init__(self, model):
        self.model = model


def test_a_monitor_leaves_the_mode_and_the_gradients_alone():
    recipe = recipe_of("persistent")
    model = recipe.model.train()
    x = recipe.data.materialise("train", 9)
    found = FreeEnergyMonitor(x, x).report(Watched(model))
    assert model.training
    assert not any(value.requires_grad for value in found.values())
    assert float(found["free_energy_gap"]) == 0.0


@pytest.mark.parametrize("kind", ["persistent", "fast", "tempered", "joined"])
def test_flips_are_those_of_one_step(kind):
    """Against copies of the chains after each step, kept by hand."""
    recipe = recipe_of(kind, learning_rate=0.5)
    (*_, monitor) = monitors_of(recipe)
    kept, said = [], []

    class Copies(Monitor):
        def after_step(self, run, info):
            chains = chains_of(run.model, run.algorithm.objective)
            units = chains.visible if chains.hidden is None else chains.hidden
            kept.append(units.clone())
            said.append(monitor.report(run))

        def report(self, run):
            return {}

    learn(recipe, [monitor, Copies()])
    assert said[0] == {}
    for before, now, found in zip(kept, kept[1:], said[1:], strict=False):
        assert float(found["chain_flips"]) == pytest.approx(float((before != now).float().mean()))
        assert set(now.unique().tolist()) <= {0.0, 1.0}
        if "chain_activity" in found:
            assert float(found["chain_activity"]) == pytest.approx(float(now.mean()))
    assert max(float(found["chain_flips"]) for found in said[1:]) > 0


def test_the_sides_of_the_chains_are_told_apart():
    for kind, visible, hidden in (
        ("persistent", False, True),
        ("fast", True, False),
        ("tempered", True, False),
        ("joined", True, True),
    ):
        recipe = recipe_of(kind)
        learn(recipe, steps=2)
        found = chains_of(recipe.model, recipe.algorithm.objective)
        assert (found.visible is not None, found.hidden is not None) == (visible, hidden), kind
        if visible:
            assert recipe.model.space.contains(found.visible)
            assert found.visible.shape == (5, *recipe.model.space.shape)
        if hidden:
            assert found.hidden.shape == (5, 6)
        if kind == "tempered":
            assert torch.equal(found.visible.flatten(1), recipe.algorithm.objective.chains[:, -1])


def test_only_energies_are_watched():
    assert monitors_of(recipes.build("ppca", "digits")) == []
    assert len(monitors_of(recipe_of("persistent"))) == 3


def test_a_dear_monitor_is_asked_seldom(tmp_path):
    calls = []

    class Dear(Monitor):
        def report(self, run):
            calls.append(run.progress.step)
            torch.cdist(torch.rand(600, 600), torch.rand(600, 600))
            return {"dear": torch.tensor(1.0)}

    recipe = recipe_of("persistent")
    learn(recipe, [Log(tmp_path / "log.jsonl", every=1, monitors=[Dear()])], steps=8)
    assert calls[:2] == [1, 2]
    assert calls[-1] == 8
    assert len(calls) < 8
    rows = rows_of(tmp_path / "log.jsonl")
    assert [row["step"] for row in rows if "dear" in row] == calls
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 9))


def test_data_of_the_monitor_are_fixed():
    """Views that draw anew do not move the curve: the same rows, the same draw, every time."""
    recipe = recipe_of("persistent")
    first, second = (monitors_of(recipe)[0] for _ in range(2))
    assert torch.equal(first.train, second.train)
    assert torch.equal(first.valid, second.valid)
    assert len(datasets.load("digits").materialise("valid")) == len(first.valid)
