"""What examples keep one draw of is drawn once, when they move to a device."""

import numpy as np
import pytest
import torch

from genus.data import examples as module
from genus.data.examples import Examples
from genus.data.steps import Binarise, Dequantise, Floats
from genus.data.stores import InMemory, Mapped
from genus.spaces import Binary, Categorical, Pixels

CPU = torch.device("cpu")
STORED = torch.randint(
    0, 256, (1203, 1, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
PIXELS = Pixels((1, 5, 4))


def seen(examples, batch_size=100):
    torch.manual_seed(3)
    chosen = {"seed": 5, "epoch": 2, "whole": True}
    return [examples.prepare(batch) for batch in examples.batches(batch_size, **chosen)]


@pytest.mark.parametrize("draw", [0, 3])
@pytest.mark.parametrize(("part", "redraw"), [("train", False), ("test", False), ("test", True)])
def test_what_is_settled_is_what_each_batch_would_have_drawn(part, redraw, draw):
    labels = torch.arange(len(STORED)) % 10
    examples = Examples(
        InMemory(STORED),
        PIXELS,
        steps=(Binarise(256, redraw),),
        part=part,
        labels=labels,
        condition=Categorical((), 10),
        draw=draw,
    )
    settled = examples.to(CPU)
    assert settled.store.x.dtype == torch.uint8
    assert settled.steps == (Floats(),)
    assert settled.space == examples.space == Binary((1, 5, 4))
    for one, other in zip(seen(examples), seen(settled), strict=True):
        assert one.x.dtype == other.x.dtype == torch.float32
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.condition, other.condition)
    assert examples.to(CPU).store.x is settled.store.x
    assert settled.to(CPU).store.x is settled.store.x


def test_steps_that_draw_anew_stay():
    steps = (Binarise(256, redraw=False), Dequantise(2))
    examples = Examples(InMemory(STORED), PIXELS, steps=steps)
    settled = examples.to(CPU)
    assert settled.steps == (Floats(), Dequantise(2))
    assert settled.space == examples.space
    for one, other in zip(seen(examples), seen(settled), strict=True):
        assert torch.equal(one.x, other.x)


@pytest.mark.parametrize(
    ("part", "steps"),
    [
        ("train", (Binarise(256),)),
        ("test", (Dequantise(256),)),
        ("train", (Dequantise(256, redraw=False),)),
        ("train", ()),
    ],
)
def test_others_are_left_as_they_are(part, steps):
    examples = Examples(InMemory(STORED), PIXELS, steps=steps, part=part)
    moved = examples.to(CPU)
    assert moved.steps == steps
    assert moved.store.x is STORED
    for one, other in zip(seen(examples), seen(moved), strict=True):
        assert torch.equal(one.x, other.x)


def test_no_examples_are_none_once_settled():
    empty = Examples(InMemory(STORED[:0]), PIXELS, steps=(Binarise(256, redraw=False),))
    assert empty.to(CPU).num_examples == 0


def test_what_lies_in_files_or_is_too_large_stays_where_it_is(monkeypatch):
    steps = (Binarise(256, redraw=False),)
    mapped = Mapped(STORED.numpy(), lambda rows, _: torch.from_numpy(np.array(rows)))
    assert Examples(mapped, PIXELS, steps=steps).to(CPU).store is mapped
    monkeypatch.setattr(module, "MOST_BYTES", STORED.numel() - 1)
    assert Examples(InMemory(STORED), PIXELS, steps=steps).to(CPU).steps == steps
    monkeypatch.setattr(module, "MOST_BYTES", STORED.numel())
    assert Examples(InMemory(STORED), PIXELS, steps=steps).to(CPU).steps == (Floats(),)
