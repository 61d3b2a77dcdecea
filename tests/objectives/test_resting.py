"""The phases of a step in low precision: what is rounded, and what is not."""

import pytest
import torch

from genus.engine import Batch
from genus.models import RBM
from genus.objectives import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.objectives.resting import Resting, product
from genus.spaces import Binary


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


def test_the_product_of_the_gradient_follows_the_weights():
    below, above = torch.rand(200, 40), torch.rand(200, 30)
    exact = below.T @ above
    assert torch.allclose(product(below, above, exact), exact)
    low = product(below, above, exact.bfloat16())
    assert low.dtype == torch.float32
    assert 1e-4 < float((low - exact).abs().max() / exact.max()) < 2e-2


@pytest.mark.parametrize("objective", [ContrastiveDivergence, PersistentContrastiveDivergence])
def test_gradients_in_low_precision_are_those_in_float32_to_two_digits(objective):
    """Chains alike, as weights of 0 make them: then only products differ."""
    found = []
    for enabled in (False, True):
        model = machine()
        with torch.no_grad():
            model.weights.zero_()
        x = (torch.rand(100, 40) < 0.3).float()
        method = objective(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            method.start(model, 100)
            torch.manual_seed(1)
            method(model, Batch(x))["loss"].backward()
        found.append([p.grad for p in model.parameters()])
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    for exact, low in zip(*found, strict=True):
        assert float((low - exact).norm() / exact.norm()) < 0.02
