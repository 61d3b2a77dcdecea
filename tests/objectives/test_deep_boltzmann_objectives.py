import itertools

import pytest
import torch

from genus.engine import Batch, Budget, Callback, Descend, Optimiser, Stages, Tensors, run
from genus.engine.known import with_gradient
from genus.engine.seeding import seeded
from genus.models import DeepBoltzmannMachine
from genus.objectives.centred import centred_slopes
from genus.objectives.doubled import Doubled, DoubledContrast
from genus.objectives.persistent_layers import PersistentLayers
from genus.spaces import Binary
from genus.testing import stiffen
from genus.testing.statistics import assert_follows, assert_mean

CPU = torch.device("cpu")
SHAPES = [(5, (4, 3)), (3, (2, 4, 2)), (2, (3, 2, 2, 3))]


def stiff(visible=5, hidden=(4, 3), scale=2.5):
    return stiffen(DeepBoltzmannMachine(Binary((visible,)), hidden).double(), scale)


def bits(size):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=size))).double()


def everything(model):
    layers = list(bits(sum(len(b) for b in model.biases)).split([len(b) for b in model.biases], 1))
    return layers, -model.layered().energy(layers)


def counts(rows):
    weights = 2 ** torch.arange(rows.shape[1] - 1, -1, -1)
    return torch.bincount((rows.long() * weights).sum(1), minlength=2 ** rows.shape[1])


def started(model, objective, n=10):
    with seeded(0, CPU):
        objective.start(model, n)
    return objective


@pytest.mark.parametrize(("visible", "hidden"), SHAPES)
def test_gradient_with_enumerated_chains_is_that_of_the_bound_less_log_z(visible, hidden):
    """Uncentred; the negative phase is every state of all layers by its probability."""
    model = stiff(visible, hidden)
    objective = started(model, PersistentLayers(7, centred=False))
    data = bits(visible)[[1, 3, 2]]
    layers, log_f = everything(model)
    with torch.no_grad():
        seen, _ = objective._explain(model.layered(), data)
        rows = [torch.cat(both) for both in zip(seen, layers, strict=True)]
        share = torch.cat([torch.full((3,), -1 / 3, dtype=torch.float64), log_f.softmax(0)])
        found = centred_slopes(rows, objective.offsets, share, torch.float64)
    bound = model.layered().given(data).bound(seen[1:]) + data @ model.biases[0]
    loss = log_f.logsumexp(0) - bound.mean()
    expected = torch.autograd.grad(loss, [*model.weights, *model.biases])
    for slope, right in zip(found, expected, strict=True):
        assert torch.allclose(slope, right, atol=1e-9)


@pytest.mark.parametrize(("visible", "hidden"), SHAPES)
def test_data_are_explained_by_so_many_sweeps_and_the_gap_is_of_bounds(visible, hidden):
    model = stiff(visible, hidden)
    objective = started(model, PersistentLayers(3, num_chains=4))
    data = bits(visible)[[1, 3, 2, 0]]
    with torch.no_grad():
        seen, odds = objective._explain(model.layered(), data)
        for found, expected in zip(seen[1:], model.mean_field(data, 3), strict=True):
            assert torch.allclose(found, expected, atol=1e-12)
        for found, field in zip(seen[1::2], odds, strict=True):
            assert torch.allclose(found, field.sigmoid(), atol=1e-12)
        with seeded(4, CPU):
            objective._begin(seen)
            walked, _ = objective._walk(model.layered(), len(seen))
        negative = model.layered().log_marginal(walked, 0).mean()
        bound = model.layered().given(data).bound(seen[1:]) + data @ model.biases[0]
    objective = started(model, PersistentLayers(3, num_chains=4))
    with seeded(4, CPU):
        loss = objective(model, Batch(data, None))["loss"]
    assert torch.allclose(loss, negative - bound.mean(), atol=1e-9)


