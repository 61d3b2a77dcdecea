"""Whole steps of contrastive divergence for binary units, see ``contrast.cpp``."""

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import c_double, c_float, c_int, c_int64, c_void_p
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genus.engine.moves import Move
from genus.kernels.build import library, suits

__all__ = ["BinaryContrast", "Contrasted"]

MOST_SWEEPS = 1 << 31


class _Moved(ctypes.Structure):
    _fields_ = (
        ("value", c_void_p),
        ("velocity", c_void_p),
        ("momentum", c_float),
        ("decay", c_float),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("num_data", "num_chains", "visible", "hidden")),
        *((name, c_int64) for name in ("sweeps", "fresh")),
        *((name, c_void_p) for name in ("data", "chains", "chains_after")),
        *((name, _Moved) for name in ("weights", "visible_bias", "hidden_bias")),
        *((name, c_void_p) for name in ("visible_offset", "hidden_offset")),
        *((name, c_float) for name in ("newest", "rate")),
        ("gap", c_double),
    )


class Contrasted(NamedTuple):
    """What a step has found.

    Attributes:
        gap: mean free energy of the data less that of the chains.
        offsets: μ and λ with this batch.
        chains: hidden units of persistent chains, k sweeps on.
    """

    gap: float
    offsets: tuple[Float[Tensor, " visible"], Float[Tensor, " hidden"]]
    chains: Float[Tensor, "chains hidden"] | None


class BinaryContrast:
    """Steps of CD-k or PCD-k with centring and SGD, of one machine on a CPU.

    Draws are those of :func:`genus.inference.gibbs.bernoulli`, one after the other, from torch's
    generator. Between steps it keeps room for its results and, in bfloat16, the weights as its
    products want them. It sees that somebody else has written to the weights by their version:
    what is written through ``.data`` enters the products one step late.

    Args:
        bf16: whether products run in bfloat16, summed up in float32.
    """

    def __init__(self, bf16: bool) -> None:
        found = _functions()
        assert found is not None
        self._library = found
        self._machine = c_void_p(found.genus_contrast_new(int(bf16)))
        self._step = _Step()
        self._weights: weakref.ref[nn.Parameter] | None = None
        self._left: tuple[int, int] | None = None
        weakref.finalize(self, found.genus_contrast_delete, self._machine)

    @staticmethod
    def serves(bf16: bool) -> bool:
        """Whether this machine has such steps; compiles them when it is first asked."""
        found = _functions()
        return found is not None and (not bf16 or bool(found.genus_has_bf16()))

    def step(
        self,
        data: Float[Tensor, "batch visible"],
        chains: Float[Tensor, "chains hidden"] | None,
        k: int,
        how: Sequence[Move],
        offsets: tuple[Float[Tensor, " visible"], Float[Tensor, " hidden"]],
        *,
        newest: float,
        rate: float,
    ) -> Contrasted | None:
        """Moves weights and biases in place.

        All tensors must be float32, contiguous and on a CPU, and of the shapes that the weights
        ask for, with a row of data and a chain at least: else nothing is done, and None returned.

        Args:
            data: rows of the data.
            chains: hidden units of persistent chains; None begins chains at the data.
            k: Gibbs steps.
            how: the moves of W (visible, hidden), b and c.
            offsets: μ and λ.
            newest: the share that this batch gets in the offsets.
            rate: η.

        Raises:
            RuntimeError: where a product fails, or memory is too small.
        """
        if not 0 < k <= MOST_SWEEPS or not _fit(data, chains, how, offsets):
            return None
        weights = how[0].parameter
        after = None if chains is None else torch.empty_like(chains)
        mu, lam = (offset.clone() for offset in offsets)
        step = self._step
        step.num_data = len(data)
        step.num_chains = len(data if chains is None else chains)
        step.visible, step.hidden = weights.shape
        step.sweeps, step.newest, step.rate = k, newest, rate
        same = self._weights is not None and self._weights() is weights
        step.fresh = not same or self._left != _state(weights)
        step.data, step.chains, step.chains_after = map(_place, (data, chains, after))
        step.visible_offset, step.hidden_offset = mu.data_ptr(), lam.data_ptr()
        for moved, move in zip(
            (step.weights, step.visible_bias, step.hidden_bias), how, strict=True
        ):
            moved.value, moved.velocity = move.parameter.data_ptr(), _place(move.velocity)
            moved.momentum, moved.decay = move.momentum, move.decay
        failed = self._library.genus_contrast_step(self._machine, ctypes.byref(step))
        if failed is not None:
            raise RuntimeError(failed.decode(errors="replace"))
        torch.autograd.graph.increment_version([move.parameter for move in how])
        self._weights, self._left = weakref.ref(weights), _state(weights)
        return Contrasted(step.gap, (mu, lam), after)


def _fit(
    data: Tensor, chains: Tensor | None, how: Sequence[Move], offsets: Sequence[Tensor]
) -> bool:
    """Whether the kernel may read and write all of them where they stand."""
    shape = visible, hidden = how[0].parameter.shape
    shapes = (shape, shape[:1], shape[1:])
    wanted = [(data, (len(data), visible)), *zip(offsets, shapes[1:], strict=True)]
    if chains is not None:
        wanted.append((chains, (len(chains), hidden)))
    for move, each in zip(how, shapes, strict=True):
        wanted.append((move.parameter, each))
        if move.velocity is not None:
            wanted.append((move.velocity, each))
    return len(wanted[0][0]) > 0 and all(
        tensor.dtype == torch.float32
        and tensor.is_cpu
        and tensor.is_contiguous()
        and tensor.shape == each
        and each[0] > 0
        for tensor, each in wanted
    )


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _state(weights: nn.Parameter) -> tuple[int, int]:
    """Another one where somebody else has written to the weights."""
    return weights.data_ptr(), weights._version


@lru_cache(maxsize=1)
def _functions() -> ctypes.CDLL | None:
    found = library("contrast") if suits() else None
    if found is not None:
        found.genus_contrast_new.restype = c_void_p
        found.genus_contrast_new.argtypes = (c_int,)
        found.genus_contrast_delete.argtypes = (c_void_p,)
        found.genus_contrast_step.restype = ctypes.c_char_p
        found.genus_contrast_step.argtypes = (c_void_p, c_void_p)
    return found
