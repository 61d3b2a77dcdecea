"""Each algorithm against a loop written out by hand, and its parts against their formulas."""

import math

import pytest
import torch
from torch import nn
from toys import (
    Chains,
    Gaussian,
    KnownLikelihood,
    Moments,
    Net,
    critic,
    data,
    denoise,
    game,
    likelihood,
    plain,
)

from genus import Budget
from genus.engine import (
    EMA,
    Alternate,
    Batch,
    Callback,
    Descend,
    Maximise,
    Optimiser,
    Player,
    Progress,
    Stage,
    Stages,
    run,
)
from genus.engine.optimisers import schedule_factor


def learn(model, algorithm, steps, source=None, callbacks=(), epochs=None):
    budget = Budget(steps=steps, epochs=epochs) if steps or epochs else None
    return run(model, source or data(), algorithm, budget=budget, device="cpu", callbacks=callbacks)


def raw_batches(count, size=8):
    batches, epoch = [], 0
    while len(batches) < count:
        batches += data().batches(size, seed=0, epoch=epoch)
        epoch += 1
    return batches[:count]


def vector(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_slopes_that_are_known_move_a_model_as_autograd_does(name, accumulation):
    settings = Optimiser(name, 0.03, betas=(0.8, 0.95), schedule="cosine", clip=2.0)
    model, twin = Gaussian(), Gaussian()
    learn(twin, Descend(likelihood, settings, batch_size=8), 15)
    known = Descend(KnownLikelihood(), settings, batch_size=8, accumulation=accumulation)
    learn(model, known, 15)
    assert torch.allclose(vector(model), vector(twin), atol=1e-5)
    assert float(vector(twin).abs().max()) > 0.1
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("objective", [likelihood, KnownLikelihood()])
def test_frozen_parameters_stay_and_keep_no_gradient(objective):
    model = Gaussian()
    model.mean.requires_grad_(False)
    learn(model, Descend(objective, Optimiser("sgd", 0.1), batch_size=8), 3)
    assert not model.mean.any()
    assert model.log_variance.any()
    assert model.mean.grad is None


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_descend_equals_a_loop_by_hand(name):
    settings = Optimiser(
        name, 0.03, betas=(0.8, 0.95), weight_decay=0.1, schedule="cosine", clip=0.3
    )
    model, twin = Net(), Net()
    learn(model, Descend(plain, settings, batch_size=8), 15)
    groups = [
        {"params": [p for p in twin.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in twin.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    if name == "adam":
        by_hand = torch.optim.AdamW(groups, 0.03, (0.8, 0.95))
    else:
        by_hand = torch.optim.SGD(groups, 0.03, momentum=0.8)
    for step, batch in enumerate(raw_batches(15)):
        for group in by_hand.param_groups:
            group["lr"] = 0.03 * 0.5 * (1 + math.cos(math.pi * step / 15))
        by_hand.zero_grad()
        plain(twin, batch)["loss"].backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in twin.parameters() if p.grad is not None))
        for p in twin.parameters():
            if p.grad is not None:
                p.grad *= min(1.0, 0.3 / float(norm))
        by_hand.step()
    assert torch.allclose(vector(model), vector(twin), atol=1e-5)
    assert not torch.allclose(vector(model), vector(Net()), atol=1e-2)


def test_clipping_bounds_the_step():
    for clip, moved in ((1e-3, 1e-3), (None, None)):
        model, before = Net(), vector(Net())
        settings = Optimiser("sgd", 1.0, betas=(0.0, 0.0), clip=clip)
        learn(model, Descend(plain, settings, batch_size=8), 1)
        distance = float((vector(model) - before).norm())
        assert distance == pytest.approx(moved, rel=1e-3) if clip else distance > 0.01


@pytest.mark.parametrize("over", [0, 1])
def test_weights_stay_within_their_norm(over):
    model, before = Net(), Net()
    settings = Optimiser("sgd", 1e-9, max_norm=0.4, norm_over=over)
    learn(model, Descend(plain, settings, batch_size=8), 1)
    for name, weights in before.named_parameters():
        found = dict(model.named_parameters())[name]
        if weights.ndim == 2:
            norms = weights.detach().norm(dim=over, keepdim=True)
            assert (norms > 0.4).any(), name
            weights = weights * (0.4 / norms).clamp(max=1.0)
        assert torch.allclose(found, weights, atol=1e-6), name


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_accumulation_gives_the_gradient_of_the_whole_batch(parts):
    models, reports = [], []
    for accumulation in (1, parts):
        model = Net()
        algorithm = Descend(plain, Optimiser("sgd", 0.1), batch_size=8, accumulation=accumulation)
        algorithm.start(model)
        reports.append(algorithm.step(next(iter(raw_batches(1))), Progress(total_steps=1)))
        models.append(vector(model))
    assert torch.allclose(*models, atol=1e-6)
    assert torch.allclose(reports[0]["loss"], reports[1]["loss"], atol=1e-6)


def test_accumulation_keeps_conditions_with_their_examples():
    seen = []

    def objective(model, batch):
        seen.append((batch.x[:, 0].tolist(), batch.condition.tolist()))
        return {"loss": model.first(batch.x).mean()}

    algorithm = Descend(objective, batch_size=8, accumulation=3)
    algorithm.start(Net())
    x = torch.arange(8.0)[:, None].expand(8, 5).clone()
    algorithm.step(Batch(x, torch.arange(8)), Progress(total_steps=1))
    assert len(seen) == 3
    assert all(rows == condition for rows, condition in seen)
    assert sorted(row for rows, _ in seen for row in rows) == list(range(8))


def test_schedules():
    fractions = [0.0, 0.05, 0.1, 0.5, 1.0]
    values = {
        "constant": [1, 1, 1, 1, 1],
        "linear": [1, 0.95, 0.9, 0.5, 0],
        "cosine": [0.5 * (1 + math.cos(math.pi * f)) for f in fractions],
        "one-cycle": [0.05, 0.525, 1, 0.5 * (1 + math.cos(math.pi * 0.4 / 0.9)), 0],
    }
    for name, expected in values.items():
        found = [schedule_factor(name, f) for f in fractions]
        assert found == pytest.approx(expected, abs=1e-12), name
    with pytest.raises(ValueError, match="schedule"):
        schedule_factor("square", 0.5)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 0}, {"clip": -1.0}, {"max_norm": 0.0}, {"weight_decay": -0.1}]
)
def test_impossible_optimisers(settings):
    with pytest.raises(ValueError, match="must be"):
        Optimiser(**settings)


