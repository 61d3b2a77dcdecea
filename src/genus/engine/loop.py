"""The training loop: it knows an algorithm and a source of batches, no model and no loss."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from genus.engine import checkpoint, distributed
from genus.engine.algorithm import Algorithm, Info
from genus.engine.batches import Source
from genus.engine.budget import Budget, Progress
from genus.engine.compiled import check_compiler, compile_steps
from genus.engine.seeding import address, seed_now

__all__ = [
    "Callback",
    "NotFiniteError",
    "Precision",
    "Run",
    "resolve_device",
    "resolve_precision",
    "run",
]

Precision = Literal["float32", "bf16", "auto"]
WATCH_EVERY = 50


class NotFiniteError(ArithmeticError):
    """A run diverged: its loss or a parameter is not finite."""


class Callback:
    """Watches a run. Its time does not count against the budget.

    Attributes:
        every: steps between calls of ``after_step``.
    """

    every: int = 1

    def start(self, run: "Run") -> None:
        """Before the first step (or the first after a resume)."""

    def after_step(self, run: "Run", info: Info) -> None:
        """After every ``every``-th step."""

    def after_epoch(self, run: "Run", info: Info) -> None:
        """After each pass over the data."""

    def stop(self, run: "Run") -> None:
        """After the last step, with the model as it was being trained."""

    def end(self, run: "Run") -> None:
        """After the last step, with the model ready to answer."""


@dataclass
class Run:
    """What callbacks see of a run."""

    model: nn.Module
    algorithm: Algorithm
    data: Source
    budget: Budget
    seed: int
    device: torch.device
    progress: Progress = field(default_factory=Progress)
    losses: list[Tensor] = field(default_factory=list)

    def check_finite(self) -> None:
        """Raises NotFiniteError where the loss of any step since the last check was not finite."""
        bad = bool(self.losses) and not bool(torch.isfinite(torch.stack(self.losses)).all())
        self.losses.clear()
        if distributed.agree(bad, self.device):
            raise NotFiniteError(
                f"the run diverged: the loss stopped being finite by step {self.progress.step}; "
                "lower the learning rate, or clip gradients"
            )

    def save(self, path: Path) -> None:
        """Writes everything that the rest of the run depends on to one file.

        Raises:
            NotFiniteError: where a parameter is not finite; the file stays as it was.
        """
        self.check_finite()
        bad = not all(bool(torch.isfinite(p).all()) for p in self.model.parameters())
        if distributed.agree(bad, self.device):
            raise NotFiniteError(
                f"the run diverged: parameters stopped being finite by step {self.progress.step}; "
                "lower the learning rate, or clip gradients"
            )
        state = self.algorithm.state_dict()
        for name in self.algorithm.sharded:
            _replace(state, name, distributed.gather_rows)
        if distributed.rank() == 0:
            tensors: dict[str, Tensor] = {}
            tree = {"model": dict(self.model.state_dict()), "algorithm": state}
            plain = checkpoint.pack(tree, tensors)
            progress = asdict(self.progress)
            metadata = {
                "model": type(self.model).__name__,
                "algorithm": type(self.algorithm).__name__,
                "sharded": list(self.algorithm.sharded),
                "state": plain,
                "progress": progress,
                "seed": self.seed,
            }
            checkpoint.write_tensors(path, tensors, metadata)

    def load(self, path: Path) -> None:
        """Takes up what :meth:`save` wrote, with the same or another number of processes.

        Raises:
            ValueError: where the file is damaged or belongs to another run.
        """
        tensors, metadata = checkpoint.read_tensors(path)
        for part in ("model", "algorithm"):
            here = type(getattr(self, part)).__name__
            if metadata.get(part) != here:
                raise ValueError(
                    f"{path} is of another {part}: expected {here}, got {metadata.get(part)}"
                )
        if metadata["seed"] != self.seed:
            raise ValueError(f"{path} is of a run with seed {metadata['seed']}, not {self.seed}")
        tree = checkpoint.unpack(metadata["state"], tensors)
        try:
            self.model.load_state_dict(tree["model"])
            for name in metadata["sharded"]:
                _replace(tree["algorithm"], name, distributed.take_rows)
            self.algorithm.load_state_dict(tree["algorithm"])
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{path} does not fit this model and algorithm: {error}") from error
        for name in ("step", "epoch", "step_in_epoch", "seconds", "examples"):
            setattr(self.progress, name, metadata["progress"][name])


def run(
    model: nn.Module,
    data: Source,
    algorithm: Algorithm,
    *,
    budget: Budget | None = None,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
    device: str | torch.device = "auto",
    precision: Precision = "float32",
    compiled: bool = False,
    resume: Path | None = None,
) -> Progress:
    """Trains ``model`` on ``data`` with ``algorithm`` until the budget is spent.

    What step t draws follows from (seed, t), and the order of epoch e from (seed, e): a run
    that is killed and resumed equals an uninterrupted one bit for bit on one device. Under
    ``torchrun`` every process takes its share of each batch.

    Args:
        model: moved to the device and left there.
        data: where batches come from.
        algorithm: how the model learns.
        budget: how long; the algorithm's own by default.
        seed: of order and draws.
        callbacks: watchers, called in order.
        device: "auto" takes a GPU where there is one.
        precision: "bf16" runs matrix products in bfloat16 with float32 parameters; "auto" does
            so where the hardware is made for it.
        compiled: take each step by a kernel or by ``torch.compile``, where the algorithm can.
        resume: a file that :meth:`Run.save` wrote.

    Returns:
        How far the run came.

    Raises:
        NotFiniteError: where the loss stops being finite.
        ValueError: where the steps cannot be compiled.
    """
    place = resolve_device(device)
    distributed.join(place)
    if compiled:
        check_compiler(place)
    compile_steps(algorithm, compiled)
    model.to(place).train()
    distributed.broadcast(model.state_dict().values())
    limit = budget or algorithm.budget
    state = Run(model, algorithm, data.to(place), limit, seed, place)
    per_epoch = data.batches_per_epoch(algorithm.batch_size, whole=algorithm.uses_every_example)
    state.progress.total_steps = limit.total_steps(per_epoch)
    state.progress.total_seconds = limit.seconds
    with _preserved_randomness(place):
        seed_now(address(seed, "start"), place)
        algorithm.start(model)
        if resume is not None:
            state.load(resume)
        for callback in callbacks:
            callback.start(state)
        _loop(state, callbacks, resolve_precision(precision, place))
        state.check_finite()
        for callback in callbacks:
            callback.stop(state)
        algorithm.finish()
        model.eval()
        for callback in callbacks:
            callback.end(state)
    return state.progress


def _loop(run: Run, callbacks: Sequence[Callback], precision: Precision) -> None:
    progress, algorithm = run.progress, run.algorithm
    per_epoch = run.data.batches_per_epoch(algorithm.batch_size, whole=algorithm.uses_every_example)
    while not algorithm.finished:
        _epoch(run, callbacks, precision)
        if progress.step_in_epoch < per_epoch:
            return
        clock = time.perf_counter()
        progress.epoch += 1
        progress.step_in_epoch = 0
        place = address(run.seed, "epoch end", progress.epoch, distributed.rank())
        seed_now(place, run.device)
        info = algorithm.end_epoch(progress)
        _count_seconds(run, clock)
        for callback in callbacks:
            callback.after_epoch(run, info)


def _epoch(run: Run, callbacks: Sequence[Callback], precision: Precision) -> None:
    """The steps of one epoch that are still to be taken, as far as the budget allows."""
    progress, algorithm = run.progress, run.algorithm
    place, world, rank = run.device, distributed.world(), distributed.rank()
    cast: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if precision == "bf16":
        cast = torch.autocast(place.type, torch.bfloat16)
    batches = run.data.batches(
        algorithm.batch_size,
        seed=run.seed,
        epoch=progress.epoch,
        skip=progress.step_in_epoch,
        whole=algorithm.uses_every_example,
        rank=rank,
        world=world,
    )
    clock = time.perf_counter()
    for raw in batches:
        if progress.spent:
            return
        seed_now(address(run.seed, "step", progress.step, rank), place)
        batch = run.data.prepare(raw.to(place))
        with cast:
            info = algorithm.step(batch, progress)
        run.losses.append(info["loss"])
        size = min(algorithm.batch_size, run.data.num_examples)
        progress.examples += min(size, run.data.num_examples - size * progress.step_in_epoch)
        progress.step += 1
        progress.step_in_epoch += 1
        _wait_for_device(run, callbacks)
        _count_seconds(run, clock)
        if progress.step % WATCH_EVERY == 0:
            run.check_finite()
        for callback in callbacks:
            if progress.step % callback.every == 0:
                callback.after_step(run, info)
        clock = time.perf_counter()


def _wait_for_device(run: Run, callbacks: Sequence[Callback]) -> None:
    """Where someone is about to look, work that a GPU still has to do counts as training."""
    if run.device.type == "cuda":
        step = run.progress.step
        if step % WATCH_EVERY == 0 or any(step % callback.every == 0 for callback in callbacks):
            torch.cuda.synchronize(run.device)


def _count_seconds(run: Run, clock: float) -> None:
    """Adds the time since ``clock``; where time is the budget, all processes share one clock."""
    run.progress.seconds += time.perf_counter() - clock
    if run.progress.total_seconds is not None:
        run.progress.seconds = distributed.first(run.progress.seconds, run.device)


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision to use; "auto" is bf16 where the hardware multiplies it at full speed.

    Raises:
        ValueError: where the precision is unknown.
    """
    if precision not in ("float32", "bf16", "auto"):
        raise ValueError(f"precision must be 'float32', 'bf16' or 'auto', got {precision!r}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return "bf16" if fast else "float32"


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to use; "auto" is the GPU of this process where there is one.

    Raises:
        ValueError: where the device does not exist here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {str(device)!r} is not available here; choose auto, cpu or, with a GPU, cuda"
        ) from error
    if str(place) == "cuda":
        place = torch.device("cuda", distributed.local_rank())
        torch.cuda.set_device(place)
    return place


@contextlib.contextmanager
def _preserved_randomness(device: torch.device) -> Iterator[None]:
    """Leaves the global generators as they were before the run."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _replace(tree: dict[str, object], path: str, change: object) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        tree = tree[name]  # type: ignore[assignment]
    tree[leaf] = change(tree[leaf])  # type: ignore[operator]
