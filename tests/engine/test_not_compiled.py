"""What cannot be compiled is refused before anything begins."""

import os

import pytest
import torch
from toys import ALGORITHMS, data, denoise

from genus.engine import Budget, Descend, Known, KnowsGradient, distributed, run


class Half(KnowsGradient):
    """Half the square of every parameter."""

    def known(self, model, batch):
        loss = sum(p.detach().square().sum() for p in model.parameters()) / 2
        return Known({"loss": loss}, [(p, p.detach().clone()) for p in model.parameters()])


def begin(algorithm, name="descend"):
    model = ALGORITHMS[name][0]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="leave compiled"):
        run(model, data(), algorithm, budget=Budget(steps=3), device="cpu", compiled=True)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["maximise", "alternate"])
def test_algorithms_without_compiled_steps_are_refused(name):
    begin(ALGORITHMS[name][1](), name)


def test_an_objective_that_does_not_know_its_gradient_is_refused():
    begin(Descend(denoise))


def test_batches_in_parts_are_refused():
    begin(Descend(Half(), batch_size=8, accumulation=2))


def test_a_machine_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setitem(os.environ, "CXX", "no-such-compiler")
    begin(Descend(Half(), batch_size=8))


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 2)
    begin(Descend(Half(), batch_size=8))