def test_ema_formula():
    decay, model = 0.7, nn.Linear(3, 2)
    average = EMA(model, decay)
    expected = model.weight.detach().clone()
    for t in range(30):
        with torch.no_grad():
            model.weight.normal_()
        average.update()
        beta = min(decay, (1 + t) / (10 + t))
        expected = beta * expected + (1 - beta) * model.weight.detach()
    assert torch.allclose(average.average["weight"], expected, atol=1e-6)
    last = model.weight.detach().clone()
    again = EMA(nn.Linear(3, 2), decay)
    again.load_state_dict(average.state_dict())
    assert again.num_updates == 30
    assert torch.equal(again.average["weight"], average.average["weight"])
    average.copy_to_module()
    assert torch.allclose(model.weight, expected, atol=1e-6)
    assert not torch.allclose(model.weight, last)
    with pytest.raises(ValueError, match="decay"):
        EMA(model, 1.0)


def test_ema_is_what_the_model_answers_with():
    answers = []

    class Watch(Callback):
        def after_step(self, run, info):
            answers.append({k: v.clone() for k, v in run.algorithm.answers().items()})

    for algorithm in (
        Descend(denoise, Optimiser("adam", 0.05), batch_size=8, ema=0.95),
        game(ema=0.95),
    ):
        model = Net()
        learn(model, algorithm, 12, callbacks=[Watch()])
        state = model.state_dict()
        assert answers
        assert all(torch.equal(state[name], value) for name, value in answers[-1].items())
        plain_model = Net()
        algorithm.ema_decay = None
        assert algorithm.answers() != {}
        learn(plain_model, algorithm, 12)
        assert algorithm.answers() == {}
        assert not torch.equal(vector(model), vector(plain_model))
        answers.clear()