@pytest.mark.parametrize(("visible", "hidden"), SHAPES)
@pytest.mark.parametrize("k", [1, 3])
@torch.no_grad()
def test_chains_leave_the_enumerated_distribution_unchanged(visible, hidden, k):
    model = stiff(visible, hidden)
    objective = started(model, PersistentLayers(k=k, num_chains=20000))
    layers, log_f = everything(model)
    p = log_f.softmax(0)
    with seeded(6, CPU):
        chosen = torch.multinomial(p, 20000, replacement=True)
        objective.chains = torch.cat([layer[chosen] for layer in layers[1::2]], 1)
        units, fields = objective._walk(model.layered(), len(layers))
    for rows, side in ((torch.cat(units[0::2], 1), 0), (objective.chains, 1)):
        states = torch.cat(layers[side::2], 1)
        place = (states.long() * 2 ** torch.arange(states.shape[1] - 1, -1, -1)).sum(1)
        mass = torch.zeros(2 ** states.shape[1]).double().index_add_(0, place, p)
        assert_follows(counts(rows), mass, f"side {side}")
    for mean, field, number in zip(units[1::2], fields, range(1, 9, 2), strict=False):
        assert torch.allclose(mean, field.sigmoid(), atol=1e-12)
        assert torch.allclose(field, model.layered().field(units, number), atol=1e-12)


def centred_energy(layers, weights, biases, offsets):
    shifted = [layer - offset for layer, offset in zip(layers, offsets, strict=True)]
    total = sum(s @ b for s, b in zip(shifted, biases, strict=True))
    pairs = zip(shifted, weights, shifted[1:], strict=False)
    return -(total + sum(((a @ w) * b).sum(1) for a, w, b in pairs))


@pytest.mark.parametrize(("visible", "hidden"), SHAPES)
def test_slopes_are_those_of_the_centred_energy_carried_back(visible, hidden):
    model = stiff(visible, hidden)
    generator = torch.Generator().manual_seed(2)
    rows = [torch.rand(7, len(b), generator=generator).double() for b in model.biases]
    offsets = [torch.rand(len(b), generator=generator).double() for b in model.biases]
    share = torch.tensor([0.5, 0.5, -0.2, -0.2, -0.2, -0.2, -0.2]).double()
    weights = [w.detach().clone().requires_grad_() for w in model.weights]
    biases = [b.detach().clone().requires_grad_() for b in model.biases]
    energy = centred_energy(rows, weights, biases, offsets)
    steps = torch.autograd.grad(-(share * energy).sum(), [*weights, *biases])
    found = centred_slopes(rows, offsets, share, torch.float64)
    eps = 1e-6
    with torch.no_grad():
        back = [b + eps * s for b, s in zip(biases, steps[len(weights) :], strict=True)]
        for number, step in enumerate(steps[: len(weights)]):
            back[number] = back[number] - eps * step @ offsets[number + 1]
            back[number + 1] = back[number + 1] - eps * offsets[number] @ step
    for slope, step in zip(found[: len(weights)], steps, strict=False):
        assert torch.allclose(slope, step, atol=1e-9)
    for slope, bias, moved in zip(found[len(weights) :], biases, back, strict=True):
        assert torch.allclose(slope, (moved - bias) / eps, atol=1e-8)
    before = model.layered().energy(rows)
    with torch.no_grad():
        for parameter, slope in zip([*model.weights, *model.biases], found, strict=True):
            parameter.add_(eps * slope)
        tilted = [w + eps * s for w, s in zip(weights, steps, strict=False)]
        lifted = [b + eps * s for b, s in zip(biases, steps[len(weights) :], strict=True)]
        centred = centred_energy(rows, tilted, lifted, offsets) - energy
        plain = model.layered().energy(rows) - before
    gap = (plain - centred).detach() / eps
    assert torch.allclose(gap, gap[:1].expand_as(gap), atol=1e-6)


