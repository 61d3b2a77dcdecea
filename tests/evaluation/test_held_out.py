import math

import pytest
import torch
from torch import Tensor

from genus.data.dataset import Dataset
from genus.evaluation.completion import masks
from genus.evaluation.held_out import completion_log_likelihood, completion_log_likelihood_floor
from genus.inference.annealing import annealed_importance, inverse_temperatures
from genus.models import GAN, MADE, PPCA, RBM, VAE, Diffusion, PixelCNN
from genus.models.boltzmann.clamped import Clamped
from genus.spaces import Binary, Real
from genus.testing.statistics import assert_follows


def dense_conditional(model: PPCA, row: Tensor, seen: Tensor) -> float:
    """log p(missing | observed) of one row by the dense covariance."""
    covariance = model.loadings @ model.loadings.T + model.variance * torch.eye(len(row))
    gap, inner = (row - model.mean)[~seen], covariance[~seen][:, ~seen]
    if not len(gap):
        return 0.0
    if bool(seen.any()):
        gain = covariance[~seen][:, seen] @ torch.linalg.inv(covariance[seen][:, seen])
        gap = gap - gain @ (row - model.mean)[seen]
        inner = inner - gain @ covariance[seen][:, ~seen]
    normal = torch.distributions.MultivariateNormal(torch.zeros_like(gap), inner)
    return float(normal.log_prob(gap).detach())


def test_ppca_gives_the_dense_conditional(points: Dataset) -> None:
    model = PPCA(Real((4,)), 3).fit(points.train).double()
    x = points.materialise("test", 100).double()
    mask = torch.rand(100, 4) < 0.4
    mask[0], mask[1] = True, False
    found = model.conditional_log_prob(x, mask)
    wanted = [dense_conditional(model, row, seen) for row, seen in zip(x, mask, strict=True)]
    assert found.sign == "="
    assert torch.allclose(found.value, torch.tensor(wanted).double(), atol=1e-8)
    assert float(found.value[1]) == pytest.approx(float(model.log_prob(x[1:2]).detach()))
    figures = completion_log_likelihood(model, points, n=100, batch_size=7)
    assert figures is not None
    mask = masks((4,), 100)["random half"]
    rows = [dense_conditional(model, r, s) for r, s in zip(x, mask, strict=True) if not s.all()]
    assert figures["random half"].value == pytest.approx(sum(rows) / len(rows), abs=1e-8)
    assert figures["random half"].sign == "="
    assert figures["random half"].num_examples == len(rows) < 100


def test_dequantised_entries_are_counted_in_levels(stripes: Dataset) -> None:
    data = stripes.dequantised()
    model = PPCA(Real((1, 5, 6)), 3).fit(data.train)
    found = completion_log_likelihood(model, data, n=20)
    assert found is not None
    x = data.materialise("test", 20)
    half = masks((1, 5, 6), 20)["left half"]
    wanted = float(model.conditional_log_prob(x, half).value.double().mean()) - 15 * math.log(16)
    assert found["left half"].value == pytest.approx(wanted, rel=1e-6)
    assert found["left half"].note == "15 entries missing"
    assert found["centre box"].note == "6 entries missing"
    floor = completion_log_likelihood_floor(data, n=20)
    assert list(floor) == list(found) == ["left half", "random half", "centre box"]
    # the bright third decides all levels, so that neighbours tell much
    assert all(found[name].value > floor[name].value for name in floor)


def test_the_floor_counts_the_training_data(bits: Dataset) -> None:
    found = completion_log_likelihood_floor(bits, n=30)["random half"]
    train, x = bits.materialise("train"), bits.materialise("test", 30)
    rate = (train.double().sum(0) + 1) / (len(train) + 2)
    each = torch.where(x == 1, rate.log(), (1 - rate).log())
    wanted = (each * ~masks((20,), 30)["random half"]).sum(1).mean()
    assert found.value == pytest.approx(float(wanted), rel=1e-12)


def machine(hidden: int, **settings: int) -> RBM:
    model = RBM(Binary((2, 5)), hidden, **settings).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1.2 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        model.base_bias.copy_(torch.linspace(-1.0, 0.7, 10))
    return model


def clamped(model: RBM, v: Tensor, mask: Tensor, chains: int) -> Clamped:
    held = model.hidden_bias + (v * mask) @ model.weights
    return Clamped(
        model.weights.detach(),
        model.visible_bias.detach(),
        model.base_bias,
        held.detach().expand(chains, -1),
        (~mask).double().expand(chains, -1),
    )


MASK = torch.tensor([True, False, True, True, False, True, False, True, True, True])


def free_points() -> Tensor:
    points = torch.zeros(8, 10).double()
    points[:, ~MASK] = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    return points


def test_the_clamped_path_ends_at_the_machine_and_starts_where_its_constant_is_known() -> None:
    model = machine(6)
    v = model.space.random(1).double().flatten()
    points = free_points()
    path = clamped(model, v, MASK, 8)
    whole = torch.where(MASK, v, points)
    wanted = -model.free_energy(whole.reshape(-1, 2, 5)) - (v * MASK) @ model.visible_bias
    state = path.at(points)
    assert torch.allclose(path.log_density(state, 1.0), wanted.detach(), atol=1e-10)
    start = path.log_density(state, 0.0).logsumexp(0)
    assert torch.allclose(path.log_base_partition, start.expand(8), atol=1e-10)
    difference = path.log_density(state, 0.8) - path.log_density(state, 0.1)
    assert torch.allclose(path.log_ratio(state, 0.1, 0.8), difference, atol=1e-10)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_a_clamped_move_keeps_its_density(beta: float) -> None:
    model = machine(6)
    v = model.space.random(1).double().flatten()
    points, n = free_points(), 20_000
    p = clamped(model, v, MASK, 8)
    probabilities = p.log_density(p.at(points), beta).softmax(0)
    start = points[torch.multinomial(probabilities, n, replacement=True)]
    path = clamped(model, v, MASK, n)
    drawn = path.start(n) if beta == 0.0 else path.move(path.at(start), beta)
    assert bool((drawn.visible[:, MASK] == 0).all())
    places = (drawn.visible[:, ~MASK].long() * torch.tensor([4, 2, 1])).sum(1)
    # false-alarm rate 1 in 100,000
    assert_follows(torch.bincount(places, minlength=8), probabilities, f"a move at {beta}")


