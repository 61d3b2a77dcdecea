import itertools

import pytest
import torch
from contrasted import contrasted

from genus.engine import Batch, Budget, Callback, Descend, Optimiser, Tensors, distributed, run
from genus.inference.gibbs import bernoulli
from genus.models import RBM
from genus.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.spaces import Binary

V = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
N = 200_000


def stiff():
    """Four visible and three hidden units, large uneven weights, float64."""
    model = RBM(Binary((2, 2)), 3).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def probabilities(model):
    return (-model.free_energy(V.reshape(-1, 2, 2))).softmax(0).detach()


def transition(model):
    """T(v′ | v) = Σₕ p(h | v) p(v′ | h), from the conditionals one unit at a time."""
    h = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    up, down = model.encode(V.reshape(-1, 2, 2)), model.decode(h).flatten(1)
    rise = torch.stack([torch.where(s == 1, up, 1 - up).prod(1) for s in h], 1)
    fall = torch.stack([torch.where(s == 1, down, 1 - down).prod(1) for s in V], 1)
    return (rise @ fall).detach()


def gradients(model, loss):
    return [g.detach() for g in torch.autograd.grad(loss, list(model.parameters()))]


def carried(objective, plain):
    """The plain gradient of W, b and c as centring turns it."""
    W, b, c = plain
    mu, lam = objective.visible_offset, objective.hidden_offset
    W = W - torch.outer(mu, c) - torch.outer(b, lam)
    return W, b - W @ lam, c - mu @ W


def started(objective, model):
    objective.start(model, 8)
    return objective


def expected(model, positive, negative):
    """The gradient of E₊[F] − E₋[F] under weights of the sixteen points."""
    energy = model.free_energy(V.reshape(-1, 2, 2))
    return gradients(model, ((positive - negative) * energy).sum())


def assert_close_gradients(found, wanted):
    # Each entry is a difference of means of N terms within ±1, so that √2/√N bounds its
    # standard error; centring adds terms of the same kind. False alarm below 1e-5.
    for a, b in zip(found, wanted, strict=True):
        assert float((a - b).abs().max()) < 5 * (2 / N) ** 0.5


DATA = torch.tensor([0.3, 0, 0, 0.1, 0, 0, 0.25, 0, 0.05, 0, 0, 0, 0.2, 0, 0, 0.1]).double()


def batch():
    """N data of known frequencies."""
    rows = torch.repeat_interleave(torch.arange(16), (DATA * N).round().long())
    return Batch(V[rows].reshape(-1, 2, 2))


def exact_chains(model, n=N):
    """Hidden units of the model itself, drawn by enumeration."""
    v = V[torch.multinomial(probabilities(model), n, replacement=True)]
    return bernoulli(model.activation(v).sigmoid())


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("k", [1, 2])
def test_contrastive_divergence_is_data_against_k_exact_steps(k, centred):
    model = stiff()
    objective = started(ContrastiveDivergence(k, centred=centred), model)
    found = gradients(model, objective(model, batch())["loss"])
    after = DATA @ torch.linalg.matrix_power(transition(model), k)
    assert_close_gradients(found, carried(objective, expected(model, DATA, after)))


def test_many_steps_of_contrastive_divergence_give_the_likelihood_gradient():
    model = stiff()
    objective = started(ContrastiveDivergence(30, centred=False), model)
    loss = objective(model, batch())["loss"]
    energy = model.free_energy(V.reshape(-1, 2, 2))
    negative_log_likelihood = (DATA * energy).sum() + (-energy).logsumexp(0)
    assert_close_gradients(gradients(model, loss), gradients(model, negative_log_likelihood))


def test_the_gradient_of_contrastive_divergence_tends_to_the_likelihoods_with_k():
    """Chains that mix slowly: the distance falls with every k, to the noise of N chains."""
    model = stiff()
    with torch.no_grad():
        model.weights.mul_(1.8)
    energy = model.free_energy(V.reshape(-1, 2, 2))
    exact = gradients(model, (DATA * energy).sum() + (-energy).logsumexp(0))
    distances = []
    for k in (1, 3, 9, 27):
        objective = started(ContrastiveDivergence(k, centred=False), model)
        found = gradients(model, objective(model, batch())["loss"])
        pairs = zip(found, exact, strict=True)
        distances.append(float(torch.stack([(a - b).abs().max() for a, b in pairs]).max()))
    assert distances[0] > 1.5 * distances[1] > 2.25 * distances[2]
    # 5 standard errors of an entry
    assert distances[3] < 5 * (2 / N) ** 0.5 < 0.15 * distances[0], distances