def test_offsets_follow_the_data_and_slopes_become_the_gradient():
    model = stiff()
    objective = started(model, PersistentLayers(4, num_chains=6))
    averages = []
    for data in (bits(5)[[1, 3, 7]], bits(5)[[30, 2, 8, 9]]):
        with torch.no_grad():
            seen, _ = objective._explain(model.layered(), data)
        averages.append([layer.mean(0) for layer in seen])
        objective(model, Batch(data, None))["loss"].backward()
    for first, second, offset in zip(*averages, objective.offsets, strict=True):
        assert torch.allclose(offset, 0.5 * first + 0.5 * second, atol=1e-12)
    slopes = [torch.full_like(p, 2.0) for p in model.parameters()]
    model.zero_grad()
    pairs = zip(model.parameters(), slopes, strict=True)
    (3.0 * with_gradient(torch.tensor(1.0), *pairs)).backward()
    assert all(bool((p.grad == 6.0).all()) for p in model.parameters())


@torch.no_grad()
def test_chains_begin_at_what_explains_the_first_batch():
    """Each mean within 5 standard errors: 1 false alarm in 100,000."""
    model = stiff(3, (4, 2, 3))
    objective = started(model, PersistentLayers(num_chains=20001))
    seen, _ = objective._explain(model.layered(), bits(3)[[5, 2]])
    with seeded(2, CPU):
        objective._begin(seen)
    means = torch.cat(seen[1::2], 1)
    for number in range(2):
        for unit, expected in zip(objective.chains[number::2].T, means[number], strict=True):
            assert_mean(unit, float(expected), "a unit of a chain")


def tied(machine):
    """log f of every state of the copies of v and of h, written out: couplings W for each pair."""
    visible, hidden = machine.copies
    times = 2.0 if machine.up == machine.down == 2 else 1.0
    v, h = machine.weights.shape
    rows = bits(v * visible + h * hidden)
    below = rows[:, : v * visible].reshape(-1, visible, v)
    above = rows[:, v * visible :].reshape(-1, hidden, h)
    log_f = (below @ machine.visible_bias).sum(1) + (above @ machine.hidden_bias).sum(1)
    for i, j in itertools.product(range(visible), range(hidden)):
        log_f = log_f + times * ((below[:, i] @ machine.weights) * above[:, j]).sum(1)
    return below, above, log_f