def test_clamped_annealing_is_unbiased() -> None:
    model = machine(6)
    v = model.space.random(1).double().flatten()
    path = clamped(model, v, MASK, 20_000)
    log_weights = annealed_importance(path, 20_000, inverse_temperatures(5))
    truth = path.log_density(path.at(free_points().repeat(2500, 1)), 1.0)[:8].logsumexp(0)
    ratios = (log_weights + path.log_base_partition - truth).exp()
    error = float(ratios.std()) / 20_000**0.5
    # 5 standard errors: false alarm 6e-7
    assert abs(float(ratios.mean()) - 1) < 5 * error < 0.1


def test_an_annealed_conditional_stays_above_the_exact_one_and_closes() -> None:
    model = machine(18, num_temperatures=3)
    x = model.space.random(1).double()
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 2:] = True
    others = model.space.points().double()
    fits = ((others == x) | ~mask).flatten(1).all(1)
    energies = -model.free_energy(others[fits])
    truth = float((-model.free_energy(x) - energies.logsumexp(0)).detach())
    rows = x.expand(400, 2, 5)
    rough = model.conditional_log_prob(rows, mask, effort=2, seed=1)
    assert rough.sign == "<="
    # the bias is many standard errors wide
    assert float(rough.value.mean()) > truth + 5 * float(rough.value.std()) / 20
    model.num_temperatures = 100
    fine = model.conditional_log_prob(rows[:40], mask, effort=100, seed=1)
    assert float(fine.value.mean()) == pytest.approx(truth, abs=0.05)
    everything = torch.ones(2, 5, dtype=torch.bool)
    assert float(model.conditional_log_prob(x, everything, seed=1).value.abs()) < 1e-9


def test_what_comes_first_in_every_order_is_exact_and_particles_err_upwards() -> None:
    torch.manual_seed(1)
    model = MADE(Binary((6,)), (9,)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1.5 * torch.randn(p.shape, dtype=torch.float64))
    points = model.space.points().double()
    x = points[37]
    prefix = torch.arange(6) < 3
    behind = torch.tensor([False, False, True, False, True, True])

    def truth(mask: Tensor) -> float:
        fits = (points == x)[:, mask].all(1)
        joint = model.log_prob(points).detach()
        return float(joint[37] - joint[fits].logsumexp(0))

    first = model.conditional_log_prob(x[None], prefix, effort=1)
    assert first.sign == "="
    assert float(first.value) == pytest.approx(truth(prefix), abs=1e-9)
    rows = x.expand(4000, 6)
    rough = model.conditional_log_prob(rows, behind, effort=1, seed=2)
    assert rough.sign == "<="
    assert float(rough.value.mean()) > truth(behind) + 5 * float(rough.value.std()) / 4000**0.5
    two = MADE(Binary((6,)), (9,), num_orders=2)
    assert two.conditional_log_prob(x[None].float(), prefix).sign == "<="
    nothing = torch.zeros(6, dtype=torch.bool)
    assert two.conditional_log_prob(x[None].float(), nothing).sign == "="


def test_families_answer_with_their_sign(stripes: Dataset) -> None:
    small = {"channels": 6, "num_layers": 2, "first_kernel": 3, "num_particles": 4}
    binary = stripes.viewed("binary")
    models = {
        "=": RBM(binary.space, 4),
        "<=": PixelCNN(binary.space, **small),
        "~": VAE(binary.space, 2, hidden=(8,), num_sweeps=5),
    }
    for sign, model in models.items():
        told: list[tuple[int, int]] = []
        found = completion_log_likelihood(
            model, binary, n=9, batch_size=4, effort=50, progress=lambda *p, t=told: t.append(p)
        )
        assert found is not None
        for figure in found.values():
            assert figure.sign == sign
            assert figure.num_examples == 9
            assert -40 < figure.value < 0
        assert told == [(4, 9), (8, 9), (9, 9)]
        hurried = completion_log_likelihood(model, binary, n=9, batch_size=4, seconds=0.0, effort=2)
        assert hurried is not None
        assert [figure.num_examples for figure in hurried.values()] == [4, 4, 4]


def test_what_cannot_be_told_is_none_and_bad_arguments_are_refused(points: Dataset) -> None:
    assert completion_log_likelihood(GAN(Real((4,)), num_latent=2), points) is None
    assert completion_log_likelihood(Diffusion(Real((4,)), channels=(8,)), points) is None
    model = PPCA(Real((4,)), 2)
    for settings, message in (
        ({"n": 0}, "n must be a positive integer"),
        ({"effort": 0}, "effort must be a positive integer"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"seconds": math.nan}, "seconds must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            completion_log_likelihood(model, points, **settings)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        completion_log_likelihood_floor(points, n=0)
    with pytest.raises(ValueError, match="observed must be boolean"):
        model.conditional_log_prob(torch.zeros(2, 4), torch.ones(4))