@pytest.mark.parametrize(("k", "centred"), [(1, True), (2, False)])
def test_persistent_chains_in_equilibrium_give_the_likelihood_gradient(k, centred):
    model = stiff()
    objective = PersistentContrastiveDivergence(k, num_chains=N, centred=centred)
    objective.start(model, N)
    objective.chains = exact_chains(model)
    loss = objective(model, batch())["loss"]
    energy = model.free_energy(V.reshape(-1, 2, 2))
    negative_log_likelihood = (DATA * energy).sum() + (-energy).logsumexp(0)
    wanted = carried(objective, gradients(model, negative_log_likelihood))
    assert_close_gradients(gradients(model, loss), wanted)


def test_persistent_chains_walk_on_by_k_steps():
    model = stiff()
    objective = started(PersistentContrastiveDivergence(2, num_chains=N, centred=False), model)
    begin = V[8]
    objective.chains = bernoulli(model.activation(begin.expand(N, -1)).sigmoid()).detach()
    loss = objective(model, batch())["loss"]
    after = torch.linalg.matrix_power(transition(model), 2)[8]
    assert_close_gradients(gradients(model, loss), expected(model, DATA, after))
    assert set(objective.chains.unique().tolist()) == {0.0, 1.0}
    hidden = objective.chains.mean(0)
    wanted = after @ model.encode(V.reshape(-1, 2, 2)).detach()
    assert float((hidden - wanted).abs().max()) < 5 * (0.25 / N) ** 0.5


def test_loss_is_the_gap_in_free_energy():
    model = stiff()
    data = batch()
    steps = transition(model)
    info = started(ContrastiveDivergence(1), model)(model, data)
    energy = model.free_energy(V.reshape(-1, 2, 2))
    gap = (DATA * energy).sum() - (DATA @ steps * energy).sum()
    # The energies spread over about ten nats; 200,000 draws make 0.1 at least 5 standard errors
    assert abs(info["loss"] - gap) < 0.1


@pytest.mark.parametrize(
    "objective", [ContrastiveDivergence(2), PersistentContrastiveDivergence(2, 6)]
)
def test_the_chain_carries_no_gradient(objective):
    model = stiff()
    objective.start(model, 6)
    info = objective(model, Batch(V[:6].reshape(-1, 2, 2)))
    assert info["loss"].requires_grad
    if isinstance(objective, PersistentContrastiveDivergence):
        assert not objective.chains.requires_grad


