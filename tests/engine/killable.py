"""Trains a toy in a folder, taking up what an earlier call left: killable.py NAME FOLDER."""

import sys
import time
from pathlib import Path

import torch
from toys import ALGORITHMS, data

from genus.engine import Budget, Callback, run
from genus.engine.callbacks import Checkpoints
from genus.engine.checkpoint import write_tensors


class Slowly(Callback):
    """Takes its time, so that a kill falls within the run, and says that it lives."""

    def __init__(self, folder):
        self.folder = folder

    def after_step(self, run, info):
        (self.folder / "alive").touch()
        time.sleep(0.004)


def main(name, folder):
    torch.set_num_threads(1)
    make, algorithm = ALGORITHMS[name]
    model, path = make(), folder / "training.safetensors"
    if name == "maximise":
        learner = algorithm()
        learner.epochs, learner.tolerance = 1000, -1.0
    else:
        learner = algorithm()
    run(
        model,
        data(),
        learner,
        budget=Budget(steps=60),
        seed=3,
        callbacks=[Checkpoints(path, steps=1), Slowly(folder)],
        device="cpu",
        resume=path if path.exists() else None,
    )
    write_tensors(folder / "model.safetensors", dict(model.state_dict()), {})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
