"""Digits told apart from few and from many labels: pretrained layers against a random start.

    OMP_NUM_THREADS=2 python scripts/deep_classifier.py --seconds 7200 --seeds 3

A deep belief network, or with ``--model dbm`` a deep Boltzmann machine, learns all 60,000
training pictures of MNIST without labels, binary draws anew in every epoch; or it is that of a
run which did so:

    python scripts/deep_classifier.py --model dbm --pretrained runs/dbm-500-1000

Its layers begin a feed-forward classifier, which is fine-tuned with dropout on the grey pictures
of a random subset of labels; another with as many units begins at random and learns the same
subset as long, with the same algorithm. (The classifier of a machine has the means of its upper
layers as a second input, which a random start has not.) Both are judged on the 10,000 test
pictures after their last step; nothing is chosen on these. Figures are means over seeds, each
with a subset and an order of its own, and pretraining of its own where no run is given; the
standard error is that of the seeds where there are several, else that of the test pictures.

With ``--validate``, for choosing settings, the last 10,000 training pictures are judged on in place
of the test pictures: neither layers nor classifiers see them, but for a ``--pretrained`` run, which
may have seen the pictures without their labels. Nothing is written.

Writes results/dbn-classifier.json or results/dbm-classifier.json, or what ``--name`` says, after
each seed: what a run that is stopped has done, stays.
"""

import argparse
import json
import math
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import genus
from genus import data as datasets
from genus.engine import Budget, Descend, Optimiser, checkpoint
from genus.engine.compiled import check_compiler
from genus.engine.loop import resolve_device
from genus.engine.seeding import address, seeded
from genus.models import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.models.boltzmann import SigmoidClassifier
from genus.objectives.cross_entropy import CrossEntropy
from genus.recipes.results import hardware
from genus.spaces import Binary, Real

PUBLISHED = {100: (0.8170, 0.7602), 1000: (0.9365, 0.8871), 10_000: (0.9727, 0.9473)}
PUBLISHED |= {60_000: (0.9873, 0.9820)}
ACCURACY_OF = "monsta-hd/boltzmann-machines (mnist)"
ERRORS = {
    "dbn": (0.0115, "Hinton & Salakhutdinov 2006, pretraining + backprop (mnist)"),
    "dbm": (0.0095, "Salakhutdinov & Hinton 2009, fine-tuned classifier (mnist)"),
}
MODELS = {"dbn": DeepBeliefNetwork, "dbm": DeepBoltzmannMachine}
HIDDEN = {"dbn": (500, 500, 2000), "dbm": (500, 1000)}
RATES = {"dbn": 0.5, "dbm": 0.1}
SHARES = {"dbn": 0.02, "dbm": 0.5}
STARTS = ("pretrained", "random")
CPU = torch.device("cpu")


class Clock:
    """How much of a limit each part may spend: its weight among the parts still to come."""

    def __init__(self, seconds: float | None, weights: list[float]) -> None:
        self.end = None if seconds is None else time.perf_counter() + seconds
        self.weights = weights

    def next(self, epochs: float, steps: int | None = None) -> Budget:
        """The budget of the next part."""
        weight = self.weights.pop(0)
        seconds = None
        if self.end is not None:
            left = max(0.5, self.end - time.perf_counter())
            seconds = left * weight / (weight + sum(self.weights))
        return Budget(epochs=None if steps else epochs, steps=steps, seconds=seconds)


