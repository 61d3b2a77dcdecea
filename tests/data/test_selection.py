"""Some classes of a data set."""

import numpy as np
import pytest
import torch

import genus
from genus.data.selection import of_classes


def rows(data, split):
    return (
        getattr(data.parts, split)
        .store.read(torch.arange(getattr(data, split).num_examples))
        .flatten(1)
    )


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_examples_are_those_of_the_classes_in_their_order(split):
    whole = genus.data.load("digits")
    some = genus.data.load("digits", classes=(7, 2))
    labels = whole.labels(split)
    kept = (labels == 7) | (labels == 2)
    assert torch.equal(rows(some, split), rows(whole, split)[kept])
    assert torch.equal(some.labels(split), (labels[kept] == 2).long())
    assert some.class_names == ("7", "2")
    assert some.conditional().train.condition == genus.Categorical((), 2)


@pytest.mark.parametrize("said", [2, "2", (2,), ["2"]])
def test_a_class_is_said_by_name_or_as_the_number_that_it_spells(said):
    assert genus.data.load("mnist", classes=said).labels("train").bincount().tolist() == [4968]


def test_names_are_joined_by_commas_unless_one_holds_a_comma():
    x, y = np.arange(120, dtype=np.uint8).reshape(60, 2), np.arange(60) % 3
    data = genus.data.from_array(x, y)
    assert of_classes(data, "0, 2").class_names == ("0", "2")
    named = of_classes(data, (0, 1, 2))
    object.__setattr__(named, "class_names", ("red, dark", "red", "dark"))
    assert of_classes(named, "red, dark").class_names == ("red, dark",)


def test_what_is_no_class_is_refused():
    for wrong in (10, "two", (2, 2), (), "2,"):
        with pytest.raises(ValueError, match=r"classes must be different ones of digits.*0, 1, 2"):
            genus.data.load("digits", classes=wrong)
    with pytest.raises(ValueError, match="bars_and_stripes has none; drop classes"):
        genus.data.load("bars_and_stripes", classes=1)


def test_a_part_without_the_class_is_named():
    x = np.arange(60, dtype=np.uint8).reshape(30, 2)
    data = genus.data.from_array(x, [5] + [0] * 29)
    with pytest.raises(ValueError, match="part of array holds no example of 5"):
        of_classes(data, 5)


def test_a_known_truth_is_that_of_all_classes():
    toy = genus.data.load("gaussians_25")
    assert toy.truth is not None
    if toy.class_names:
        assert of_classes(toy, toy.class_names[0]).truth is None
