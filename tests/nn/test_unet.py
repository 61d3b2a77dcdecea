"""The U-Net and its attention, against torch's own and by what reaches what."""

import pytest
import torch

from genus.nn.attention import SelfAttention, attend
from genus.nn.unet import UNet


@pytest.mark.parametrize(
    ("height", "width", "patch"), [(28, 28, 2), (8, 8, 1), (7, 5, 1), (13, 6, 2), (2, 3, 4)]
)
def test_unet_takes_any_size(height, width, patch):
    net = UNet(2, 3, 10, channels=(4, 6, 8), attention=(False, False, True), patch=patch)
    out = net(torch.randn(2, 2, height, width), torch.randn(2, 10))
    assert out.shape == (2, 3, height, width)


def test_unet_sees_everything():
    net = UNet(1, 1, 6, channels=(4, 8), patch=2).double()
    x = torch.randn(1, 1, 9, 11, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x, torch.randn(1, 6, dtype=torch.float64))[0, 0, 0, 0], x)
    assert bool((gradient != 0).all())


@pytest.mark.parametrize("places", [3, 400])
def test_attention_against_torch(places):
    query, key, value = torch.randn(3, 2, 4, places, 5, dtype=torch.float64)
    truth = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attend(query, key, value), truth)


def test_attention_against_torchs_layer():
    ours = SelfAttention(6, 3).double()
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data.copy_(ours.to_heads.weight)
    theirs.in_proj_bias.data.copy_(ours.to_heads.bias)
    theirs.out_proj.load_state_dict(ours.to_channels.state_dict())
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    tokens = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1).reshape(2, 12, 6), (6,))
    found = theirs(tokens, tokens, tokens)[0].reshape(2, 3, 4, 6).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours(x), x + found)
