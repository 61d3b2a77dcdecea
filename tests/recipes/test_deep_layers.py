"""What the log and the pictures of a run say of networks that learn in stages."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from genus import recipes
from genus.engine import Batch, Budget
from genus.engine import run as train_loop
from genus.engine.callbacks import Log, Monitor
from genus.engine.seeding import seeded
from genus.inference.enumerate import binary_chunks
from genus.models.boltzmann.greedy import GreedyLayer
from genus.recipes.chains import chains_of
from genus.recipes.deep_pictures import deep_fantasies, deep_filters
from genus.recipes.layer_monitor import LayerMonitor, explain
from genus.recipes.learner import learner
from genus.recipes.monitors import ChainMonitor
from genus.recipes.pictures import signed
from genus.recipes.settings import parse_settings
from genus.recipes.watching import monitors_of
from genus.spaces import Binary

SMALL = {"num_chains": 5, "batch_size": 20, "hidden": (9, 8, 4)}
NAMES = ("dbn-500-500-2000", "dbn-500-2000", "dbm-500-1000")


def recipe_of(name, steps=40, **settings):
    data = recipes.data_for(recipes.find(name), "digits")
    stages = {"pretraining": 0.2} if name == "dbm-500-1000" else {}
    recipe = recipes.build(name, data, **{**SMALL, **stages, **settings})
    return replace(recipe, budget=Budget(steps=steps))


def learn(recipe, callbacks=()):
    train_loop(
        recipe.model,
        recipe.data.train,
        recipe.algorithm,
        budget=recipe.budget,
        seed=3,
        callbacks=callbacks,
        device="cpu",
    )
    return {name: value.clone() for name, value in recipe.model.state_dict().items()}


class At(Monitor):
    """Asks a question after every step, and keeps the answers of each stage."""

    def __init__(self, question):
        self.question, self.answers = question, {}

    def after_step(self, run, info):
        number = run.algorithm.number
        self.answers.setdefault(number, []).append(self.question(run))

    def report(self, run):
        return {}


def draw_seldom(recipe):
    """The recipe's pictures after every sixth step."""
    return lambda run: run.progress.step % 6 or [draw() for draw in recipe.pictures.values()]


@pytest.mark.parametrize("name", NAMES)
def test_a_watched_and_drawn_run_equals_an_unwatched_one_bit_for_bit(name, tmp_path):
    watched = recipe_of(name)
    monitors = monitors_of(watched)
    drawn = At(draw_seldom(watched))
    log = Log(tmp_path / "log.jsonl", every=1, monitors=monitors)
    ours = learn(watched, [*monitors, drawn, log])
    theirs = learn(recipe_of(name))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    last = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()][-1]
    assert 0 <= last["chain_flips"] <= 1
    assert "free_energy_gap" in last


@pytest.mark.parametrize("name", NAMES)
def test_hidden_units_begin_as_rarely_on_as_the_setting_says(name):
    model = recipe_of(name, hidden_share=0.1).model
    biases = [p for n, p in model.named_parameters() if "bias" in n and "visible" not in n]
    rates = [bias.sigmoid().mean().item() for bias in biases[-3:]]
    assert rates == pytest.approx([0.1] * 3)


def test_a_small_network_learns_to_tell_digits_apart():
    """Its error is 0.22, and chance 0.9, where it would stay from a share of 0.02."""
    recipe = recipe_of("dbn-500-500-2000", 1500, hidden=(60, 200), batch_size=100)
    learn(recipe)
    x, y = recipe.data.base.materialise("test"), recipe.data.labels("test")
    wrong = recipe.model.classify(x).argmax(1) != y
    assert float(wrong.float().mean()) < 0.45


def test_each_layer_of_a_belief_net_may_have_a_rate_of_its_own():
    entry = recipes.find("dbn-500-2000")
    data = recipes.data_for(entry, "digits")
    for text, wanted in (("0.2,0.05", (0.2, 0.05)), ("0.3", (0.3, 0.3))):
        settings = parse_settings(entry, [f"learning_rate={text}", "hidden=9,4"])
        stages = recipes.build("dbn-500-2000", data, **settings).algorithm.stages
        assert tuple(stage.algorithm.settings.learning_rate for stage in stages) == wanted
    with pytest.raises(ValueError, match="3 numbers for 2 layers"):
        recipes.build("dbn-500-2000", data, learning_rate=(0.1, 0.1, 0.1), hidden=(9, 4))
    with pytest.raises(ValueError, match="must be a number or a list"):
        parse_settings(entry, ["learning_rate=fast"])


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_the_share_of_greedy_layers_is_called_by_its_name_in_the_recipe(value):
    with pytest.raises(ValueError, match="pretraining must be at least 0 and below 1"):
        recipe_of("dbm-500-1000", pretraining=value)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_filters_of_every_layer_and_fantasies(name, tmp_path):
    recipe = recipe_of(name, steps=3)
    recipes.train(recipe, tmp_path, device="cpu", samples=4)
    written = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert written == {"filters", "filters-2", "filters-3", "fantasies"}
    assert recipe.pictures["filters"]().shape == (1, 9, 8, 8)
    assert recipe.pictures["filters-3"]().shape == (1, 4, 8, 8)
    assert not recipe_of(name, steps=1, hidden=(5, 4)).pictures.keys() - written


