"""A compiled step draws what it draws uncompiled, and ends where it ends but for rounding."""

import pytest
import torch
from torch._dynamo.utils import counters

from genus.engine import Budget, Callback, Descend, Optimiser, Tensors, run
from genus.models import RBM, DeepBeliefNetwork, DeepBoltzmannMachine
from genus.objectives import (
    ContrastiveDivergence,
    FastPersistentContrastiveDivergence,
    PersistentContrastiveDivergence,
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
        rbm, descend(FastPersistentContrastiveDivergence), "bf16", 1, id="fast", marks=SLOW
    ),
    pytest.param(
        rbm, descend(TemperedContrastiveDivergence), "float32", 1, id="tempered", marks=SLOW
    ),
    pytest.param(deep(DeepBoltzmannMachine), own, "bf16", 2, id="greedy dbm", marks=SLOW),
    pytest.param(lambda: rbm(Real((12,))), own, "float32", 1, id="gaussian", marks=SLOW),
    pytest.param(lambda: rbm(Categorical((6,), 3)), own, "bf16", 1, id="potts", marks=SLOW),
]


@pytest.mark.parametrize(("make", "algorithm", "precision", "num_graphs"), CASES)
def test_compiled_steps_end_where_others_do(make, algorithm, precision, num_graphs):
    plain = learn(make, algorithm, precision=precision)
    counters.clear()
    fused = learn(make, algorithm, precision=precision, compiled=True)
    assert counters["stats"]["unique_graphs"] == num_graphs
    assert not counters["graph_break"]
    for name, parameter in plain.items():
        torch.testing.assert_close(fused[name], parameter, rtol=0.0, atol=2e-6)
    moved = learn(make, algorithm, precision=precision, steps=1)
    assert any((plain[name] - moved[name]).abs().max() > 1e-3 for name in plain)


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