def test_the_gap_and_its_plain_gradient_equal_autograd():
    model = stiff()
    objective = ContrastiveDivergence(1, centred=False)
    objective.start(model, 3)
    both = V[[1, 6, 12, 0, 3, 9, 15, 9]]
    found = contrasted(objective, model, both, 3)
    energy = model._free_energy(both)
    wanted = energy[:3].mean() - energy[3:].mean()
    assert torch.allclose(found, wanted, atol=1e-12)
    for a, b in zip(gradients(model, 0.3 * found), gradients(model, 0.3 * wanted), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_the_centred_gradient_is_a_plain_step_in_centred_coordinates():
    """Autograd through E = −b̃·(v − μ) − c̃·(h − λ) − (v − μ)ᵀW (h − λ), summed over h."""
    model = stiff()
    objective = ContrastiveDivergence(1)
    objective.start(model, 3)
    both = V[[1, 6, 12, 0, 3, 9, 15, 9]]
    found = gradients(model, contrasted(objective, model, both, 3))
    mu, lam = objective.visible_offset, objective.hidden_offset
    W = model.weights.detach().clone().requires_grad_()
    b = (model.visible_bias + W @ lam).detach().requires_grad_()
    c = (model.hidden_bias + mu @ W).detach().requires_grad_()
    h = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    v = both - mu
    minus_energy = (v @ b).unsqueeze(1) + (h - lam) @ c + v @ W @ (h - lam).T
    free = -minus_energy.logsumexp(1)
    dW, db, dc = torch.autograd.grad(free[:3].mean() - free[3:].mean(), [W, b, c])
    for a, wanted in zip(found, (dW, db - dW @ lam, dc - mu @ dW), strict=True):
        assert torch.allclose(a, wanted, atol=1e-12)


def test_offsets_follow_the_data_at_once_and_then_slowly():
    model = stiff()
    objective = ContrastiveDivergence(1)
    objective.start(model, 3)
    assert torch.equal(objective.visible_offset, model.visible_bias.sigmoid())
    assert torch.equal(objective.hidden_offset, model.hidden_bias.sigmoid())
    x = V[[1, 6, 7]]
    means = (x.mean(0), model.activation(x).sigmoid().mean(0))
    for seen in range(150):
        before = (objective.visible_offset, objective.hidden_offset)
        objective(model, Batch(x.reshape(-1, 2, 2)))
        slide = max(0.01, 1 / (seen + 2))
        offsets = (objective.visible_offset, objective.hidden_offset)
        for old, new, mean in zip(before, offsets, means, strict=True):
            assert torch.allclose(new, (1 - slide) * old + slide * mean, atol=1e-12)
    again = started(ContrastiveDivergence(1), model)
    again.load_state_dict(objective.state_dict())
    assert again.num_seen == 150


class SavesAt(Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def after_step(self, run, info):
        if run.progress.step == self.step:
            run.save(self.path)


def trained(tmp_path, resume=None):
    torch.manual_seed(0)
    model = RBM(Binary((2, 2)), 3)
    source = Tensors(batch().x[::5000].float(), model.space)
    algorithm = Descend(
        PersistentContrastiveDivergence(2, 7), Optimiser("sgd", 0.1, (0.9, 0.0)), batch_size=8
    )
    path = tmp_path / "state.safetensors"
    saves = [] if resume else [SavesAt(5, path)]
    run(
        model, source, algorithm, budget=Budget(steps=11), callbacks=saves, device="cpu",
        resume=path if resume else None,
    )  # fmt: skip
    return model, algorithm.objective.chains


def test_persistent_chains_resume_bit_for_bit(tmp_path):
    model, chains = trained(tmp_path)
    again, resumed = trained(tmp_path, resume=True)
    assert torch.equal(chains, resumed)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_state_dict_is_a_snapshot_that_training_does_not_change():
    model = stiff()
    objective = PersistentContrastiveDivergence(1, 50)
    objective.start(model, 6)
    state = objective.state_dict()
    kept = state["chains"].clone()
    x = Batch(V[:6].reshape(-1, 2, 2))
    torch.manual_seed(1)
    first = objective(model, x)["loss"]
    assert torch.equal(state["chains"], kept)
    other = PersistentContrastiveDivergence(1, 50)
    other.start(model, 6)
    other.load_state_dict(state)
    torch.manual_seed(1)
    assert torch.equal(other(model, x)["loss"], first)
    assert torch.equal(other.chains, objective.chains)


def test_chains_are_split_among_processes(monkeypatch):
    model = stiff()

    def share(rank, world):
        monkeypatch.setattr(distributed, "world", lambda: world)
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        torch.manual_seed(4)
        objective = PersistentContrastiveDivergence(1, 10)
        objective.start(model, 10)
        assert objective.sharded == ("chains",)
        return objective.chains

    whole = share(0, 1)
    assert len(whole) == 10
    assert torch.equal(torch.cat([share(0, 2), share(1, 2)]), whole)
    with pytest.raises(ValueError, match="10 rows cannot be split evenly among 3"):
        share(0, 3)


def test_too_few_steps_or_chains_are_refused():
    with pytest.raises(ValueError, match="k must be a positive integer, got 0"):
        ContrastiveDivergence(0)
    with pytest.raises(ValueError, match="num_chains must be a positive integer, got 0"):
        PersistentContrastiveDivergence(1, 0)