def test_a_deep_filter_is_a_column_of_the_product():
    first, second, third = torch.randn(12, 5), torch.randn(5, 4), torch.randn(4, 3)
    space = Binary((1, 4, 3))
    found = deep_filters([first, second, third], space, most=2)
    wanted = signed((first @ second @ third)[:, :2])
    assert found.shape == (1, 2, 4, 3)
    for unit in range(2):
        assert torch.allclose(found[0, unit].flatten(), wanted[:, unit], atol=1e-6)
    assert torch.equal(deep_filters([first], space).flatten(1)[0, :12], signed(first)[:, 0])


@pytest.mark.parametrize("name", NAMES)
def test_chains_are_those_of_the_stage(name):
    recipe = recipe_of(name)
    monitor = ChainMonitor()

    def standing(run):
        found = chains_of(run.model, learner(run.algorithm).objective)
        return (None if found is None else found.hidden.clone()), monitor.report(run)

    seen = At(standing)
    learn(recipe, [monitor, seen])
    sizes = {0: 9, 1: 8, 2: 4} if name != "dbm-500-1000" else {3: 9}
    sizes |= {3: 4} if name == "dbn-500-500-2000" else {}
    assert set(seen.answers) >= set(sizes)
    for number, answers in seen.answers.items():
        if number not in sizes:
            assert all(chains is None and not said for chains, said in answers)
            continue
        assert answers[0][1] == {}
        for (before, _), (now, said) in pairwise(answers):
            assert now.shape == (5, sizes[number])
            flips = float((before != now).float().mean())
            assert float(said["chain_flips"]) == pytest.approx(flips)
            assert float(said["chain_activity"]) == pytest.approx(float(now.mean()))


def log_marginal(weights, below, above, v):
    """Log Σ_h exp(b·v + c·h + vᵀ W h), every h in turn."""
    h = torch.cat(list(binary_chunks(len(above)))).to(v)
    return ((v @ below)[:, None] + h @ above + v @ weights @ h.T).logsumexp(1)


def test_free_energies_are_those_of_the_layer_that_learns():
    """Of the draws that the layers below make at a seed of their own."""
    recipe = recipe_of("dbn-500-2000")
    x = recipe.data.materialise("train", 30)

    def found(run):
        layer = learner(run.algorithm).layer
        explained = explain(run.model, run.algorithm, Batch(x))
        assert explained.hidden.shape == (30, len(layer.hidden_bias))
        with seeded(0, x.device):
            seen = run.model.stack.ascend(x, run.algorithm.number)[-1].double()
        parts = [layer.weights, layer.visible_bias, layer.hidden_bias]
        wanted = -log_marginal(*(part.detach().double() for part in parts), seen)
        assert torch.allclose(explained.free_energy.double(), wanted, atol=1e-4)
        return seen.shape[1]

    seen = At(found)
    learn(recipe, [seen])
    assert [answers[0] for answers in seen.answers.values()] == [64, 9, 8]


def test_labels_are_part_of_what_the_top_layer_sees():
    recipe = recipe_of("dbn-500-500-2000", up_down=0.0)
    x, labels = recipe.data.materialise("train", 20), recipe.data.labels("train")[:20]
    learn(recipe)
    now = learner(recipe.algorithm)
    assert isinstance(now, GreedyLayer)
    assert now.number == 2
    with torch.no_grad():
        now.layer.visible_bias[now.layer.num_units :] = torch.linspace(-3, 3, 10)
        now.layer.weights[now.layer.num_units :] = 0.0
    ours = explain(recipe.model, recipe.algorithm, Batch(x, labels)).free_energy
    theirs = explain(recipe.model, recipe.algorithm, Batch(x, 0 * labels)).free_energy
    wanted = -(torch.linspace(-3, 3, 10)[labels] + 3)
    assert torch.allclose(ours - theirs, wanted, atol=1e-4)


