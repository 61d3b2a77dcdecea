"""Budgets, progress, callbacks, seeds and batches."""

import itertools
import time

import pytest
import torch
from torch import nn
from toys import Gaussian, Moments, Net, bits, data, denoise, likelihood, plain

from genus import Budget, Categorical, Real
from genus.engine import Callback, Descend, Maximise, Optimiser, Progress, Tensors, run
from genus.engine.callbacks import Bar, Checkpoints, Every, History, Log
from genus.engine.seeding import address, seeded


def learn(budget, callbacks=(), algorithm=None, source=None, model=None, seed=0):
    model = model or Net()
    algorithm = algorithm or Descend(plain, batch_size=8)
    return run(
        model,
        source or data(),
        algorithm,
        budget=budget,
        callbacks=callbacks,
        device="cpu",
        seed=seed,
    )


class Watch(Callback):
    def __init__(self, function, every=1):
        self.function, self.every = function, every

    def after_step(self, run, info):
        self.function(run, info)


def test_budget_in_steps_and_epochs():
    progress = learn(Budget(steps=13))
    assert (progress.step, progress.epoch, progress.step_in_epoch) == (13, 2, 1)
    assert progress.examples == 13 * 8
    progress = learn(Budget(epochs=3))  # 50 examples: 6 batches of 8, the rest is dropped
    assert (progress.step, progress.epoch, progress.step_in_epoch) == (18, 3, 0)
    assert learn(Budget(epochs=0.5)).step == 3
    assert learn(Budget(epochs=0.001)).step == 1
    assert learn(Budget(epochs=2, steps=5)).step == 5
    assert learn(Budget(epochs=2, steps=50)).step == 12
    assert learn(None, algorithm=Descend(plain, batch_size=8, budget=Budget(steps=4))).step == 4


def test_budget_in_seconds_does_not_count_callbacks():
    started = time.perf_counter()
    slow = Watch(lambda run, info: time.sleep(0.2) if run.progress.step <= 3 else None)
    progress = learn(Budget(seconds=0.3), [slow])
    passed = time.perf_counter() - started
    assert 0.3 <= progress.seconds < 0.5
    assert passed >= 0.3 + 0.6
    assert progress.step > 20


def test_seconds_count_the_step_and_the_transform():
    def slowly(x):
        time.sleep(0.02)
        return x

    x = data().x
    progress = learn(Budget(steps=5), source=Tensors(x, Real((5,)), transform=slowly))
    assert progress.seconds >= 0.1


@pytest.mark.parametrize(
    "limits", [{}, {"steps": 0}, {"epochs": -1}, {"seconds": 0.0}, {"seconds": float("nan")}]
)
def test_impossible_budgets(limits):
    with pytest.raises(ValueError, match="budget"):
        Budget(**limits)


def test_fraction_runs_from_nought_to_one():
    fractions = []
    algorithm = Descend(plain, batch_size=8)
    step = algorithm.step

    def watched(batch, progress):
        fractions.append(progress.fraction)
        return step(batch, progress)

    algorithm.step = watched
    progress = learn(Budget(steps=10), algorithm=algorithm)
    assert fractions == pytest.approx([i / 10 for i in range(10)])
    assert progress.fraction == 1.0
    assert progress.spent
    assert Progress(step=5, seconds=3.0, total_steps=10, total_seconds=4.0).fraction == 0.75
    assert Progress(step=5, seconds=3.0, total_steps=10).seconds_left == pytest.approx(3.0)
    assert Progress(total_seconds=4.0).seconds_left == 4.0
    assert Progress().fraction == 0.0
    assert Progress().seconds_left is None