@pytest.mark.parametrize("layer", [1, 2, 3])
@torch.no_grad()
def test_a_greedy_layer_is_an_rbm_with_tied_copies(layer):
    model = stiff(2, (3, 2, 3), scale=1.5)
    machine = started(model, DoubledContrast(layer)).doubled(model)
    assert (machine.up, machine.down) == {1: (2, 1), 2: (2, 2), 3: (1, 2)}[layer]
    assert machine.copies == {1: (2, 1), 2: (1, 1), 3: (1, 2)}[layer]
    below, above, log_f = tied(machine)
    p = log_f.softmax(0)
    v, h = below.mean(1), above.mean(1)
    for side, other, odds in (
        (above, below, machine.activation(v)),
        (below, above, machine.field(h)),
    ):
        _, group = other.flatten(1).unique(dim=0, return_inverse=True)
        mass = torch.zeros(int(group.max()) + 1).double().index_add_(0, group, p)
        for copy in side.unbind(1):
            ones = torch.zeros(len(mass), copy.shape[1]).double()
            ones.index_add_(0, group, p.unsqueeze(1) * copy)
            assert torch.allclose(odds.sigmoid(), (ones / mass.unsqueeze(1))[group], atol=1e-9)
    rows, group = below.flatten(1).unique(dim=0, return_inverse=True)
    total = torch.zeros(len(rows)).double().index_add_(0, group, log_f.exp()).log()
    free = machine.free_energy_at(v, machine.activation(v))
    assert torch.allclose(-free, total[group], atol=1e-9)
    with seeded(3, CPU):
        chosen = torch.multinomial(p, 20000, replacement=True)
        drawn = machine.draw_visible(machine.draw_hidden(machine.activation(v[chosen])))
    levels = v.unique(dim=0)
    found = torch.stack([(drawn == level).all(1).sum() for level in levels])
    expected = torch.stack([p[(v == level).all(1)].sum() for level in levels])
    assert_follows(found, expected, "a step of the chain")


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_slopes_of_a_greedy_layer_follow_its_likelihood(layer):
    """Uncentred, with enumerated chains: ½ ∂ for W, and ∂ for each single copy's bias."""
    model = stiff(2, (3, 2, 3), scale=1.5)
    objective = started(model, DoubledContrast(layer, centred=False))
    machine = objective.doubled(model)
    free = [p.clone().requires_grad_() for p in machine[:3]]
    below, above, log_f = tied(Doubled(*free, machine.up, machine.down))
    data = bits(below.shape[2])[[1, 2]]
    shown = (below == data[0]).flatten(1).all(1), (below == data[1]).flatten(1).all(1)
    log_p = sum(log_f[some].logsumexp(0) for some in shown) / 2 - log_f.logsumexp(0)
    gradient = torch.autograd.grad(-log_p, free)
    v, h = below.mean(1), above.mean(1)
    rows = [
        torch.cat([data, v]),
        torch.cat([machine.activation(data).sigmoid(), h]),
    ]
    share = torch.cat([torch.full((2,), -0.5).double(), log_f.detach().softmax(0)])
    weights, visible, hidden = objective._slopes(machine, rows, share)
    copies = machine.copies
    assert torch.allclose(weights, gradient[0] / 2, atol=1e-9)
    own = 1.0 if layer == 1 else 0.5
    assert torch.allclose(visible, own * gradient[1] / copies[0], atol=1e-9)
    assert torch.allclose(hidden, gradient[2] / copies[1], atol=1e-9)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_greedy_slopes_are_carried_back_from_centred_coordinates(layer):
    """Along the slopes, E changes as it would along the step in centred coordinates."""
    model = stiff(2, (3, 2, 3))
    objective = started(model, DoubledContrast(layer))
    machine = objective.doubled(model)
    generator = torch.Generator().manual_seed(layer)
    v, h = (torch.rand(6, n, generator=generator).double() for n in machine.weights.shape)
    share = torch.tensor([0.5, 0.5, -0.25, -0.25, -0.25, -0.25]).double()
    objective.offsets = [torch.rand(n).double() for n in machine.weights.shape]
    mu, lam = objective.offsets
    weights, visible, hidden = objective._slopes(machine, [v, h], share)
    visible = visible if layer == 1 else 2 * visible
    assert torch.allclose(weights, (v - mu).T @ (share.unsqueeze(1) * (h - lam)), atol=1e-9)
    assert torch.allclose(visible + machine.down * weights @ lam, share @ v, atol=1e-9)
    assert torch.allclose(hidden + machine.up * mu @ weights, share @ h, atol=1e-9)


@torch.no_grad()
def test_two_greedy_layers_join_into_a_machine_with_the_mean_of_their_conditionals():
    model = stiff(4, (3, 2))
    bottom = started(model, DoubledContrast(1)).doubled(model)
    x, above = bits(4), bits(2)[[0, 1, 2, 3] * 4]
    from_below, left = bottom.activation(x), bottom.hidden_bias.clone()
    second = started(model, DoubledContrast(2))
    model.biases[1].add_(torch.tensor([0.7, -1.2, 0.4]))
    top = second.doubled(model)
    joined = model.layered().field([x, None, above], 1)
    half = 0.5 * from_below + 0.5 * top.field(above)
    assert torch.allclose(joined, half, atol=1e-9)
    assert torch.allclose(model.layered().field([None, bits(3), None], 0), bottom.field(bits(3)))
    odds = model.layered().field([None, bits(3), None], 2)
    assert torch.allclose(odds, top.activation(bits(3)))
    assert not torch.allclose(top.visible_bias, left)