def test_ema_averages_buffers_too():
    model = Net()
    learn(model, Descend(denoise, batch_size=8, ema=0.9), 10)
    other = Net()
    learn(other, Descend(denoise, batch_size=8), 10)
    assert not torch.equal(model.norm.running_mean, other.norm.running_mean)


def test_alternate_equals_a_loop_by_hand():
    model, twin, judge = Net(), Net(), critic()
    algorithm = game(ema=None, noise=0.0)
    for net in (model, twin):
        net.dropout.p = 0.0
    learn(model, algorithm, 9)
    by_hand = torch.optim.AdamW(judge.parameters(), 1e-3, weight_decay=0.0)
    net_by_hand = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    for step, batch in enumerate(raw_batches(9)):
        by_hand.zero_grad()
        false = twin(batch.x).detach()
        (judge(false).mean() - judge(batch.x).mean()).backward()
        nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        by_hand.step()
        if step % 2 == 0:
            net_by_hand.zero_grad()
            (-judge(twin(batch.x)).mean()).backward()
            net_by_hand.step()
    assert torch.allclose(vector(model), vector(twin), atol=1e-6)
    found = vector(algorithm.scaffolding["judge"])
    assert torch.allclose(found, vector(judge), atol=1e-6)
    assert all(p.requires_grad for p in model.parameters())


def test_alternate_moves_only_the_player_in_turn():
    seen = []
    first, second = nn.Linear(5, 1), nn.Linear(5, 1)
    model = nn.ModuleDict({"first": first, "second": second})

    def objective(model, batch):
        flags = [p.requires_grad for m in (model["first"], model["second"]) for p in [m.weight]]
        seen.append(flags)
        return {"loss": (model["first"](batch.x) * model["second"](batch.x)).mean()}

    players = [
        Player("a", lambda m: m["first"], objective),
        Player("b", lambda m: m["second"], objective, every=3),
    ]
    learn(model, Alternate(players, batch_size=8), 4)
    assert seen == [
        [True, False],
        [False, True],
        *[[True, False]] * 2,
        [True, False],
        [False, True],
    ]
    with pytest.raises(ValueError, match="every step"):
        Alternate([Player("a", lambda m: m, objective, every=2)])
    with pytest.raises(ValueError, match="name of its own"):
        Alternate([players[0], players[0]])


def test_maximise_adds_up_the_whole_epoch():
    """One round equals the same round on all data at once, the smaller last batch included."""
    models = [Gaussian() for _ in range(3)]
    for model, size in zip(models, (8, 7, 1000), strict=True):
        learn(model, Maximise(Moments(), epochs=1, batch_size=size), 0)
    assert torch.allclose(vector(models[0]), vector(models[2]), atol=1e-6)
    assert torch.allclose(vector(models[1]), vector(models[2]), atol=1e-6)
    assert torch.allclose(models[0].mean, 0.5 * data().x.mean(0), atol=1e-6)


def test_maximise_stops_where_nothing_is_gained():
    model = Gaussian()
    algorithm = Maximise(Moments(), epochs=500, tolerance=1e-4, batch_size=50)
    progress = learn(model, algorithm, 0)
    assert 5 < progress.epoch < 100
    x = data().x
    best = Gaussian()
    with torch.no_grad():
        best.mean.copy_(x.mean(0))
        best.log_variance.copy_(x.var(0, unbiased=False).log())
    gap = float((best.log_prob(x) - model.log_prob(x)).mean().detach())
    assert 0 <= gap < 1e-3
    again = learn(Gaussian(), algorithm, 0)
    assert again.epoch == progress.epoch


def test_maximise_that_is_cut_short_still_learns():
    model = Gaussian()
    learn(model, Maximise(Moments(), epochs=3, batch_size=8), 4)
    seen = torch.cat([batch.x for batch in raw_batches(4)])
    assert torch.allclose(model.mean, 0.5 * seen.mean(0), atol=1e-6)


