"""What the pictures of a run show."""

import dataclasses

import pytest
import torch
from PIL import Image

from genus import recipes
from genus.engine import Budget
from genus.models import RBM
from genus.recipes.boltzmann_pictures import (
    completions,
    fantasies,
    filters,
    from_strongest,
    reconstructions,
    wanderings,
)
from genus.recipes.pictures import laid_out, save_picture, signed
from genus.recipes.runs import open_run
from genus.spaces import Binary

SPACE = Binary((1, 4, 3))
TWOS = {"num_hidden": 7, "num_chains": 5, "batch_size": 200}
BOTH = {"filters", "fantasies"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    machine = RBM(SPACE, 6, num_steps=20, num_sweeps=20)
    with torch.no_grad():
        machine.weights.copy_(2 * torch.randn(12, 6))
        machine.visible_bias.copy_(torch.randn(12))
    return machine


@pytest.fixture
def x():
    return SPACE.random(5)


def test_numbers_of_either_sign_share_one_scale_about_grey():
    shown = signed(torch.linspace(-3, 3, 1001))
    assert float(shown[500]) == 0.5
    assert (float(shown.min()), float(shown.max())) == (0.0, 1.0)
    assert torch.allclose(shown + shown.flip(0), torch.ones(1001), atol=1e-6)
    assert (signed(torch.zeros(4)) == 0.5).all()


def test_a_layout_fills_its_last_row_with_grey():
    images = torch.rand(7, 12)
    laid = laid_out(images, SPACE, columns=3)
    assert laid.shape == (3, 3, 4, 3)
    assert torch.equal(laid.flatten(0, 1)[:7].flatten(1), images)
    assert (laid[2, 1:] == 0.5).all()
    assert laid_out(images[:2], SPACE, columns=3).shape == (1, 2, 4, 3)


def test_a_picture_is_written_in_rows(tmp_path):
    save_picture(tmp_path / "a.png", torch.rand(2, 5, 4, 3))
    written = Image.open(tmp_path / "a.png")
    width, height = 5 * (3 + 2) + 2, 2 * (4 + 2) + 2
    factor = 560 // width
    assert written.size == (factor * width, factor * height)


def test_a_filter_is_a_column_of_the_weights(model):
    shown = filters(model.weights, SPACE)
    assert shown.shape == (1, 6, 4, 3)
    whole = signed(model.weights.detach())
    for unit in range(6):
        assert torch.equal(shown[0, unit].flatten(), whole[:, unit])
    assert filters(model.weights, SPACE, most=2).shape == (1, 2, 4, 3)


def test_fantasies_are_where_the_chains_stand():
    recipe = recipes.build("rbm-500", recipes.data_for(recipes.find("rbm-500"), "digits"), **TWOS)
    recipe.algorithm.start(recipe.model)
    shown = fantasies(recipe.model, recipe.algorithm.objective)
    assert shown.shape == (1, 5, 8, 8)
    wanted = recipe.model.decode(recipe.algorithm.objective.chains).detach()
    assert torch.allclose(shown[0], wanted[:, 0])


def test_reconstructions_stand_below_their_data(model, x):
    shown = reconstructions(model, x)
    assert torch.equal(shown[0], x[:, 0])
    assert torch.allclose(shown[1], model.reconstruct(x).detach()[:, 0])


def test_the_strongest_units_are_kept_and_the_others_off(model, x):
    shown = from_strongest(model, x, counts=(1, 3, 99))
    assert len(shown) == 4
    code = model.encode(x).detach()
    for row, k in ((1, 1), (2, 3), (3, 6)):
        for number in range(len(x)):
            kept = torch.zeros(6)
            units = code[number].topk(k).indices
            kept[units] = code[number, units]
            wanted = model.decode(kept[None]).detach()[0, 0]
            assert torch.allclose(shown[row, number], wanted, atol=1e-6), (row, number)


def test_wanderings_begin_at_random_hidden_units_and_are_repeatable(model):
    shown = wanderings(model, 4, (0, 1, 9))
    assert shown.shape == (4, 3, 4, 3)
    assert torch.equal(shown, wanderings(model, 4, (0, 1, 9)))
    assert torch.equal(shown[:, :2], wanderings(model, 4, (0, 1)))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert not torch.equal(shown, wanderings(model, 4, (0, 1, 9), seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_wanderings_end_at_the_model(model):
    """The means of 4,000 chains after 60 steps are those of the enumerated distribution.

    A pixel's mean over 4,000 chains has a deviation of at most 0.5 / √4000 = 0.008; the largest
    of twelve leaves 0.035 less often than once in 10,000.
    """
    with torch.no_grad():
        model.weights.mul_(0.3)
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 12)
    p = (-model.free_energy(bits.reshape(-1, 1, 4, 3)).detach()).softmax(0)
    found = wanderings(model, 4000, (60,)).mean(0).flatten()
    assert (found - p @ bits).abs().max() < 0.035


def test_completions_keep_the_upper_half(model, x):
    shown = completions(model, x, 3)
    assert shown.shape == (5, 5, 4, 3)
    assert torch.equal(shown[0], x[:, 0])
    for row in shown[1:]:
        assert torch.equal(row[:, :2], x[:, 0, :2])
    assert (shown[1][:, 2:] == 0.5).all()
    assert not torch.equal(shown[2], shown[3])


def test_twos_are_learnt_and_every_command_finds_their_data(tmp_path):
    recipe = recipes.build("rbm-twos", **TWOS)
    assert (recipe.data.space, recipe.data.class_names) == (Binary((1, 16, 16)), ("2",))
    named = {"data", "reconstructions", "from_strongest", "wanderings", "completions"}
    assert set(recipe.pictures) == BOTH | named
    recipe = dataclasses.replace(recipe, budget=Budget(steps=3))
    recipes.train(recipe, tmp_path, device="cpu", samples=4)
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == set(recipe.pictures)
    opened = open_run(tmp_path)
    assert opened.notes["data"]["loading"] == {"classes": [2], "resize": 16}
    data = opened.data()
    assert data.space == opened.model.space
    assert torch.equal(data.materialise("test", 20), recipe.data.materialise("test", 20))
    recipes.train(
        dataclasses.replace(recipes.build("rbm-twos", **TWOS), budget=Budget(steps=5)),
        tmp_path,
        resume=True,
        device="cpu",
        samples=0,
    )


def test_options_are_those_of_the_recipes_own_data_only():
    entry = recipes.find("rbm-twos")
    assert recipes.loading_of(entry) == {"classes": [2], "resize": 16}
    assert recipes.loading_of(entry, None, {"resize": 20}) == {"classes": [2], "resize": 20}
    assert recipes.loading_of(entry, "digits") == {}
    assert recipes.loading_of(recipes.find("rbm-twos@digits")) == {}
    assert recipes.build("rbm-twos@digits", **TWOS).data.space == Binary((1, 8, 8))


def test_data_that_are_no_grey_pictures_have_none():
    bits = torch.rand(60, 5) < 0.5
    data = recipes.registry.datasets.from_array(bits.numpy().astype("uint8"))
    for name in ("rbm-500", "rbm-twos", "boltzmann"):
        assert not recipes.build(name, data, **TWOS).pictures
    recipe = recipes.build("boltzmann", **TWOS)
    assert set(recipe.pictures) == BOTH
    recipe.algorithm.start(recipe.model)
    shapes = {name: draw().shape for name, draw in recipe.pictures.items()}
    assert shapes == {"filters": (1, 7, 4, 4), "fantasies": (1, 5, 4, 4)}
