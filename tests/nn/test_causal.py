import pytest
import torch

from genus.nn.causal import GatedCausalNetwork, HorizontalConv, VerticalConv, gate


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("reach", [1, 2])
def test_vertical_convolution_is_the_masked_one(strict, reach):
    """Cropping the kernel equals multiplying a square one with a mask."""
    conv = VerticalConv(2, 3, reach, strict=strict).double()
    x = torch.randn(2, 2, 5, 7).double()
    full = torch.zeros(3, 2, 2 * reach + 1, 2 * reach + 1).double()
    full[:, :, : conv.weight.shape[2]] = conv.weight.data
    expected = torch.nn.functional.conv2d(x, full, conv.bias, padding=reach)
    assert torch.allclose(conv(x), expected, atol=1e-12)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_horizontal_convolution_is_the_masked_one(strict, groups):
    sources, targets = torch.arange(6) * groups // 6, torch.arange(9) * groups // 9
    conv = HorizontalConv(sources, targets, 2, strict=strict).double()
    x = torch.randn(2, 6, 4, 7).double()
    full = torch.zeros(9, 6, 1, 5).double()
    full[:, :, :, : conv.weight.shape[3]] = conv.weight.data
    allowed = sources < targets[:, None] if strict else sources <= targets[:, None]
    full[:, :, 0, 2] *= allowed
    expected = torch.nn.functional.conv2d(x, full, conv.bias, padding=(0, 2))
    assert torch.allclose(conv(x), expected, atol=1e-12)


def test_gate_is_the_papers_with_weights_scaled():
    x = torch.randn(4, 6, 3, 3).double()
    a, b = x[:, :3], x[:, 3:]
    assert torch.allclose(gate(x), 2 * a.tanh() * (2 * b).sigmoid(), atol=1e-12)


def test_shapes():
    network = GatedCausalNetwork(
        (3, 5, 4), 2, 7, channels=6, num_layers=2, kernel=3, first_kernel=5, num_skip=4
    )
    assert network(torch.randn(2, 2, 3, 5, 4)).shape == (2, 7, 3, 5, 4)
