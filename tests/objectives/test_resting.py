"""The phases of a step in low precision: what is rounded, and what is not."""

from functools import partial

import pytest
import torch

from genus.engine import Batch
from genus.inference.products import plus_product
from genus.models import RBM, DeepBoltzmannMachine
from genus.models.boltzmann.layer import BinaryLayer, GaussianLayer
from genus.objectives import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.centred import centred_slopes, shares
from genus.objectives.doubled import DoubledContrast
from genus.objectives.fast_persistent import FastPersistentContrastiveDivergence
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.persistent_layers import PersistentLayers
from genus.objectives.resting import Resting
from genus.objectives.tempering import TemperedContrastiveDivergence
from genus.spaces import Binary, Real


def machine():
    torch.manual_seed(0)
    model = RBM(Binary((40,)), 30)
    with torch.no_grad():
        model.weights.normal_(std=0.3)
        model.visible_bias.uniform_(-9, -5)
        model.hidden_bias.uniform_(-9, -5)
    return model


def test_phases_equal_the_machines_own_in_float32():
    model = machine()
    still = Resting.of(model)
    v, h = torch.rand(7, 40).round(), torch.rand(7, 30).round()
    assert still.weights.data_ptr() == model.weights.data_ptr()
    assert not still.weights.requires_grad
    assert torch.equal(still.activation(v), model.activation(v))
    assert torch.equal(still.field(h), model.field(h))


def test_in_low_precision_products_are_rounded_and_biases_are_not():
    model = machine()
    with torch.autocast("cpu", torch.bfloat16):
        still = Resting.of(model)
        up, down = still.activation(torch.zeros(2, 40)), still.field(torch.zeros(2, 30))
        one = still.activation(torch.eye(40)[:1])
    assert still.weights.dtype == torch.bfloat16
    # with nothing to multiply the bias is left, to the last digit
    assert torch.equal(up[0], model.hidden_bias)
    assert torch.equal(down[0], model.visible_bias)
    assert torch.equal(one[0], model.weights[0].bfloat16() + model.hidden_bias)


def test_float64_is_left_alone():
    model = machine().double()
    with torch.autocast("cpu", torch.bfloat16):
        assert Resting.of(model).weights.dtype == torch.float64


