"""Restricted Boltzmann machines, 784–500, batch 100: ours and others' in turn in one run.

    python benchmarks/rbm.py [--only train|ais] [--rounds N] [--device cpu|cuda] [--json FILE]

Training images a second by CD-1 and PCD-1 on binary MNIST, with the pseudo-likelihood that each
reaches in the same number of epochs at the same learning rate (no momentum, no weight decay), and
the rate that the five matrix products of a step allow: alone, in float32 and in bf16, and each of
what the one before it made. Each trains in a process of its own, one after the other, round after
round. Then annealed importance sampling with 1,000 chains. scikit-learn is needed; learnergy and
rbms take part where they are installed (``pip install learnergy rbms``), and a plain torch loop
always does.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from rbm_entries import CPU_ONLY, ENTRIES, HIDDEN, LOW, MOVED, PRODUCTS, VISIBLE, Parameters
from torch import Tensor, nn
from torch.nn import functional as F

import genus
from genus.inference.annealing import annealed_importance, inverse_temperatures
from genus.models import RBM

CHAINS, TEMPERATURES = 1000, 14_500


def seconds(function: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def pseudo_likelihood(parameters: Parameters, x: Tensor) -> float:
    """Mean over the data of Σᵢ log p(xᵢ | all others), every bit flipped in turn."""
    weights, visible_bias, hidden_bias = (p.detach().double().cpu() for p in parameters)
    total = torch.zeros(len(x), dtype=torch.float64)
    x = x.double().cpu()
    activation = x @ weights + hidden_bias
    here = F.softplus(activation).sum(1)
    for i in range(x.shape[1]):
        change = 1 - 2 * x[:, i]
        there = F.softplus(activation + change[:, None] * weights[i]).sum(1)
        total += F.logsigmoid(here - there - change * visible_bias[i])
    return float(total.mean())


class Contestant:
    """An entry in a process of its own, which waits while others run.

    In one process they would disturb one another: each brings pools of threads along that go on
    spinning, and a heap in a state of its own.

    Raises:
        ImportError: where its library is not installed.
        RuntimeError: where it died before it could begin.
    """

    def __init__(self, name: str, device: str, num_images: int) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, name, device, num_images)
        self.process = context.Process(target=_contest, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # so that a process that dies is heard of
        said = self._heard()
        if said is not None:
            raise ImportError(said)

    def ask(self, what: str, epochs: int) -> float:
        """``train`` for so many epochs: seconds. ``judge`` after so many: pseudo-likelihood.

        Raises:
            RuntimeError: where the process died.
        """
        return float(self._heard((what, epochs)))

    def stop(self) -> None:
        """Ends the process."""
        self.pipe.send(None)
        self.process.join()

    def _heard(self, asked: object = None) -> Any:
        try:
            if asked is not None:
                self.pipe.send(asked)
            return self.pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"the process of {self.name} died; see above") from None


def _contest(pipe: Connection, name: str, device: str, num_images: int) -> None:
    """What the process of a contestant does."""
    try:
        entry = ENTRIES[name](device)
    except ImportError as error:
        pipe.send(str(error))
        return
    data = genus.data.load("mnist", view="static")
    x = data.materialise("train", num_images).flatten(1).float()
    held_out = data.materialise("test", 1000).flatten(1).float()
    pipe.send(None)
    while (asked := pipe.recv()) is not None:
        what, epochs = asked
        if what == "train":
            pipe.send(seconds(lambda: entry.train(x, epochs), device))  # noqa: B023
        else:
            pipe.send(pseudo_likelihood(entry.train(x, epochs), held_out))


@contextlib.contextmanager
def _left_out(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)


def training(device: str, rounds: int, num_images: int, epochs: int) -> dict[str, object]:
    """Images a second, and what was learnt."""
    entries: dict[str, Contestant] = {}
    for name in ENTRIES:
        if device == "cpu" or name not in CPU_ONLY:
            with _left_out(name):
                entries[name] = Contestant(name, device, num_images)
    learnt: dict[str, float] = {}
    for name, entry in entries.items():  # which also warms them up
        if name in (PRODUCTS, LOW, MOVED):
            entry.ask("train", 1)
        else:
            learnt[name] = entry.ask("judge", epochs)
    rates: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(rounds):
        for name, entry in entries.items():
            rates[name].append(num_images / entry.ask("train", 1))
    for entry in entries.values():
        entry.stop()
    table: dict[str, object] = {}
    for name, values in rates.items():
        row: dict[str, object] = {"images_per_second": spread(values)}
        row["rounds"] = [round(value) for value in values]
        if name in learnt:
            row["pseudo_likelihood"] = round(learnt[name], 2)
        for peer in (PRODUCTS, LOW, MOVED, "scikit-learn PCD", "learnergy CD", "plain torch CD"):
            if name.startswith("genus") and peer in rates:
                pairs = zip(values, rates[peer], strict=True)
                row[f"times {peer}"] = spread([a / b for a, b in pairs])
                row[f"least against least, {peer}"] = max(values) / max(rates[peer])
        table[name] = row
    table["images"] = num_images
    table["epochs behind the pseudo-likelihood"] = epochs
    table["aim"] = (
        "float32 at least 0.8 of the five products; bf16 at least 3 times scikit-learn and "
        "4 times learnergy, at equal or better pseudo-likelihood"
    )
    return table


def trained(device: str) -> nn.Module:
    """A machine of data's own scale, for annealing."""
    x = genus.data.load("mnist", view="static").materialise("train", 10_000).flatten(1).float()
    torch.manual_seed(0)
    model = RBM(genus.Binary((VISIBLE,)), HIDDEN)
    model.set_visible_bias(x.mean(0))
    return model.fit(x, epochs=5, device=device).to(device)