def test_of_a_deep_machine_they_are_doubled_and_then_the_bound():
    recipe = recipe_of("dbm-500-1000", steps=30)
    x = recipe.data.materialise("train", 15)

    def found(run):
        weights = [w.detach().double() for w in run.model.weights]
        biases = [b.detach().double() for b in run.model.biases]
        energy = explain(run.model, run.algorithm, Batch(x)).free_energy.double()
        v = x.flatten(1).double()
        if run.algorithm.number == 0:
            # two copies of v show the datum, so that h is sent what both send
            wanted = -log_marginal(2 * weights[0], 2 * biases[0], biases[1], v)
            assert torch.allclose(energy, wanted, atol=1e-4)
        if run.algorithm.number == 3:
            model = run.model
            bound = (-energy - model._normaliser().detach()).to(x.dtype)
            means = model.mean_field(v.to(x.dtype), 5)
            settled = model.lower_bound(x).detach()
            assert bool((bound <= settled + 1e-3).all())
            assert float((settled - bound).mean()) < 1.0
            assert len(means) == 3
        return None

    learn(recipe, [At(found)])


def test_the_monitor_reports_both_parts_in_every_stage():
    recipe = recipe_of("dbn-500-500-2000")
    monitor = monitors_of(recipe)[0]
    assert isinstance(monitor, LayerMonitor)
    seen = At(monitor.report)
    learn(recipe, [monitor, seen])
    assert set(seen.answers) == {0, 1, 2, 3}
    for answers in seen.answers.values():
        last = answers[-1]
        parts = [float(last[f"free_energy_{part}"]) for part in ("valid", "train")]
        assert float(last["free_energy_gap"]) == pytest.approx(parts[0] - parts[1], abs=1e-4)
        assert 0 <= float(last["hidden_activity"]) <= 1


def test_of_up_down_they_are_those_of_the_top_pair_at_the_means_passed_up():
    recipe = recipe_of("dbn-500-500-2000")
    learn(recipe)
    x, labels = recipe.data.materialise("train", 20), recipe.data.labels("train")[:20]
    stack = recipe.model.stack
    with torch.no_grad():
        stack.recognisers[0].add_(0.3)  # what goes up goes by the recogniser
        stack.top.weights.mul_(20)
    means = x.flatten(1).double()
    for number in (0, 1):
        odds = means @ stack.recognisers[number].double() + stack.layer(number).hidden_bias
        means = odds.sigmoid()
    v = torch.cat([means, torch.nn.functional.one_hot(labels, 10)], 1).detach()
    top = stack.top
    parts = [top.weights, top.visible_bias, top.hidden_bias]
    wanted = -log_marginal(*(part.detach().double() for part in parts), v)
    found = explain(recipe.model, recipe.algorithm, Batch(x, labels))
    assert torch.allclose(found.free_energy.double(), wanted, atol=1e-4)
    assert wanted.std() > 0.1


def test_fantasies_are_what_the_layers_below_make_of_the_chains():
    """With couplings so large that no draw is in doubt, layer after layer is a threshold."""
    recipe = recipe_of("dbn-500-2000", steps=3, up_down=0.0)
    learn(recipe)
    model, now = recipe.model, learner(recipe.algorithm)
    with torch.no_grad():
        for layer in model.stack.layers:
            layer.weights.copy_(60 * torch.randn(layer.weights.shape).sign())
            layer.visible_bias.fill_(30.0)
    chains = now.objective.chains
    for number in reversed(range(now.number + 1)):
        layer = model.stack.layer(number)
        field = chains @ layer.weights.T + layer.visible_bias
        assert field.abs().min() > 20
        chains = (field > 0).float()
    found = deep_fantasies(model, recipe.algorithm)
    assert torch.allclose(found[0].flatten(1), chains, atol=1e-6)


def test_of_a_deep_machine_fantasies_are_the_means_given_the_first_layer():
    recipe = recipe_of("dbm-500-1000")
    learn(recipe)
    chains = learner(recipe.algorithm).objective.chains[:, :9]
    wanted = recipe.model.decode(chains).detach()
    assert torch.allclose(deep_fantasies(recipe.model, recipe.algorithm)[0], wanted[:, 0])


@pytest.mark.parametrize("name", NAMES)
def test_looking_leaves_the_generator_alone_and_can_be_repeated(name):
    recipe = recipe_of(name)
    learn(recipe)
    x = recipe.data.materialise("train", 9)
    labels = None if recipe.model.condition is None else recipe.data.labels("train")[:9]
    state = torch.random.get_rng_state()
    for _ in range(2):
        shown = deep_fantasies(recipe.model, recipe.algorithm)
        explain(recipe.model, recipe.algorithm, Batch(x, labels))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(deep_fantasies(recipe.model, recipe.algorithm), shown)