def test_a_product_is_scaled_alike_in_both_precisions():
    bias, x, weights = torch.rand(3), torch.eye(2), torch.full((2, 3), 0.25)
    for matrix in (weights, weights.bfloat16()):
        assert torch.equal(plus_product(bias, x, matrix, 2.0), (bias + 0.5).expand(2, -1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_slopes_are_the_textbooks_in_the_precision_of_products(dtype):
    torch.manual_seed(0)
    v, h = torch.rand(9, 40).double(), torch.rand(9, 30).double()
    share = torch.tensor([1.0] * 3 + [-0.5] * 6).double()
    mu, lam = torch.rand(40).double(), torch.rand(30).double()
    weights, b, c = centred_slopes((v, h), (mu, lam), share, dtype)
    W = torch.einsum("r,ri,rj->ij", share, v - mu, h - lam)
    slack = 1e-12 if dtype == torch.float64 else 0.02
    assert weights.dtype == torch.float64
    assert 0 <= float((weights - W).abs().max()) < slack
    assert (dtype == torch.float64) == torch.allclose(weights, W, atol=1e-12)
    assert torch.allclose(b, share @ v - W @ lam, atol=1e-12)
    assert torch.allclose(c, share @ h - mu @ W, atol=1e-12)
    _, b, c = centred_slopes((v, h), (mu, lam), share, dtype, carried=(2 * mu, 3 * lam))
    assert torch.allclose(b, share @ v - 3 * W @ lam, atol=1e-12)
    assert torch.allclose(c, share @ h - 2 * mu @ W, atol=1e-12)


def test_shares_are_made_once_and_serve_autograd_whoever_asked_first():
    like = torch.zeros(1, dtype=torch.float64)
    with torch.inference_mode():
        share = shares(3, 7, like)
    assert torch.equal(share, torch.tensor([-1 / 3] * 3 + [1 / 7] * 7, dtype=torch.float64))
    assert shares(3, 7, like) is share
    assert shares(3, 7, like.float()).dtype == torch.float32
    x = torch.ones(10, dtype=torch.float64, requires_grad=True)
    (x * share).sum().backward()
    assert torch.equal(x.grad, share)


LEARNERS = {
    "CD": (lambda: RBM(Binary((40,)), 30), partial(ContrastiveDivergence, 2)),
    "PCD": (lambda: RBM(Binary((40,)), 30), PersistentContrastiveDivergence),
    "fast": (lambda: RBM(Binary((40,)), 30), FastPersistentContrastiveDivergence),
    "tempered": (lambda: RBM(Binary((40,)), 30), partial(TemperedContrastiveDivergence, 3)),
    "CD of reals": (lambda: RBM(Real((40,)), 30), ContrastiveDivergence),
    "tempered reals": (lambda: RBM(Real((40,)), 30), partial(TemperedContrastiveDivergence, 3)),
    "layer": (lambda: BinaryLayer(40, 30), LayerContrast),
    "persistent layer": (lambda: BinaryLayer(40, 30), partial(LayerContrast, 2, 100)),
    "label": (lambda: BinaryLayer(40, 30, 10), partial(LayerContrast, 1, 100)),
    "layer of reals": (lambda: GaussianLayer(40, 30), LayerContrast),
    "deep": (lambda: DeepBoltzmannMachine(Binary((40,)), (30, 20)), PersistentLayers),
    "first of deep": (
        lambda: DeepBoltzmannMachine(Binary((40,)), (30, 20)),
        partial(DoubledContrast, 1),
    ),
    "second of deep": (
        lambda: DeepBoltzmannMachine(Binary((40,)), (30, 20)),
        partial(DoubledContrast, 2),
    ),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_in_low_precision_only_the_slopes_of_matrices_are_rounded(name):
    """With couplings of 0 chains are alike, and no product but that of the gradient matters."""
    begin, objective = LEARNERS[name]
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = begin()
        with torch.no_grad():
            for p in model.parameters():
                p.zero_() if p.ndim == 2 or "log" in name else p.uniform_(-0.7, 0.3)
        x = (torch.rand(100, 40) < 0.3).float()
        x = x if "reals" not in name else x + 0.3 * torch.randn(100, 40)
        labels = torch.arange(100) % 10 if name == "label" else None
        method = objective()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            method.start(model, 100)
            torch.manual_seed(1)
            loss = method(model, Batch(x, labels))["loss"]
            loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(grad.dtype == torch.float32 for grad in grads)
        found.append([loss.detach()[None], *grads])
    for exact, low in zip(*found, strict=True):
        scale = float(exact.abs().max())
        if exact.ndim == 2:
            assert 1e-5 * scale < float((low - exact).abs().max()) < 0.02 * scale
        else:
            assert float((low - exact).abs().max()) < 1e-5 * scale + 1e-7


@pytest.mark.parametrize("precision", ["float32", "bf16", "float64"])
@pytest.mark.parametrize("name", LEARNERS)
def test_slopes_are_as_their_parameters_and_have_memory_of_their_own(name, precision):
    """Else what an optimiser, clipping or an all-reduce writes into one would reach others."""
    begin, objective = LEARNERS[name]
    dtype = torch.float64 if precision == "float64" else torch.float32
    model, method = begin().to(dtype), objective()
    x = (torch.rand(20, 40) < 0.3).to(dtype)
    labels = torch.arange(20) % 10 if name == "label" else None
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        method.start(model, 20)
        info, slopes = method.known(model, Batch(x, labels))
    assert not info["loss"].requires_grad
    for count in (20, 100):
        share = shares(20, count, x)
        assert torch.equal(share[:20], torch.full((20,), -1 / 20, dtype=dtype))
        assert torch.equal(share[20:], torch.full((count,), 1 / count, dtype=dtype))
    places = [p.data_ptr() for p in model.parameters()]
    places += [t.data_ptr() for t in vars(method).values() if isinstance(t, torch.Tensor)]
    for parameter, slope in slopes:
        assert slope.shape == parameter.shape
        assert slope.dtype == parameter.dtype
        assert slope.stride() == parameter.stride()
        assert slope.untyped_storage().nbytes() == slope.numel() * slope.element_size()
        assert slope.data_ptr() not in places
        places.append(slope.data_ptr())
