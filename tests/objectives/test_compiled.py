"""A compiled step draws what it draws uncompiled, and ends where it ends but for rounding."""

import copy
import os
import pickle
import subprocess
import sys
from collections import Counter

import pytest
import torch
from torch._dynamo.utils import counters

from genus.engine import Batch, Budget, Callback, Descend, NotFiniteError, Optimiser, Tensors, run
from genus.engine.compiled import fused
from genus.engine.moves import Move
from genus.inference.gibbs import bernoulli
from genus.kernels import BinaryContrast, build
from genus.models import RBM, BoltzmannMachine, DeepBeliefNetwork, DeepBoltzmannMachine
from genus.models.boltzmann.layer import BinaryLayer
from genus.models.boltzmann.units import Bernoulli
from genus.objectives import (
    ContrastiveDivergence,
    DoubledContrast,
    FastPersistentContrastiveDivergence,
    LayerContrast,
    PersistentContrastiveDivergence,
    PersistentGibbs,
    PersistentLayers,
    Sparsity,
    TemperedContrastiveDivergence,
)
from genus.spaces import Binary, Categorical, Real

BITS = Binary((12,))


def descend(objective, **settings):
    optimiser = Optimiser("sgd", 0.1, (0.5, 0.0), weight_decay=0.01, **settings)
    return lambda model: Descend(objective(), optimiser, batch_size=20)


def rbm(space=BITS):
    return RBM(space, 8)


def deep(kind):
    return lambda: kind(BITS, (8, 5))


def own(model):
    return model.algorithm()


def sparse():
    return ContrastiveDivergence(1, sparsity=Sparsity(0.1, 0.1))


def learn(make, algorithm, *, steps=12, **settings):
    torch.manual_seed(0)
    model = make()
    generator = torch.Generator().manual_seed(1)
    x = torch.stack([model.space.random(1)[0] for _ in range(200)])
    x[:100] = x[torch.randint(0, 2, (100,), generator=generator)]
    source = Tensors(x, model.space)
    run(model, source, algorithm(model), budget=Budget(steps=steps), device="cpu", **settings)
    return {name: p.detach().clone() for name, p in model.named_parameters()}


SLOW = pytest.mark.slow
CASES = [
    pytest.param(rbm, descend(lambda: ContrastiveDivergence(2)), "bf16", 1, id="cd"),
    pytest.param(
        rbm, descend(PersistentContrastiveDivergence, schedule="cosine"), "float32", 1, id="pcd"
    ),
    pytest.param(
        deep(DeepBoltzmannMachine), descend(lambda: PersistentLayers(2)), "bf16", 1, id="dbm"
    ),
    pytest.param(deep(DeepBeliefNetwork), own, "float32", 2, id="dbn"),
    pytest.param(rbm, descend(sparse, max_norm=2.0), "float32", 1, id="sparse", marks=SLOW),
    pytest.param(
        rbm, descend(PersistentContrastiveDivergence, clip=0.2), "float32", 1, id="clip", marks=SLOW
    ),
    pytest.param(
        rbm, descend(FastPersistentContrastiveDivergence), "bf16", 1, id="fast", marks=SLOW
    ),
    pytest.param(
        rbm, descend(TemperedContrastiveDivergence), "float32", 1, id="tempered", marks=SLOW
    ),
    pytest.param(deep(DeepBoltzmannMachine), own, "bf16", 2, id="greedy dbm", marks=SLOW),
    pytest.param(lambda: rbm(Real((12,))), own, "float32", 1, id="gaussian", marks=SLOW),
    pytest.param(lambda: rbm(Categorical((6,), 3)), own, "bf16", 1, id="potts", marks=SLOW),
]


@pytest.fixture
def no_kernels(monkeypatch):
    """As where there are none: torch.compile takes every step."""
    monkeypatch.setattr(BinaryContrast, "serves", lambda bf16: False)


@pytest.mark.parametrize(("make", "algorithm", "precision", "num_graphs"), CASES)
def test_compiled_steps_end_where_others_do(make, algorithm, precision, num_graphs, no_kernels):
    plain = learn(make, algorithm, precision=precision)
    counters.clear()
    found = learn(make, algorithm, precision=precision, compiled=True)
    assert counters["stats"]["unique_graphs"] == num_graphs
    assert not counters["graph_break"]
    for name, parameter in plain.items():
        torch.testing.assert_close(found[name], parameter, rtol=0.0, atol=2e-6)
    moved = learn(make, algorithm, precision=precision, steps=1)
    assert any((plain[name] - moved[name]).abs().max() > 1e-3 for name in plain)


def uncentred():
    return PersistentContrastiveDivergence(num_chains=10, centred=False)


