"""Several processes under ``torchrun``: who we are, and averages over all of us."""

import atexit
import os
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "agree",
    "average",
    "average_gradients",
    "broadcast",
    "first",
    "gather_rows",
    "join",
    "leave",
    "local_rank",
    "rank",
    "take_rows",
    "total",
    "world",
]


def join(device: torch.device) -> bool:
    """Joins the group that ``torchrun`` describes; False where there is none or we are in it.

    The process stays in it to its end: a second run uses it again, as gloo cannot be rebuilt
    over the addresses of the first.
    """
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return False
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    atexit.register(leave)
    return True


def leave() -> None:
    """Leaves the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> int:
    """The number of processes, 1 outside a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, 0 outside a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """The number of this process on its machine: the GPU that it takes."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over the processes, in one coalesced all-reduce."""
    _reduce(tensors, 1.0 / world())


def total(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its sum over the processes."""
    _reduce(tensors, 1.0)


def _reduce(tensors: Sequence[Tensor], scale: float) -> None:
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    if scale != 1.0:
        flat.mul_(scale)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages the gradients over the processes."""
    if world() > 1:
        average([p.grad for p in parameters if p.grad is not None])


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Gives every process the tensors of the first one."""
    if world() > 1:
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            dist.broadcast(whole, 0)
            if not tensor.is_contiguous():
                tensor.detach().copy_(whole)


def agree(flag: bool, device: torch.device) -> bool:
    """True on every process where it is true on any."""
    if world() == 1:
        return flag
    votes = torch.tensor(float(flag), device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes.item())


def first(value: float, device: torch.device) -> float:
    """The first process' value, on every process."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in order of rank."""
    if world() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def take_rows(rows: Tensor) -> Tensor:
    """This process' share of rows that :func:`gather_rows` put together."""
    if len(rows) % world():
        raise ValueError(f"{len(rows)} rows cannot be split evenly among {world()} processes")
    return rows.chunk(world())[rank()].clone()
