"""Every recipe builds on its data and on others, learns, and says what it needs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from genus import data as datasets
from genus import recipes
from genus.engine import Budget
from genus.engine import run as train_loop
from genus.models import registry
from genus.recipes import ENTRIES

TINY = {
    "ppca": {"num_components": 3},
    "rbm-500": {"num_hidden": 7, "num_chains": 5, "batch_size": 20},
    "rbm-twos": {"num_hidden": 7, "num_chains": 5, "batch_size": 20},
    "rbm-gaussian": {"num_hidden": 7, "num_chains": 5, "batch_size": 20},
    "dbn-500-500-2000": {"hidden": (9, 8, 5), "num_chains": 5, "batch_size": 20},
    "dbn-500-2000": {"hidden": (9, 5), "num_chains": 5, "batch_size": 20},
    "dbm-500-1000": {"hidden": (9, 5), "num_chains": 5, "batch_size": 20},
    "boltzmann": {"num_hidden": 3, "num_chains": 5, "batch_size": 20},
    "made": {"hidden": (9, 11), "batch_size": 20},
    "pixelcnn": {"channels": 6, "num_layers": 2, "batch_size": 5},
    "vae": {"num_latent": 3, "hidden": (10,), "batch_size": 20},
    "vae-conv": {"num_latent": 3, "hidden": (4, 6), "batch_size": 20},
    "iwae-50": {"num_latent": 3, "hidden": (10,), "num_samples": 4, "batch_size": 20},
    "sbn-200-200-200": {"hidden": (9, 5), "batch_size": 20},
    "ddpm": {"channels": (8,), "num_blocks": 1, "num_steps": 12, "batch_size": 20},
    "gan": {"num_latent": 4, "hidden": (9, 8), "batch_size": 20},
    "cgan": {"num_latent": 4, "hidden": (9, 8), "batch_size": 20},
    "dcgan": {"num_latent": 4, "hidden": (8, 6), "batch_size": 20},
}
NEEDS_IMAGES = ("pixelcnn", "vae-conv", "dcgan")


def learn(recipe, steps=3):
    progress = train_loop(
        recipe.model,
        recipe.data.train,
        recipe.algorithm,
        budget=Budget(steps=steps),
        seed=recipe.seed,
        device="cpu",
    )
    assert all(bool(torch.isfinite(p).all()) for p in recipe.model.parameters())
    return progress


def test_every_recipe_is_in_this_list():
    assert set(TINY) == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_builds_and_learns_on_digits(name):
    recipe = recipes.build(name, recipes.data_for(ENTRIES[name], "digits"), **TINY[name])
    assert recipe.data.train.space == recipe.model.space
    assert recipe.model.condition in (None, recipe.data.train.condition)
    assert type(recipe.model).__name__ == ENTRIES[name].model
    learn(recipe)
    given = None if recipe.model.condition is None else torch.tensor([3, 5])
    drawn = recipe.model.sample(2, condition=given, seed=0)
    assert recipe.model.space.contains(drawn)


@pytest.mark.parametrize("name", ["made", "pixelcnn", "vae", "vae-conv", "ddpm"])
def test_builds_and_learns_with_labels(name):
    data = recipes.data_for(ENTRIES[name], "digits")
    recipe = recipes.build(name, data, conditional=True, **TINY[name])
    assert recipe.model.condition is not None
    learn(recipe)
    recipe.model.sample(2, condition=7, seed=0)


@pytest.fixture(scope="module")
def own():
    """Data of each kind that a user may bring, as data sets."""
    generator = np.random.default_rng(0)
    reals = generator.normal(size=(60, 3)) @ generator.normal(size=(3, 3))
    return {
        "reals": datasets.from_array(reals),
        "bits": datasets.from_array((reals > 0).astype(np.uint8)),
        "colours": datasets.from_array(generator.integers(0, 256, (60, 9, 7, 3), np.uint8)),
        "categories": datasets.from_array(generator.integers(0, 5, (60, 4))),
    }


SUITED = {
    "ppca": ("reals", "bits", "colours"),
    "rbm-500": ("bits",),
    "rbm-twos": ("bits",),
    "rbm-gaussian": ("reals", "bits", "colours"),
    "dbn-500-500-2000": (),
    "dbn-500-2000": ("reals", "bits", "colours"),
    "dbm-500-1000": ("bits",),
    "boltzmann": ("bits",),
    "made": ("reals", "bits", "colours", "categories"),
    "pixelcnn": ("colours",),
    "vae": ("reals", "bits", "colours", "categories"),
    "vae-conv": ("colours",),
    "iwae-50": ("reals", "bits", "colours", "categories"),
    "sbn-200-200-200": ("bits",),
    "ddpm": ("reals", "bits", "colours"),
    "gan": ("reals", "bits", "colours"),
    "cgan": (),
    "dcgan": ("colours",),
}


@pytest.mark.parametrize("kind", ["reals", "bits", "colours", "categories"])
@pytest.mark.parametrize("name", ENTRIES)
def test_own_data_work_or_say_why_not(name, kind, own):
    settings = TINY[name] | ({"num_components": 2} if name == "ppca" else {})
    if kind in SUITED[name]:
        recipe = recipes.build(name, own[kind], **settings)
        assert recipe.data.train.space == recipe.model.space
        learn(recipe, steps=2)
        assert recipe.model.space.contains(recipe.model.sample(1, seed=0))
    else:
        with pytest.raises(ValueError, match=rf"{name} (needs|is conditional)"):
            recipes.build(name, own[kind], **settings)


def test_the_view_of_images_is_that_of_the_recipe():
    assert recipes.build("made", "digits", hidden=(4,)).data.space.levels == 2
    assert recipes.build("gan", "digits", hidden=(4,)).data.space.levels == 17
    pixels = recipes.data_for(ENTRIES["made"], "digits", "pixels")
    assert recipes.build("made", pixels, hidden=(4,)).data.space.levels == 17


def test_real_data_of_any_scale_are_standardised_for_diffusion():
    x = 5000 + 100 * np.random.default_rng(0).normal(size=(400, 2))
    model = recipes.build("ddpm", datasets.from_array(x), **TINY["ddpm"]).model
    on_path = model.to_path(torch.as_tensor(x).float())
    # 320 training rows: mean within 0.2 and deviation within 20 % but for 1 draw in 10,000
    assert abs(float(on_path.mean())) < 0.2
    assert abs(float(on_path.std()) - 1) < 0.2


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"objective": "wake-sleep"}, 1),
        ({}, 5),
        ({"objective": "vimco"}, 50),
        ({"objective": "wake-sleep", "num_samples": 3}, 3),
    ],
)
def test_the_belief_network_learns_by_each_objective(settings, count):
    recipe = recipes.build("sbn-200-200-200", "digits", hidden=(6, 4), **settings)
    assert recipe.algorithm.objective.num_samples == count
    learn(recipe)


def test_the_rbm_starts_at_the_log_odds_of_the_data():
    recipe = recipes.build("rbm-500", "digits", num_hidden=3)
    mean = recipe.data.materialise("train").mean(0).flatten().clamp(1e-3, 1 - 1e-3)
    assert torch.allclose(recipe.model.visible_bias, mean.logit(), atol=1e-4)


def test_a_seed_gives_the_same_model_and_leaves_the_generator_alone():
    data = recipes.data_for(ENTRIES["made"], "digits")
    state = torch.random.get_rng_state()
    one, two, other = (recipes.build("made", data, seed=s, hidden=(5,)).model for s in (4, 4, 5))
    assert torch.equal(torch.random.get_rng_state(), state)
    a, b, c = (dict(model.named_parameters()) for model in (one, two, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_unknown_names_and_settings_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ppca'"):
        recipes.build("pca")
    with pytest.raises(ValueError, match="did you mean 'hidden'"):
        recipes.build("made", "digits", hiden=(3,))
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        recipes.build("made", "digts")


def test_name_at_data_is_the_recipe_on_other_data():
    recipe = recipes.build("made@digits", hidden=(5,))
    assert (recipe.name, recipe.data.name) == ("made@digits", "digits")
    assert not recipes.find("made@digits").published


def test_published_figures_are_finite_and_sourced():
    for entry in ENTRIES.values():
        assert entry.source
        assert entry.summary
        assert entry.model in registry.CLASSES
        for figure in entry.published.values():
            assert math.isfinite(figure.value)
            assert figure.source
            assert figure.data
            assert " " not in figure.data
        assert all(metric != "fid" or f.features for metric, f in entry.published.items())


def test_a_recipe_is_frozen():
    recipe = recipes.build("ppca", "digits")
    with pytest.raises(AttributeError):
        recipe.seed = 3
    assert replace(recipe, seed=3).seed == 3