class OwnChains(ContrastiveDivergence):
    """One that somebody has changed."""


@pytest.mark.skipif(not build.suits(), reason="the kernels are for Linux on x86")
@pytest.mark.parametrize(
    ("make", "algorithm", "num_graphs"),
    [
        pytest.param(rbm, descend(lambda: ContrastiveDivergence(2)), 0, id="cd"),
        pytest.param(rbm, descend(uncentred, schedule="cosine"), 0, id="pcd"),
        pytest.param(deep(DeepBeliefNetwork), own, 0, id="dbn"),
        pytest.param(rbm, descend(sparse), 1, id="sparse"),
        pytest.param(rbm, descend(lambda: OwnChains(1)), 1, id="another class"),
    ],
)
def test_kernels_end_where_others_do_and_need_no_graph(make, algorithm, num_graphs):
    plain = learn(make, algorithm)
    counters.clear()
    found = learn(make, algorithm, compiled=True)
    assert counters["stats"]["unique_graphs"] == num_graphs
    for name, parameter in plain.items():
        torch.testing.assert_close(found[name], parameter, rtol=0.0, atol=2e-6)


class Cold(PersistentContrastiveDivergence):
    """One that somebody has changed."""


class Stubborn(Bernoulli):
    """Units that somebody has changed."""


def stubborn():
    model = rbm()
    model.visible_units = Stubborn()
    return model


def frozen():
    model = rbm()
    model.hidden_bias.requires_grad_(False)
    return model


NEVER = [
    pytest.param(rbm, descend(sparse), "float32", id="sparse"),
    pytest.param(rbm, descend(lambda: Cold(1, 10)), "float32", id="a class of PCD"),
    pytest.param(stubborn, descend(lambda: ContrastiveDivergence(1)), "float32", id="units"),
    pytest.param(frozen, descend(lambda: ContrastiveDivergence(1)), "float32", id="frozen"),
    pytest.param(
        lambda: rbm(Categorical((6,), 2)),
        descend(lambda: ContrastiveDivergence(1)),
        "float32",
        id="potts",
    ),
    pytest.param(
        lambda: rbm().double(), descend(lambda: ContrastiveDivergence(1)), "float32", id="double"
    ),
]


@pytest.mark.parametrize(("make", "algorithm", "precision"), NEVER)
def test_the_kernel_is_not_called_for_what_it_does_not_know(
    make, algorithm, precision, monkeypatch
):
    taken = []
    step = BinaryContrast.step

    def watched(self, *args, **settings):
        taken.append(step(self, *args, **settings))
        return taken[-1]

    monkeypatch.setattr(BinaryContrast, "step", watched)
    monkeypatch.setattr("genus.engine.graphs.fused", lambda function: function)
    learn(make, algorithm, precision=precision, compiled=True)
    assert not any(taken)
    learn(rbm, descend(lambda: ContrastiveDivergence(1)), compiled=True)
    assert len(taken) >= 11
    assert all(taken[-11:])


@pytest.mark.parametrize("change", ["labels", "uncentred"])
def test_layers_with_labels_or_no_centre_are_not_for_the_kernel(change, monkeypatch):
    monkeypatch.setattr(BinaryContrast, "step", lambda *args, **settings: pytest.fail("called"))
    layer = BinaryLayer(12, 8, num_labels=3 if change == "labels" else 0)
    objective = LayerContrast(1, centred=change == "labels")
    objective.start(layer, 20)
    labels = torch.zeros(20, dtype=torch.int64) if change == "labels" else None
    how = [Move(p, None, 0.0, 0.0) for p in layer.parameters()]
    assert objective.whole_step(layer, Batch(torch.ones(20, 12), labels), how, 0.1) is None


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_kernel_is_that_of_the_precision(precision):
    algorithm = descend(lambda: ContrastiveDivergence(1))(None)
    learn(rbm, lambda model: algorithm, precision=precision, compiled=True)
    assert list(algorithm.objective._kernels._kept) == [precision == "bf16"]


def test_objectives_with_kernels_can_be_copied():
    algorithm = descend(lambda: ContrastiveDivergence(1))(None)
    learn(rbm, lambda model: algorithm, compiled=True)
    again = copy.deepcopy(algorithm.objective)
    assert again._kernels._kept == {}
    assert pickle.loads(pickle.dumps(algorithm.objective)).k == 1


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_a_kernel_whose_step_diverges_ends_the_run(value):
    class Storm(Callback):
        @torch.no_grad()
        def after_step(self, run, info):
            if run.progress.step == 3:
                run.model.weights.fill_(value)

    with pytest.raises(NotFiniteError):
        learn(rbm, descend(lambda: ContrastiveDivergence(1)), compiled=True, callbacks=[Storm()])