def mnist(validate: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Grey pictures on [0, 1] and labels: 60,000 to learn from, 10,000 to test on.

    To validate, the last 10,000 of the 60,000 are tested on, and the others learnt from.
    """
    data = datasets.load("mnist", view="pixels")
    parts = {name: data.materialise(name).float() / 255 for name in ("train", "valid", "test")}
    labels = {name: data.labels(name) for name in parts}
    x, y = (torch.cat([part["train"], part["valid"]]) for part in (parts, labels))
    if validate:
        return x[:-10_000], y[:-10_000], x[-10_000:], y[-10_000:]
    return x, y, parts["test"], labels["test"]


def pretrained(options: argparse.Namespace, x: Tensor, budget: Budget, seed: int) -> Any:
    """A network that has learnt the pictures, drawn in black and white anew in every epoch."""
    with seeded(address(seed, "network"), CPU):
        network: Any = MODELS[options.model](Binary(tuple(x.shape[1:])), options.hidden)
    network.set_visible_bias(x[:10_000].mean(0))
    network.set_hidden_bias(options.hidden_share)
    source = genus.engine.Tensors(x, network.space, transform=torch.bernoulli)
    if options.model == "dbn":
        algorithm = network.algorithm(learning_rate=options.pretraining_rate)
    else:
        together = network.algorithm(pretrain=False)
        algorithm = network.pretrained(together, learning_rate=options.pretraining_rate)
    network.fit(
        source,
        algorithm=algorithm,
        budget=budget,
        seed=seed,
        device=options.device,
        precision=options.precision,
        compiled=options.compiled,
    )
    return network.cpu()


def taken_up(options: argparse.Namespace) -> Any:
    """The network of the run that ``--pretrained`` names.

    Raises:
        ValueError: where it is of another class or space, or has seen labels that it should not.
    """
    network: Any = genus.load(options.pretrained)
    wanted, pictures = MODELS[options.model], Binary((1, 28, 28))
    if not isinstance(network, wanted) or network.space != pictures:
        raise ValueError(
            f"--pretrained must hold a {wanted.__name__} over {pictures}, {options.pretrained} "
            f"holds a {type(network).__name__} over {network.space}"
        )
    if network.condition is not None and (options.labels != [60_000] or options.validate):
        raise ValueError(
            f"{options.pretrained} learnt with all labels, so that few say nothing, nor do those "
            "of pictures kept back; take a network without, or --labels 60000 and no --validate"
        )
    return network


def fine_tuning(options: argparse.Namespace, budget: Budget) -> Descend:
    """How a classifier learns: Adam, its rate rising and then falling."""
    optimiser = Optimiser(
        learning_rate=options.rate,
        weight_decay=options.weight_decay,
        schedule="one-cycle",
        max_norm=options.max_norm,
        norm_over=1,
    )
    return Descend(CrossEntropy(), optimiser, batch_size=100, budget=budget)


def dropouts(options: argparse.Namespace) -> dict[str, float]:
    """What a classifier leaves out while it learns."""
    return {"dropout": options.dropout, "input_dropout": options.input_dropout}


def accuracies(
    options: argparse.Namespace,
    pictures: tuple[Tensor, ...],
    seed: int,
    clock: Clock,
    given: Any = None,
) -> dict[str, float]:
    """The test accuracy of every label count, pretrained and from a random start."""
    x, y, test, truth = pictures
    network = given
    if given is None and "pretrained" in options.starts:
        network = pretrained(options, x, clock.next(options.pretraining_epochs), seed)
    dropout = dropouts(options)
    generator = torch.Generator().manual_seed(address(seed, "labels"))
    order = torch.randperm(len(x), generator=generator)
    found = {}
    for count in options.labels:
        rows = order[:count]
        steps = max(options.fewest_steps, round(options.epochs * count / 100))
        for start in options.starts:
            with seeded(address(seed, start, count), CPU):
                if start == "pretrained":
                    classifier = network.to_classifier(10, grey=True, **dropout)
                else:
                    space = Real(tuple(x.shape[1:]))
                    classifier = SigmoidClassifier(space, 10, options.hidden, **dropout)
            budget = clock.next(options.epochs, steps)
            algorithm = fine_tuning(options, budget)
            classifier.fit(
                x[rows],
                y[rows],
                algorithm=algorithm,
                budget=budget,
                seed=seed,
                device=options.device,
                precision=options.precision,
            )
            classifier.cpu()
            found[f"{start}, {count} labels"] = 1 - classifier.error_rate(test, truth)
            say = f"seed {seed}: {start}, {count:,} labels: {found[f'{start}, {count} labels']:.4f}"
            print(say, flush=True)
    return found


def entry(values: list[float], num_test: int) -> dict[str, Any]:
    """The mean over seeds with its standard error."""
    mean = sum(values) / len(values)
    if len(values) > 1:
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
        error = spread / math.sqrt(len(values))
    else:
        error = math.sqrt(abs(mean * (1 - mean)) / num_test)
    return {"value": mean, "sign": "=", "standard_error": error}


def record(
    options: argparse.Namespace, found: list[dict[str, float]], num_test: int, seconds: float
) -> dict[str, Any]:
    """What the file in results/ holds."""
    metrics: dict[str, Any] = {}
    for name in found[0]:
        start, count = name.split(", ")
        here = entry([seed[name] for seed in found], num_test)
        published = PUBLISHED.get(int(count.split()[0]))
        if published is not None:
            here["published"] = published[0 if start == "pretrained" else 1]
            here["source"] = ACCURACY_OF
        metrics[f"accuracy, {name}"] = here
    for count in options.labels:
        pair = [f"{start}, {count} labels" for start in ("pretrained", "random")]
        gains = [seed[pair[0]] - seed[pair[1]] for seed in found]
        gain = entry(gains, num_test)
        if len(gains) == 1:
            gain["standard_error"] = None
        if count in PUBLISHED:
            gain["published"] = round(PUBLISHED[count][0] - PUBLISHED[count][1], 4)
            gain["source"] = ACCURACY_OF
        metrics[f"gain, {count} labels"] = gain
    if 60_000 in options.labels:
        errors = [1 - seed["pretrained, 60000 labels"] for seed in found]
        published, source = ERRORS[options.model]
        also = {"published": published, "source": source}
        metrics["error_rate"] = entry(errors, num_test) | also
    return {
        "recipe": options.name,
        "data": "mnist",
        "binarisation": "dynamic",
        "metrics": metrics,
        "seeds": list(range(len(found))),
        "commit": commit(),
        "hardware": hardware(),
        "seconds": round(seconds, 1),
        "command": shlex.join(["python", *sys.argv]),
        "note": "pretraining sees binary draws, classifiers grey pictures; "
        f"hidden {list(options.hidden)}, "
        f"dropout {options.dropout} and of the input {options.input_dropout}; "
        + (
            "one pretrained network for all seeds"
            if options.pretrained
            else f"pretraining rate {options.pretraining_rate}, hidden share {options.hidden_share}"
        ),
    }


def commit() -> str | None:
    """Of the sources that ran."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return asked.stdout.strip() or None


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=float, help="limit for everything; budgets shrink to fit")
    add("--seeds", type=int, default=1)
    add("--labels", type=int, nargs="+", help="by default 100, 1000, 10000 and all")
    add("--model", choices=sorted(MODELS), default="dbn")
    add("--pretrained", type=Path, help="folder of a run whose network begins, as it stands")
    add("--hidden", type=int, nargs="+", help="by default as published")
    add("--pretraining-epochs", type=float, default=90, help="over all layers")
    add("--pretraining-rate", type=float, help="by default 0.5, of a machine 0.1")
    add("--hidden-share", type=float, help="of units that are on before learning")
    add("--epochs", type=float, default=60, help="of fine-tuning")
    add("--fewest-steps", type=int, default=2000, help="of fine-tuning, where labels are few")
    add("--rate", type=float, default=1e-3)
    add("--weight-decay", type=float, default=0.0)
    add("--max-norm", type=float, help="of the weights into a unit, while fine-tuning")
    add("--dropout", type=float, default=0.3)
    add("--input-dropout", type=float, default=0.1)
    add("--device", default="auto")
    add("--precision", choices=["float32", "bf16", "auto"], default="float32")
    add("--compiled", action="store_true", help="pretrain in compiled steps")
    add("--out", type=Path, default=Path("results"))
    add("--name", help="of the record, by default dbn-classifier or dbm-classifier")
    add("--validate", action="store_true", help="judge on training pictures, to choose settings")
    add("--starts", nargs="+", choices=STARTS, default=STARTS, help="with --validate")
    options = parser.parse_args(arguments)
    if options.pretrained and options.hidden:
        parser.error("--hidden is that of the --pretrained network; give one of them")
    options.name = options.name or f"{options.model}-classifier"
    options.hidden = tuple(options.hidden or HIDDEN[options.model])
    for name, usual in (("pretraining_rate", RATES), ("hidden_share", SHARES)):
        if getattr(options, name) is None:
            setattr(options, name, usual[options.model])
        elif options.pretrained:
            parser.error(f"--{name.replace('_', '-')} is for pretraining, --pretrained has it done")
    if options.pretraining_rate <= 0 or not 0.001 <= options.hidden_share <= 0.999:
        parser.error("--pretraining-rate must be positive and --hidden-share 0.001 to 0.999")
    if set(options.starts) != set(STARTS) and not options.validate:
        parser.error("--starts goes with --validate; what is written holds both")
    if len(set(options.starts)) < len(options.starts):
        parser.error("--starts names one twice")
    if options.compiled and options.pretrained:
        parser.error("--compiled is for pretraining, --pretrained has it done")
    most = 50_000 if options.validate else 60_000
    options.labels = options.labels or [100, 1000, 10_000, most]
    wrong = [count for count in options.labels if not 1 <= count <= most]
    if wrong or options.seeds < 1:
        parser.error(
            f"labels must be 1 to {most} and seeds at least 1, got {wrong or options.seeds}"
        )
    try:
        fine_tuning(options, Budget(epochs=1))
        SigmoidClassifier(Real((1,)), 10, (1,), **dropouts(options))
        if options.compiled:
            check_compiler(resolve_device(options.device))
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    """Runs every seed and writes the record after each."""
    options, clock = parsed(), time.perf_counter()
    network = taken_up(options) if options.pretrained else None
    if network is not None:
        options.hidden = network.hidden
    pictures, found = mnist(options.validate), []
    if not options.validate:
        options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        seconds = None
        if options.seconds is not None:
            spent = time.perf_counter() - clock
            seconds = max(1.0, (options.seconds - spent) / (options.seeds - seed))
        each = [math.sqrt(count) for count in options.labels for _ in options.starts]
        pretrains = network is None and "pretrained" in options.starts
        weights = [sum(each), *each] if pretrains else each
        found.append(accuracies(options, pictures, seed, Clock(seconds, weights), network))
        if options.validate:
            continue
        made = record(options, found, len(pictures[2]), time.perf_counter() - clock)
        checkpoint.write_json(options.out / f"{options.name}.json", made)
    if not options.validate:
        print(json.dumps(made["metrics"], indent=1))


if __name__ == "__main__":
    main()
