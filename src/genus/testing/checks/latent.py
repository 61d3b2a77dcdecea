"""What hidden causes owe: codes and data that belong to one another."""

import torch
from torch import Tensor

from genus.model import Encodes, Latent
from genus.spaces import Binary, Categorical, Pixels
from genus.testing.case import Case, Skipped

__all__ = [
    "prior_decodes_into_the_space",
    "reconstruct_is_decode_of_encode",
    "rows_decode_independently",
    "rows_encode_independently",
]


@torch.no_grad()
def prior_decodes_into_the_space(case: Case) -> None:
    """``decode(prior(n))`` has the space's shape and lies between its least and largest values."""
    model = _latent(case)
    z = model.prior(5, seed=1)
    assert len(z) == 5
    assert torch.equal(z, model.prior(5, seed=1)), "prior is not repeatable"
    assert not torch.equal(z, model.prior(5, seed=2)), "prior ignores its seed"
    x = model.decode(z, condition=_given(case, 5))
    if isinstance(model.space, Categorical):
        return
    assert tuple(x.shape) == (5, *model.space.shape), f"decode gives shape {tuple(x.shape)}"
    assert bool(torch.isfinite(x).all()), "decode is not finite"
    if isinstance(model.space, Binary | Pixels):
        top = model.space.levels - 1
        inside = float(x.min()) >= -1e-6 and float(x.max()) <= top + 1e-6
        assert inside, f"decoded means leave [0, {top}]: {float(x.min())} to {float(x.max())}"


@torch.no_grad()
def rows_decode_independently(case: Case) -> None:
    """Decoding a batch equals decoding row by row, and the code matters."""
    model = _latent(case)
    z, condition = model.prior(4, seed=2), _given(case, 4)
    whole = model.decode(z, condition=condition)
    rows = [
        model.decode(z[i : i + 1], condition=None if condition is None else condition[i])
        for i in range(4)
    ]
    assert torch.allclose(whole, torch.cat(rows), atol=1e-7), "a batch differs from its rows"
    codes = model.prior(64, seed=3).unique(dim=0)[:6]
    given = None if condition is None else condition[:1].expand(len(codes), *condition.shape[1:])
    data = model.decode(codes, condition=given)
    assert not torch.allclose(data, data[:1].expand_as(data), atol=1e-7), "codes change nothing"


@torch.no_grad()
def rows_encode_independently(case: Case) -> None:
    """Encoding a batch equals encoding row by row; codes have the shape of the prior's."""
    model, x, condition = _encodes(case)
    whole = model.encode(x, condition=condition)
    assert whole.shape == model.prior(len(x), seed=0).shape, f"codes of shape {whole.shape}"
    rows = [
        model.encode(x[i : i + 1], condition=None if condition is None else condition[i])
        for i in range(len(x))
    ]
    assert torch.allclose(whole, torch.cat(rows), atol=1e-7), "a batch differs from its rows"
    assert len(whole.unique(dim=0)) > 1, "all data have one code"


@torch.no_grad()
def reconstruct_is_decode_of_encode(case: Case) -> None:
    """``reconstruct(x)`` is ``decode(encode(x))`` where codes are repeatable."""
    model, x, condition = _encodes(case)
    codes = model.encode(x, condition=condition)
    if not torch.equal(codes, model.encode(x, condition=condition)):
        raise Skipped("codes are drawn")
    expected = model.decode(codes, condition=condition)
    found = model.reconstruct(x, condition=condition)
    assert torch.allclose(found, expected, atol=1e-7), "reconstruct differs from decode(encode(x))"


def _latent(case: Case) -> Latent:
    model = case.stiff()
    assert isinstance(model, Latent)
    return model


def _encodes(case: Case) -> tuple[Encodes, Tensor, Tensor | None]:
    model = case.stiff()
    assert isinstance(model, Encodes)
    return model, model.space.check(case.data[:6], like=model.example), _given(case, 6)


def _given(case: Case, n: int) -> Tensor | None:
    return None if case.condition is None else case.condition[:n]
