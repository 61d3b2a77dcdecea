"""What a model costs: draws a second, network evaluations, parameters, memory."""

import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from genus.model import Model

__all__ = [
    "Speed",
    "forget_peak_memory",
    "network_evaluations",
    "num_parameters",
    "peak_memory",
    "sampling_speed",
]


@dataclass(frozen=True)
class Speed:
    """How fast samples come.

    Attributes:
        samples_per_second: after warm-up.
        batch_size: draws at once; small batches cost some samplers dearly.
        num_samples: how many were drawn and timed.
    """

    samples_per_second: float
    batch_size: int
    num_samples: int


def sampling_speed(
    model: Model,
    *,
    smallest: int = 1,
    batch_size: int = 256,
    seconds: float = 1.5,
    seed: int = 0,
    draw: Callable[[int, int], object] | None = None,
) -> Speed:
    """Draws a second in the largest batch that a few seconds allow.

    The smallest batch warms up; then the batch grows fourfold as long as one takes less than
    ``seconds`` and all together less than four times that, and the last size is timed.

    Args:
        model: whose ``sample`` is timed.
        smallest: the first batch; the only one of a sampler that takes longer than ``seconds``.
        batch_size: the largest batch.
        seconds: roughly how long to measure.
        seed: of the draws.
        draw: from a number and a seed to that many draws; ``model.sample`` without condition
            by default.
    """
    take = draw or (lambda n, key: model.sample(n, seed=key))
    size, total = smallest, _timed(lambda: take(smallest, seed), model)
    spent = total
    while size < batch_size and spent < seconds and total < 4 * seconds:
        size = min(4 * size, batch_size)
        spent = _timed(lambda n=size: take(n, seed), model)  # type: ignore[misc]
        total += spent
    drawn = size
    while spent < seconds:
        spent += _timed(lambda: take(size, seed + 1), model)
        drawn += size
    return Speed(drawn / spent, size, drawn)


def _timed(action: Callable[[], object], model: Model) -> float:
    on_gpu = model.example.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def network_evaluations(model: Model, action: Callable[[], object]) -> int:
    """How often ``action`` passes through the model's most used layer, one after another.

    Layers are the modules that hold parameters of their own. A model that is no composition of
    layers counts as one evaluation.
    """
    calls: Counter[nn.Module] = Counter()
    layers = [
        module
        for module in model.modules()
        if module is not model and next(module.parameters(recurse=False), None) is not None
    ]
    hooks = [layer.register_forward_pre_hook(lambda m, _: calls.update([m])) for layer in layers]
    try:
        action()
    finally:
        for hook in hooks:
            hook.remove()
    return max(calls.values(), default=1)


def num_parameters(model: nn.Module) -> int:
    """How many numbers the model has learnt."""
    return sum(parameter.numel() for parameter in model.parameters())


_held_before: ContextVar[int | None] = ContextVar("held_before", default=None)


def forget_peak_memory() -> None:
    """Lets the peak start anew, and notes what is held already."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        _held_before.set(torch.cuda.memory_allocated())
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        _held_before.set(None)
        return
    _held_before.set(_process_memory("VmRSS"))


def peak_memory() -> int | None:
    """How far memory rose after :func:`forget_peak_memory`, in bytes: on the GPU, else here.

    What the process held before (libraries, data, earlier models) is taken off; memory that an
    earlier model gave back but the process kept, and that is used again, is not counted. None
    where the system does not tell, or the peak was never started anew.
    """
    before = _held_before.get()
    on_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if on_gpu else _process_memory("VmHWM")
    return None if before is None or peak is None else max(0, peak - before)


def _process_memory(name: str) -> int | None:
    """A line of the system's own account of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        found = next(line for line in lines if line.startswith(name))
    except (OSError, StopIteration):
        return None
    return int(found.split()[1]) * 1024