def test_a_compiled_run_that_is_resumed_equals_one_that_was_not(tmp_path):
    path = tmp_path / "training.safetensors"

    class Save(Callback):
        def after_step(self, run, info):
            if run.progress.step == 5:
                run.save(path)

    algorithm = descend(PersistentContrastiveDivergence)
    whole = learn(rbm, algorithm, compiled=True, callbacks=[Save()])
    resumed = learn(rbm, algorithm, compiled=True, resume=path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("number", [1, 63, 40_001])
def test_compiled_draws_are_those_of_others(number):
    p = torch.linspace(0.0, 1.0, number)
    drawn = []
    for draw in (bernoulli, fused(bernoulli)):
        torch.manual_seed(number)
        drawn.append(draw(p))
    assert torch.equal(*drawn)
    assert number < 40 or 0.4 < drawn[0].mean() < 0.6


@pytest.mark.parametrize("by", ["graphs", "kernels"])
def test_one_algorithm_serves_machines_and_settings_in_turn(by, request):
    """Each with a graph of its own, though no call looks at global names."""
    if by == "graphs":
        request.getfixturevalue("no_kernels")
    algorithm = descend(lambda: ContrastiveDivergence(1))(None)

    def narrow():
        return RBM(BITS, 6)

    for make, k, precision in ((rbm, 1, "bf16"), (rbm, 2, "bf16"), (narrow, 2, "float32")):
        algorithm.objective.k = k
        near = 2e-3 if by == "kernels" and precision == "bf16" else 2e-6  # sums in float32
        plain = learn(make, descend(lambda k=k: ContrastiveDivergence(k)), precision=precision)
        found = learn(make, lambda model: algorithm, precision=precision, compiled=True)
        for name, parameter in plain.items():
            torch.testing.assert_close(found[name], parameter, rtol=0.0, atol=near)


def test_an_algorithm_that_was_compiled_is_not_where_nobody_asks():
    algorithm = descend(lambda: ContrastiveDivergence(1))(None)
    learn(rbm, lambda model: algorithm, steps=2, compiled=True)
    found = learn(rbm, lambda model: algorithm)
    assert algorithm._graphs is None
    plain = learn(rbm, descend(lambda: ContrastiveDivergence(1)))
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("kind", [DeepBeliefNetwork, DeepBoltzmannMachine])
def test_every_step_but_the_first_of_a_layer_moves_within_its_graph(kind, monkeypatch, no_kernels):
    called = Counter()

    def counted(function):
        def call(*args):
            called[function.__name__] += 1
            return function(*args)

        return call

    monkeypatch.setattr("genus.engine.graphs.fused", counted)
    algorithm = deep(kind)().algorithm()
    learn(deep(kind), lambda model: algorithm, compiled=True)
    num_stages = algorithm.number + 1
    assert num_stages > 1
    assert called == {"moved": 12 - num_stages}


@pytest.mark.parametrize(
    "broken", ["exit 1", 'case "$*" in *--version*) echo 1;; *) exit 1;; esac']
)
def test_a_compiler_that_fails_is_one_line(broken, tmp_path):
    command = tmp_path / "broken"
    command.write_text(f"#!/bin/sh\n{broken}\n")
    command.chmod(0o755)
    cache, out = tmp_path / "cache", tmp_path / "run"
    given = {
        **os.environ,
        "CXX": str(command),
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "XDG_CACHE_HOME": str(cache),
    }
    line = ["train", "rbm-500", "--data", "digits", "--compiled", "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, "-m", "genus", *line, "--budget", "5steps"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    (said,) = [row for row in ended.stderr.splitlines() if "error" in row]
    assert "a step could not be compiled" in said
    assert str(command) in said
    assert len(said) < 500
    assert not out.exists()


def test_units_joined_at_will_are_refused():
    with pytest.raises(ValueError, match="PersistentGibbs takes its steps as they are written"):
        learn(lambda: BoltzmannMachine(BITS), descend(PersistentGibbs), compiled=True)


def test_states_of_before_are_taken_up():
    """Numbers of batches were plain ones."""
    for make, objective in (
        (deep(DeepBoltzmannMachine), PersistentLayers()),
        (deep(DeepBoltzmannMachine), DoubledContrast(1)),
        (lambda: BoltzmannMachine(BITS), PersistentGibbs()),
    ):
        objective.start(make(), 20)
        objective.load_state_dict({**objective.state_dict(), "num_seen": 3})
        assert torch.equal(objective.num_seen, torch.tensor(3))
