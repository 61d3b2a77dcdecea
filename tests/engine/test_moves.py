"""The update that a compiler takes in is that of ``torch.optim.SGD``."""

import pytest
import torch
from torch import nn

from genus.engine import Optimiser
from genus.engine.moves import move, moves


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_it_goes_where_sgd_goes(momentum, decay):
    settings = Optimiser("sgd", 0.1, (momentum, 0.0), weight_decay=decay)
    ours, theirs = Two(), Two()
    pairs = [(model, settings.build(model.parameters())) for model in (ours, theirs)]
    generator = torch.Generator().manual_seed(1)
    for step in range(6):
        rate = 0.1 / (1 + step)
        slopes = [torch.randn(p.shape, generator=generator).to(p) for p in ours.parameters()]
        for number, (model, optimiser) in enumerate(pairs):
            mine = list(zip(model.parameters(), (s.clone() for s in slopes), strict=True))
            if number == 0 and step > 0:
                move(
                    mine[::-1],
                    moves(settings, optimiser),
                    torch.full((), rate, dtype=torch.float64),
                )
                continue
            for parameter, slope in mine[:2]:
                parameter.grad = slope
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-12, atol=0.0)
    assert torch.equal(ours.frozen, torch.ones(2, dtype=torch.float64))
    for one, other in zip(*(optimiser.state.values() for _, optimiser in pairs), strict=True):
        if momentum:
            torch.testing.assert_close(one["momentum_buffer"], other["momentum_buffer"])


@pytest.mark.parametrize(
    "settings",
    [
        Optimiser("adam"),
        Optimiser("sgd", clip=1.0),
        Optimiser("sgd", max_norm=1.0),
    ],
    ids=["adam", "clipped", "shortened"],
)
def test_other_updates_stay_with_the_optimiser(settings):
    assert moves(settings, settings.build(Two().parameters())) is None


def test_velocities_begin_at_zero_and_are_the_optimisers():
    settings = Optimiser("sgd", betas=(0.9, 0.0))
    model = Two()
    optimiser = settings.build(model.parameters())
    found = moves(settings, optimiser)
    assert len(found) == 2
    for each in found:
        assert torch.equal(each.velocity, torch.zeros_like(each.parameter))
        assert optimiser.state[each.parameter]["momentum_buffer"] is each.velocity


def test_what_is_frozen_in_the_midst_of_learning_stays():
    settings = Optimiser("sgd")
    model = Two()
    optimiser = settings.build(model.parameters())
    model.weights.requires_grad_(False)
    assert [each.parameter is model.bias for each in moves(settings, optimiser)] == [True]
    model.bias.requires_grad_(False)
    assert moves(settings, optimiser) is None