def test_stages_share_the_budget_and_each_has_a_progress_of_its_own():
    seen = []

    def staged(number):
        def objective(part, batch):
            return {"loss": sum(p.square().sum() for p in part.parameters()) * batch.x.mean()}

        algorithm = Descend(objective, Optimiser("sgd", 0.001), batch_size=8)
        step, finish = algorithm.step, algorithm.finish

        def watched(batch, progress):
            seen.append((number, progress.step, round(progress.fraction, 6)))
            return step(batch, progress)

        algorithm.step = watched
        algorithm.finish = lambda: (seen.append((number, "finish")), finish())[1]
        return algorithm

    model = Net()
    parts = [
        Stage(lambda m: m.first, staged(0), share=1),
        Stage(lambda m: m.second, staged(1), share=3),
    ]
    learn(model, Stages(parts), 12)
    expected = [(0, i, round(i / 3, 6)) for i in range(3)] + [(0, "finish")]
    expected += [(1, i, round(i / 9, 6)) for i in range(9)] + [(1, "finish")]
    assert seen == expected
    with pytest.raises(ValueError, match="positive share"):
        Stages([Stage(lambda m: m, staged(0), share=0)])


def test_a_stage_that_has_finished_leaves_its_share_to_the_next():
    model = nn.ModuleDict({"gaussian": Gaussian(), "net": Net()})
    inner = Descend(plain, batch_size=8)
    stages = Stages(
        [
            Stage(lambda m: m["gaussian"], Maximise(Moments(), epochs=1, batch_size=8), share=1),
            Stage(lambda m: m["net"], inner, share=1),
        ]
    )
    numbers = []

    class Watch(Callback):
        def after_step(self, run, info):
            numbers.append(int(info["stage"]))

    learn(model, stages, 40, callbacks=[Watch()])
    assert numbers == [0] * 7 + [1] * 33
    assert float(model["gaussian"].mean.detach().norm()) > 0


def test_stages_show_each_part_what_lies_below():
    shown = []

    def objective(part, batch):
        shown.append((batch.x.shape[1], batch.x.requires_grad))
        return {"loss": part(batch.x).square().mean()}

    stages = Stages(
        [
            Stage(lambda m: m.first, Descend(objective, batch_size=8)),
            Stage(
                lambda m: m.second,
                Descend(objective, batch_size=8, ema=0.5),
                view=lambda m, batch: Batch(m.first(batch.x)),
            ),
        ]
    )
    answers = []

    class Watch(Callback):
        def after_step(self, run, info):
            answers.append(set(run.algorithm.answers()))

    learn(Net(), stages, 4, callbacks=[Watch()])
    assert shown == [(5, False)] * 2 + [(7, False)] * 2
    assert answers == [set()] * 2 + [{"second.weight", "second.bias"}] * 2


def test_a_memory_is_kept_from_step_to_step():
    objective = Chains()
    model = Net()
    learn(model, Descend(objective, batch_size=8), 1)
    first = objective.chains.clone()
    learn(Net(), Descend(objective, batch_size=8), 5)
    assert first.shape == (8, 5)
    assert not torch.equal(first, objective.chains)


def test_objective_reports_reach_the_watcher():
    reports = []

    class Watch(Callback):
        def after_step(self, run, info):
            reports.append(info)

    learn(Net(), Descend(denoise, batch_size=8), 2, callbacks=[Watch()])
    learn(Gaussian(), Descend(likelihood, batch_size=8), 1, callbacks=[Watch()])
    learn(Net(), game(), 2, callbacks=[Watch()])
    assert set(reports[0]) == {"loss", "size"}
    assert float(reports[0]["size"]) == 8
    assert set(reports[2]) == {"loss"}
    assert set(reports[3]) == {"loss", "critic_loss", "net_loss"}
    assert set(reports[4]) == {"loss", "critic_loss"}
    assert torch.equal(reports[3]["loss"], reports[3]["critic_loss"])


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (4, 5), (4, 0)])
def test_impossible_batches(size, parts):
    with pytest.raises(ValueError, match="batch_size"):
        Descend(plain, batch_size=size, accumulation=parts)
