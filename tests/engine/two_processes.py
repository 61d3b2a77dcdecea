"""What each of two processes does under torchrun: two_processes.py MODE FOLDER [NAME]."""

import os
import sys
import time
from pathlib import Path

import torch
from toys import Chains, Gaussian, Moments, Net, data, game, likelihood, plain

from genus.engine import Budget, Callback, Descend, Maximise, Optimiser, run
from genus.engine.callbacks import Checkpoints
from genus.engine.checkpoint import write_tensors

STEPS, SAVED, BATCH = 21, 10, 8

RUNS = {
    "likelihood": (
        Gaussian,
        lambda: Descend(
            likelihood, Optimiser(learning_rate=0.05, schedule="cosine", clip=1.0), batch_size=BATCH
        ),
    ),
    "accumulated": (
        Net,
        lambda: Descend(plain, Optimiser("sgd", 0.1), batch_size=BATCH, accumulation=2, ema=0.8),
    ),
    "chains": (Net, lambda: Descend(Chains(), Optimiser("sgd", 0.01), batch_size=BATCH)),
    "game": (Net, lambda: game(noise=0.0, net=Net.straight, ema=0.8)),
    "maximise": (Gaussian, lambda: Maximise(Moments(), epochs=9, batch_size=BATCH, tolerance=-1)),
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
        data(),
        learner,
        budget=budget or Budget(steps=STEPS),
        seed=3,
        callbacks=callbacks,
        device="cpu",
        resume=resume,
    )
    return model, progress


def main(mode, folder, *names):
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
