"""The phases of a step in low precision: what is rounded, and what is not."""

from functools import partial

import pytest
import torch

from genus.engine import Batch
from genus.inference.products import plus_product
from genus.models import RBM, DeepBoltzmannMachine
from genus.models.boltzmann.layer import BinaryLayer
from genus.objectives import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.doubled import DoubledContrast
from genus.objectives.layer_contrast import LayerContrast
from genus.objectives.persistent_layers import PersistentLayers
from genus.objectives.resting import Resting, centred_slopes
from genus.spaces import Binary


def machine():
    torch.manual_seed(0)
    model = RBM(Binary((40,)), 30)
    with torch.no_grad():
        model.weights.normal_(std=0.3)
        model.visible_bias.uniform_(-9, -5)
        model.hidden_bias.uniform_(-9, -5)
    return model


def layer():
    """The same as a layer of a deep network."""
    found, model = BinaryLayer(40, 30), machine()
    found.load_state_dict({**found.state_dict(), **dict(model.named_parameters())})
    return found


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


def layers_of(model):
    """A deep Boltzmann machine with couplings of 0, so that only products differ."""
    with torch.no_grad():
        for weights in model.weights:
            weights.zero_()
        for bias in model.biases:
            bias.uniform_(-2, 2)
    return model


@pytest.mark.parametrize("objective", [PersistentLayers, partial(DoubledContrast, 1)])
def test_layers_in_low_precision_learn_as_in_float32(objective):
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = layers_of(DeepBoltzmannMachine(Binary((40,)), (30, 20)))
        x = (torch.rand(100, 40) < 0.3).float()
        method = objective()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            method.start(model, 100)
            torch.manual_seed(1)
            loss = method(model, Batch(x))["loss"]
            loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(grad.dtype == torch.float32 for grad in grads)
        found.append([loss.detach()[None], *grads])
    for exact, low in zip(*found, strict=True):
        assert float((low - exact).norm()) <= 0.02 * float(exact.norm())
    assert not torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_slopes_are_the_textbooks_in_the_precision_of_the_weights(dtype):
    torch.manual_seed(0)
    v, h = torch.rand(9, 40).double(), torch.rand(9, 30).double()
    share = torch.tensor([1.0] * 3 + [-0.5] * 6).double()
    mu, lam = torch.rand(40).double(), torch.rand(30).double()
    found = centred_slopes(v, h, share, mu, lam, torch.zeros((), dtype=dtype))
    W = torch.einsum("r,ri,rj->ij", share, v - mu, h - lam)
    slack = 1e-12 if dtype == torch.float64 else 0.02
    assert found.weights.dtype == torch.float64
    assert 0 <= float((found.weights - W).abs().max()) < slack
    assert (dtype == torch.float64) == torch.allclose(found.weights, W, atol=1e-12)
    assert torch.allclose(found.visible_bias, share @ v - W @ lam, atol=1e-12)
    assert torch.allclose(found.hidden_bias, share @ h - mu @ W, atol=1e-12)


@pytest.mark.parametrize(
    ("begin", "objective"),
    [
        (machine, ContrastiveDivergence),
        (machine, PersistentContrastiveDivergence),
        (layer, LayerContrast),
        (layer, partial(LayerContrast, num_chains=100)),
    ],
)
def test_gradients_in_low_precision_are_those_in_float32_to_two_digits(begin, objective):
    """Chains alike, as weights of 0 make them: then only products differ."""
    found = []
    for enabled in (False, True):
        model = begin()
        with torch.no_grad():
            model.weights.zero_()
        x = (torch.rand(100, 40) < 0.3).float()
        method = objective(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            method.start(model, 100)
            torch.manual_seed(1)
            loss = method(model, Batch(x))["loss"]
            loss.backward()
        found.append([loss.detach()[None], *(p.grad for p in model.parameters())])
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    for exact, low in zip(*found, strict=True):
        assert float((low - exact).norm() / exact.norm()) < 0.02
