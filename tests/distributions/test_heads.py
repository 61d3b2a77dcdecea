import math

import pytest
import torch

from genus import distributions, spaces
from genus.distributions.bernoulli import entropy, log_bernoulli, mean_and_softplus
from genus.testing.statistics import g_test

SHAPE = (2, 3)
DISCRETE = [
    (spaces.Binary(SHAPE), "bernoulli"),
    (spaces.Binary(SHAPE), "categorical"),
    (spaces.Binary(SHAPE), "logistic"),
    (spaces.Categorical(SHAPE, 5), "categorical"),
    (spaces.Pixels(SHAPE, 7), "categorical"),
    (spaces.Pixels(SHAPE, 7), "logistic"),
    (spaces.Pixels(SHAPE, 256), "logistic"),
]


def num_values(space: spaces.Space) -> int:
    return space.num_categories if isinstance(space, spaces.Categorical) else space.levels


def stiff_parameters(head: distributions.Head, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (batch, head.num_parameters, *SHAPE)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64) + 0.7


def table(space: spaces.Space, head: distributions.Head, parameters: torch.Tensor) -> torch.Tensor:
    """log p of every value, shape (values, batch, *SHAPE)."""
    rows = [
        head.log_prob(parameters, torch.full((len(parameters), *SHAPE), float(v)).double())
        for v in range(num_values(space))
    ]
    return torch.stack(rows)


@pytest.mark.parametrize(("space", "kind"), DISCRETE)
def test_probabilities_of_all_values_sum_to_one(space, kind):
    head = distributions.head(space, kind)
    parameters = stiff_parameters(head, 4)
    total = table(space, head, parameters).logsumexp(0)
    assert torch.allclose(total, torch.zeros_like(total), atol=1e-9)


@pytest.mark.parametrize(("space", "kind"), DISCRETE[:-1])
def test_mean_is_that_of_the_table(space, kind):
    head = distributions.head(space, kind)
    parameters = stiff_parameters(head, 4)
    if kind == "logistic":
        pytest.skip("the mean of a logistic head is that of the uncut mixture")
    values = torch.arange(num_values(space), dtype=torch.float64)
    expected = torch.einsum("vbij,v->bij", table(space, head, parameters).exp(), values)
    assert torch.allclose(head.mean(parameters), expected, atol=1e-9)


@pytest.mark.parametrize(("space", "kind"), DISCRETE[:-1])
def test_draws_follow_the_table(space, kind):
    head = distributions.head(space, kind)
    one = stiff_parameters(head, 1) / 3
    torch.manual_seed(0)
    draws = head.sample(one.expand(20_000, *one.shape[1:]))
    assert space.contains(draws)
    log_probs = table(space, head, one)[:, 0]
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            counts = torch.bincount(draws[:, i, j].long(), minlength=num_values(space))
            # six entries, false alarm 1e-6 each
            assert g_test(counts, log_probs[:, i, j].exp()) > 1e-6


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_densities_integrate_to_one(kind):
    head = distributions.head(spaces.Real(SHAPE), kind)
    parameters = stiff_parameters(head, 2) / 2
    grid = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    one = parameters[:, :, :1, :1]
    density = head.log_prob(one.expand(2, -1, 1, len(grid)), grid.expand(2, 1, len(grid))).exp()
    total = torch.trapezoid(density, grid)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


def test_gaussian_is_torchs():
    head = distributions.Gaussian()
    parameters = stiff_parameters(head, 3)
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    scale = torch.nn.functional.softplus(parameters[:, 1]) + head.floor
    expected = torch.distributions.Normal(parameters[:, 0], scale).log_prob(x)
    assert torch.allclose(head.log_prob(parameters, x), expected, atol=1e-12)


def test_logistic_mass_survives_extreme_parameters():
    head = distributions.LogisticMixture(spaces.Pixels(SHAPE, 256), 2)
    parameters = 300 * stiff_parameters(head, 3).float()
    parameters.requires_grad_()
    log_prob = head.log_prob(parameters, torch.randint(0, 256, (3, *SHAPE)))
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(parameters.grad).all()


def test_half_precision_parameters_give_full_precision_losses():
    head = distributions.head(spaces.Binary(SHAPE))
    log_prob = head.log_prob(torch.zeros(1, 1, *SHAPE, dtype=torch.bfloat16), torch.ones(1, *SHAPE))
    assert log_prob.dtype == torch.float32
    assert log_prob[0, 0, 0].item() == pytest.approx(-math.log(2), abs=1e-7)


def test_a_head_that_does_not_suit_is_refused():
    with pytest.raises(ValueError, match="does not suit"):
        distributions.head(spaces.Real(SHAPE), "bernoulli")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_entropy_of_bits_is_that_of_their_definition(dtype):
    p = torch.cat([torch.tensor([0.0, 1e-30, 1e-9, 0.5, 1.0]), torch.rand(2000)]).to(dtype)
    wanted = torch.special.entr(p.double()) + torch.special.entr(1 - p.double())
    assert torch.allclose(entropy(p).double(), wanted, atol=8 * torch.finfo(dtype).eps)
    assert entropy(p).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_means_and_softplus_of_logits_as_large_as_they_come(dtype):
    """To two roundings of the answer and of 1 for each logit."""
    rows = [torch.linspace(-300, 300, 1200), torch.randn(480), 9 * torch.randn(480)]
    for width in (1, 2, 3, 4, 6, 12):
        logit = torch.cat(rows).to(dtype).reshape(-1, width)
        mean, softplus = mean_and_softplus(logit)
        assert torch.equal(mean, logit.sigmoid())
        wanted = torch.nn.functional.softplus(logit.double(), threshold=100.0).sum(-1)
        slack = 2 * torch.finfo(dtype).eps * (width + wanted)
        assert bool(((softplus.double() - wanted).abs() <= slack).all())
        assert bool((softplus >= 0).all())


@pytest.mark.parametrize(
    ("logits", "values"),
    [((4, 5), (4, 5)), ((4, 1, 5), (4, 3, 5)), ((4, 3, 5), (4, 1, 5)), ((5,), (4, 5))],
)
def test_how_probable_bits_are_and_its_gradients(logits, values):
    generator = torch.Generator().manual_seed(0)
    logit = 9 * torch.randn(logits, generator=generator, dtype=torch.float64)
    bits = (torch.rand(values, generator=generator) < 0.4).double()
    logit.requires_grad_()
    bits.requires_grad_()
    plain = (bits * logit - torch.nn.functional.softplus(logit)).sum(-1)
    assert torch.allclose(log_bernoulli(logit, bits), plain, atol=1e-12)
    assert torch.autograd.gradcheck(log_bernoulli, (logit, bits))
    assert torch.autograd.gradgradcheck(log_bernoulli, (logit, bits))
    rough = log_bernoulli(logit.bfloat16(), bits.detach().bool())
    assert rough.dtype == torch.float32
    assert torch.allclose(rough.double(), plain, rtol=0.02, atol=0.2)