@torch.no_grad()
def test_upper_layers_see_draws_of_the_pass_up_with_the_bias_that_was_left():
    """Each mean within 5 standard errors: 1 false alarm in 100,000."""
    model = stiff(3, (4, 2, 3))
    second = started(model, DoubledContrast(2))
    left = model.biases[1].clone()
    model.biases[1].add_(1.0)
    third = started(model, DoubledContrast(3, below=second))
    upper_left = model.biases[2].clone()
    model.biases[2].sub_(0.8)
    x = torch.tensor([1.0, 0.0, 1.0]).double()
    with seeded(1, CPU):
        drawn = second.shown(model, x.expand(20000, -1))
        upper = third.shown(model, x.expand(20000, -1))
    mean = (2 * x @ model.weights[0] + left).sigmoid()
    for unit, expected in zip(drawn.T, mean, strict=True):
        assert_mean(unit, float(expected), "h₁")
    h = bits(4)
    p = (2 * x @ model.weights[0] + left).sigmoid()
    weight = (h * p + (1 - h) * (1 - p)).prod(1)
    mean = weight @ (2 * h @ model.weights[1] + upper_left).sigmoid()
    for unit, expected in zip(upper.T, mean, strict=True):
        assert_mean(unit, float(expected), "h₂")


@pytest.mark.parametrize("cut", [3, 5, 7])
def test_a_third_layer_remembers_what_both_below_left(cut, tmp_path):
    """Cut in the second or third greedy layer, or at its start, a run ends as if it was not."""

    class Cut(Callback):
        def after_step(self, run, info):
            if run.progress.step == cut:
                run.save(tmp_path / "cut.safetensors")

    data, ends = (torch.rand(60, 5) < 0.3).float(), []
    for resume in (None, tmp_path / "cut.safetensors"):
        with seeded(0, CPU):
            model = DeepBoltzmannMachine(Binary((5,)), (4, 3, 2))
        together = Descend(PersistentLayers(num_chains=5), Optimiser("sgd", 0.1), batch_size=20)
        algorithm = model.pretrained(together, share=0.9, learning_rate=0.5)
        run(
            model,
            Tensors(data, model.space),
            algorithm,
            budget=Budget(steps=10),
            callbacks=[Cut()] if resume is None else [],
            device="cpu",
            resume=resume,
        )
        second, third = (algorithm.stages[number].algorithm.objective for number in (1, 2))
        assert len(third.left) == 3
        if resume is None or cut < 6:
            assert torch.equal(third.left[1], second.left[1])
            assert not torch.equal(third.left[1], model.biases[1])
        ends.append(model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_greedy_layer_moves_its_own_parameters_alone():
    model = stiff(3, (4, 2, 3)).float()
    objective = started(model, DoubledContrast(2))
    objective(model, Batch(bits(3).float(), None))["loss"].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"weights.1", "biases.1", "biases.2"}


def learnt(model, algorithm, x):
    model.fit(x, algorithm=algorithm, budget=Budget(steps=1000), seed=1, device="cpu")
    return float(model.log_prob(x).mean().detach())


@pytest.mark.parametrize("pretrain", [True, False])
def test_learns_with_and_without_greedy_layers(pretrain):
    with seeded(0, CPU):
        x = (torch.rand(300, 6) < 0.2).float().cummax(1).values
        model = DeepBoltzmannMachine(Binary((6,)), (6, 4))
    number = x.unique(dim=0, return_counts=True)[1]
    entropy = -float((number / 300 * (number / 300).log()).sum())
    together = Descend(
        PersistentLayers(5, num_chains=100),
        Optimiser("sgd", 0.1, (0.5, 0.0), schedule="linear"),
        batch_size=100,
    )
    algorithm = model.pretrained(together) if pretrain else together
    assert isinstance(model.algorithm(pretrain=pretrain), Stages if pretrain else Descend)
    assert learnt(model, algorithm, x) > -entropy - 0.35


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: PersistentLayers(0), "num_sweeps must be a positive integer"),
        (lambda: PersistentLayers(k=0), "k must be a positive integer"),
        (lambda: PersistentLayers(num_chains=0), "num_chains must be a positive integer"),
        (lambda: DoubledContrast(0), "layer must be a positive integer"),
        (lambda: DoubledContrast(1, 0), "k must be a positive integer"),
        (lambda: DoubledContrast(3).start(stiff(), 10), "layer must be at most 2"),
    ],
)
def test_bad_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
