"""What cannot be compiled is refused before anything begins."""

import os

import pytest
import torch
from toys import ALGORITHMS, data, denoise

from genus.engine import Budget, Descend, Known, Stage, Stages, Traceable, distributed, run


class Half(Traceable):
    """Half the square of every parameter."""

    def known(self, model, batch):
        loss = sum(p.detach().square().sum() for p in model.parameters()) / 2
        return Known({"loss": loss}, [(p, p.detach().clone()) for p in model.parameters()])


def begin(algorithm, name="descend"):
    model = ALGORITHMS[name][0]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="leave compiled steps"):
        run(model, data(), algorithm, budget=Budget(steps=3), device="cpu", compiled=True)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["maximise", "alternate"])
def test_algorithms_without_compiled_steps_are_refused(name):
    begin(ALGORITHMS[name][1](), name)


def test_an_objective_that_does_not_know_its_gradient_is_refused():
    begin(Descend(denoise))


def test_stages_of_which_none_compiles_are_refused():
    begin(Stages([Stage(lambda model: model, Descend(denoise)) for _ in range(2)]))


def test_batches_in_parts_are_refused():
    begin(Descend(Half(), batch_size=8, accumulation=2))


def test_a_machine_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setitem(os.environ, "CXX", "no-such-compiler")
    begin(Descend(Half(), batch_size=8))


def test_an_empty_name_of_a_compiler_is_none(monkeypatch):
    monkeypatch.setitem(os.environ, "CXX", "")
    monkeypatch.setitem(os.environ, "PATH", "/nowhere")
    begin(Descend(Half(), batch_size=8))


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 2)
    begin(Descend(Half(), batch_size=8))
