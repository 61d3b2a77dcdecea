"""What each of two processes does under torchrun: two_processes.py MODE FOLDER [NAME]."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from unittest import mock

import torch
from toys import SIZE, Chains, Gaussian, Moments, Net, bits, data, game, likelihood, plain

from genus import Binary, Real
from genus.engine import Budget, Callback, Descend, Maximise, Optimiser, Tensors, distributed, run
from genus.engine.callbacks import Checkpoints
from genus.engine.checkpoint import write_tensors
from genus.engine.seeding import seeded
from genus.models import GAN, RBM
from genus.models.boltzmann import units
from genus.objectives import contrastive
from genus.objectives.sparsity import Sparsity
from genus.testing import lopsided

STEPS, SAVED, BATCH, CHAINS = 21, 10, 8, 6
DRAWS = torch.rand(64, 16, generator=torch.Generator().manual_seed(8))


def told(probability):
    """Coins that lie ready for each chain, whichever process it lives in."""
    rows, columns = probability.shape
    first = 0 if rows == CHAINS else distributed.rank() * rows
    return (DRAWS[first : first + rows, :columns] < probability).to(probability)


class ToldChains(contrastive.PersistentContrastiveDivergence):
    """The real objective, which tosses coins that were given."""

    def start(self, model, batch_size):
        with mock.patch.object(units, "bernoulli", told):
            super().start(model, batch_size)

    def _phases(self, model, still, data):
        with mock.patch.object(units, "bernoulli", told):
            return super()._phases(model, still, data)


class ToldGAN(GAN):
    """The real model, whose noise was given: each process has its share of it."""

    def _prior(self, n):
        rows = DRAWS[:BATCH][distributed.rank() :: distributed.world(), : self.num_latent]
        return (6 * rows - 3)[:n]


def machine():
    with seeded(5, torch.device("cpu")):
        model = RBM(Binary((SIZE,)), 7)
        model.weights.data.normal_(std=3.0)
    return model


def gan():
    with seeded(5, torch.device("cpu")):
        return ToldGAN(Real((SIZE,)), 3, hidden=(6, 4))


def gan_game():
    with seeded(6, torch.device("cpu")):
        return gan().algorithm(batch_size=BATCH, learning_rate=0.01, ema=0.8)


RUNS = {
    "likelihood": (
        Gaussian,
        lambda: Descend(
            likelihood, Optimiser(learning_rate=0.05, schedule="cosine", clip=1.0), batch_size=BATCH
        ),
    ),
    "accumulated": (
        Net,
        lambda: Descend(plain, Optimiser("sgd", 0.02), batch_size=BATCH, accumulation=2, ema=0.8),
    ),
    "chains": (Net, lambda: Descend(Chains(), Optimiser("sgd", 0.01), batch_size=BATCH)),
    "game": (Net, lambda: game(noise=0.0, net=Net.straight, ema=0.8)),
    "maximise": (Gaussian, lambda: Maximise(Moments(), epochs=9, batch_size=BATCH, tolerance=-1)),
    "rbm": (
        machine,
        lambda: Descend(
            ToldChains(1, CHAINS, sparsity=Sparsity(0.2, 0.5)),
            Optimiser("sgd", 0.1, (0.5, 0.0)),
            batch_size=BATCH,
        ),
    ),
    "gan": (gan, gan_game),
}


class Save(Callback):
    """Keeps the state after one step, for a resume with another number of processes."""

    def __init__(self, path):
        self.path = path

    def after_step(self, run, info):
        if run.progress.step == SAVED:
            run.save(self.path)


class Slowly(Callback):
    def after_step(self, run, info):
        time.sleep(0.03)


def learn(name, budget=None, callbacks=(), resume=None, spoil=False):
    make, algorithm = RUNS[name]
    model, learner = make(), algorithm()
    if spoil:
        # what the first process holds counts; the others may have begun anywhere
        with torch.no_grad():
            for module in (model, *getattr(learner, "scaffolding", {}).values()):
                for parameter in module.parameters():
                    parameter.add_(1.0)
    progress = run(
        model,
        bits() if isinstance(model, RBM) else data(),
        learner,
        budget=budget or Budget(steps=STEPS),
        seed=3,
        callbacks=callbacks,
        device="cpu",
        resume=resume,
    )
    return model, progress


def machine_of_quality(seed=0):
    """A small machine that has learnt with draws of its own, and the data it learnt from."""
    space = Binary((6,))
    x = lopsided(space, 400)
    objective = contrastive.PersistentContrastiveDivergence(1, num_chains=100)
    with seeded(seed, torch.device("cpu")):
        model = RBM(space, 5)
    run(
        model,
        Tensors(x, space),
        Descend(objective, Optimiser("sgd", 0.2, (0.5, 0.0), schedule="linear"), batch_size=50),
        budget=Budget(steps=1500),
        seed=seed,
        device="cpu",
    )
    return model, x


def die_with_the_launcher():
    """A worker whose launcher was killed would wait for the other one for half an hour."""
    kill_at_parents_end = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(kill_at_parents_end, signal.SIGKILL)


def main(mode, folder, *names):
    die_with_the_launcher()
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    if mode == "all":
        for name in RUNS:
            callbacks = [Save(folder / f"{name}.saved")]
            model, progress = learn(name, callbacks=callbacks, spoil=rank == 1)
            assert progress.step == STEPS
            write_tensors(folder / f"{name}.{rank}", dict(model.state_dict()), {})
            resumed, _ = learn(name, resume=folder / f"{name}.saved", spoil=rank == 1)
            write_tensors(folder / f"{name}.resumed.{rank}", dict(resumed.state_dict()), {})
        for rate in range(3):
            # clocks that differ: the slower process decides nothing
            if rank == 1:
                time.sleep(0.01 * rate)
            model, progress = learn("likelihood", Budget(seconds=0.1))
        write_tensors(folder / f"seconds.{rank}", dict(model.state_dict()), {"step": progress.step})
    elif mode == "quality":
        model, _ = machine_of_quality()
        write_tensors(folder / f"quality.{rank}", dict(model.state_dict()), {})
    else:
        path = folder / "training.safetensors"
        (folder / f"pid.{rank}").write_text(str(os.getpid()))
        resume = path if path.exists() else None
        callbacks = [Checkpoints(path, steps=3), Slowly()]
        model, _ = learn(names[0], Budget(steps=60), callbacks, resume)
        if rank == 0:
            write_tensors(folder / "model.safetensors", dict(model.state_dict()), {})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # neither leaves while the other still talks
        torch.distributed.destroy_process_group()