def test_each_example_once_an_epoch_in_an_order_of_its_own():
    source = Tensors(torch.arange(23.0)[:, None], Real((1,)))

    def order(epoch, seed=0, **options):
        rows = [b.x[:, 0] for b in source.batches(5, seed=seed, epoch=epoch, **options)]
        return torch.cat(rows).tolist()

    whole = order(0, whole=True)
    assert sorted(whole) == list(range(23))
    assert whole != sorted(whole)
    assert order(0) == whole[:20]
    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != order(0, seed=1)
    assert order(0, whole=True, skip=2) == whole[10:]
    assert source.batches_per_epoch(5) == 4
    assert source.batches_per_epoch(5, whole=True) == 5
    assert len(list(source.batches(5, seed=0, epoch=0, whole=True))) == 5
    assert source.batches_per_epoch(100) == 1
    in_order = [b.x[:, 0].tolist() for b in source.in_order(10)]
    assert list(itertools.chain(*in_order)) == list(range(23))
    assert [len(rows) for rows in in_order] == [10, 10, 3]


def test_shares_of_processes_make_up_the_batch():
    source = Tensors(torch.arange(24.0)[:, None], Real((1,)))
    whole = list(source.batches(8, seed=1, epoch=2))
    parts = [list(source.batches(8, seed=1, epoch=2, rank=r, world=2)) for r in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert len(first.x) == len(second.x) == 4
        assert sorted(torch.cat([first.x, second.x])[:, 0].tolist()) == sorted(batch.x[:, 0])
    with pytest.raises(ValueError, match="evenly"):
        source.batches(7, seed=1, epoch=0, world=2)


def test_labels_travel_with_their_examples():
    x = torch.arange(12.0)[:, None]
    labels = (torch.arange(12) * 7) % 5
    source = Tensors(x, Real((1,)), condition=labels, condition_space=Categorical((), 5))
    for batch in source.to(torch.device("cpu")).batches(5, seed=0, epoch=0, whole=True):
        assert torch.equal(batch.condition, labels[batch.x[:, 0].long()])


def test_sources_refuse_what_does_not_fit():
    x = torch.zeros(3, 1)
    with pytest.raises(ValueError, match="no examples"):
        Tensors(torch.zeros(0, 1), Real((1,)))
    with pytest.raises(ValueError, match="go together"):
        Tensors(x, Real((1,)), condition=torch.zeros(3))
    with pytest.raises(ValueError, match="3 examples but 2"):
        Tensors(x, Real((1,)), condition=torch.zeros(2), condition_space=Real(()))


def test_the_transform_draws_anew_each_step_and_the_same_in_each_run():
    source = bits()
    source.transform = torch.bernoulli
    source = Tensors(torch.full((50, 5), 0.5), source.space, transform=torch.bernoulli)

    def seen(seed):
        drawn = []
        algorithm = Descend(plain, batch_size=50)
        step = algorithm.step
        algorithm.step = lambda batch, progress: (drawn.append(batch.x), step(batch, progress))[1]
        learn(Budget(steps=3), algorithm=algorithm, source=source, seed=seed)
        return drawn

    first, again, other = seen(0), seen(0), seen(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_draws_of_a_step_do_not_depend_on_what_callbacks_draw():
    results = []
    for draws in (0, 7):
        model = Net()
        meddle = Watch(lambda run, info, draws=draws: torch.rand(draws))
        learn(Budget(steps=6), [meddle], Descend(denoise, batch_size=8), model=model)
        results.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*results)


def test_addresses_are_distinct_and_stable():
    places = [(s, k, i) for s in range(5) for k in ("step", "epoch") for i in range(200)]
    seeds = {address(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert address(1, "step", 2) == address(1, "step", 2)
    assert address(1, "step", 23) != address(12, "step", 3)
    # neighbouring seeds give unrelated draws: correlation 0 ± 1/√n, 5 σ is 1 in 1.7 million
    draws = []
    for i in range(2):
        with seeded(address(0, "step", i), torch.device("cpu")):
            draws.append(torch.randn(10000))
    assert abs(float((draws[0] * draws[1]).mean())) < 0.05


def test_seeded_leaves_the_global_generator():
    before = torch.get_rng_state()
    with seeded(3, torch.device("cpu")):
        first = torch.rand(4)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(RuntimeError), seeded(3, torch.device("cpu")):
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())
    with seeded(None, torch.device("cpu")):
        assert not torch.equal(first, torch.rand(4))
    assert not torch.equal(before, torch.get_rng_state())


def test_callbacks_are_called_in_order_and_on_time(tmp_path):
    calls = []

    class Diary(Callback):
        every = 4

        def start(self, run):
            calls.append(("start", run.progress.step, run.model.training))

        def after_step(self, run, info):
            assert not info["loss"].requires_grad
            calls.append(("step", run.progress.step, run.model.training))

        def after_epoch(self, run, info):
            calls.append(("epoch", run.progress.epoch, run.model.training))

        def stop(self, run):
            calls.append(("stop", run.progress.step, run.model.training))

        def end(self, run):
            calls.append(("end", run.progress.step, run.model.training))

    learn(Budget(steps=13), [Diary()])
    assert calls == [
        ("start", 0, True),
        ("step", 4, True),
        ("epoch", 1, True),
        ("step", 8, True),
        ("step", 12, True),
        ("epoch", 2, True),
        ("stop", 13, True),
        ("end", 13, False),
    ]


def test_the_last_epoch_is_closed_where_the_budget_ends_with_it():
    algorithm = Maximise(Moments(), epochs=3, batch_size=8, tolerance=-1)
    history = History()
    progress = learn(None, [history], algorithm, model=Gaussian())
    assert progress.epoch == 3
    assert sum("log_likelihood" in row for row in history.rows) == 3


def test_history_log_and_every(tmp_path):
    history, called = History(every=3), []
    log = Log(tmp_path / "log.jsonl", every=5)
    every = Every(0.0, lambda run: called.append(run.progress.step))
    learn(Budget(steps=24), [history, log, every])
    assert [row["step"] for row in history.rows] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert [row["examples"] for row in history.rows] == [24 * i for i in range(1, 9)]
    assert len(log.path.read_text().splitlines()) == 4
    assert called == [10, 20, 24]


def test_checkpoints_are_written_when_due(tmp_path):
    saved = []

    def beside(run):
        saved.append(run.progress.step)

    callback = Checkpoints(tmp_path / "a.safetensors", steps=7, beside=beside)
    learn(Budget(steps=20), [callback])
    assert saved == [7, 14, 20]
    saved.clear()
    callback = Checkpoints(tmp_path / "b.safetensors", seconds=0.0, beside=beside)
    learn(Budget(steps=3), [callback])
    assert saved == [1, 2, 3, 3]


def test_the_first_checkpoint_comes_with_the_first_check(tmp_path):
    saved = []

    def beside(run):
        saved.append(run.progress.step)

    callback = Checkpoints(tmp_path / "a.safetensors", seconds=1e9, beside=beside)
    learn(Budget(steps=60), [callback])
    assert saved == [50, 60]
    saved.clear()
    learn(Budget(steps=60), [callback])
    assert saved == [60]


def test_the_bar_shows_and_goes(capsys):
    from rich.console import Console

    console = Console(force_terminal=True, width=80)
    learn(Budget(steps=30), [Bar("learning", console)])
    assert "learning" in capsys.readouterr().out


def test_run_leaves_the_global_generator_and_restores_nothing_else():
    before = torch.get_rng_state()
    learn(Budget(steps=3))
    assert torch.equal(before, torch.get_rng_state())


def test_bf16_keeps_parameters_and_losses_in_float32():
    model, losses = Gaussian(), []
    model.mean.data.normal_()
    watch = Watch(lambda run, info: losses.append(info["loss"]))
    run(
        model,
        data(),
        Descend(likelihood, Optimiser(), batch_size=8),
        budget=Budget(steps=2),
        callbacks=[watch],
        device="cpu",
        precision="bf16",
    )
    assert losses[0].dtype == model.mean.dtype == torch.float32
    seen = []

    def objective(model, batch):
        product = model.first(batch.x)
        seen.append(product.dtype)
        return {"loss": product.float().square().mean()}

    run(
        Net(),
        data(),
        Descend(objective, batch_size=8),
        budget=Budget(steps=1),
        device="cpu",
        precision="bf16",
    )
    assert seen == [torch.bfloat16]


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="not available"):
        run(nn.Linear(1, 1), data(), Descend(plain), device="nonsense")