def annealing(device: str, rounds: int, num_temperatures: int) -> dict[str, object]:
    """Seconds of annealed importance sampling with 1,000 chains, at the same temperatures."""
    model: Any = trained(device)
    path = model._tempered()
    betas = inverse_temperatures(num_temperatures)
    runs: dict[str, Callable[[], object]] = {
        "genus": lambda: annealed_importance(path, CHAINS, betas)
    }
    with _left_out("rbms"):
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.partition_function.ais import compute_partition_function_ais

        theirs = BBRBM(path.weights.clone(), path.visible_bias.clone(), path.hidden_bias.clone())
        runs["rbms"] = torch.no_grad()(
            lambda: compute_partition_function_ais(CHAINS, num_temperatures + 1, theirs)
        )
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, function in runs.items():
            taken[name].append(seconds(function, device))
    table: dict[str, object] = {
        "chains": CHAINS,
        "temperatures": num_temperatures,
        **{f"{name} seconds": spread(values) for name, values in taken.items()},
    }
    if "rbms" in taken:
        pairs = zip(taken["rbms"], taken["genus"], strict=True)
        table["times rbms"] = spread([a / b for a, b in pairs])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=["train", "ais"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=5, help="behind the pseudo-likelihood")
    parser.add_argument("--temperatures", type=int, default=TEMPERATURES)
    chosen = parser.parse_args()
    there = len(genus.data.load("mnist", view="static").materialise("train", chosen.images))
    if there != chosen.images:
        parser.error(f"--images: there are {there} to train on, {chosen.images} are wanted")
    figures: dict[str, object] = {
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
        + (f", {torch.cuda.get_device_name()}" if chosen.device == "cuda" else "")
    }
    if chosen.only in (None, "train"):
        figures["training"] = training(chosen.device, chosen.rounds, chosen.images, chosen.epochs)
        print(json.dumps(figures["training"], indent=2), flush=True)
    if chosen.only in (None, "ais"):
        rounds = 1 if chosen.temperatures >= TEMPERATURES else chosen.rounds
        figures["annealing"] = annealing(chosen.device, rounds, chosen.temperatures)
        print(json.dumps(figures["annealing"], indent=2), flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
