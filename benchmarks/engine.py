"""What the engine costs: a step, a start, and a whole VAE against pythae's.

    python benchmarks/engine.py [--json FILE]

The rows for pythae need it installed (``pip install pythae``); they are left out otherwise.
Ours and theirs run in turn in one process on the same data, and ratios carry their spread.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import genus
from genus.engine import Batch, Budget, Descend, Info, Optimiser, Tensors, run

ROUNDS = 7


def seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "least": ordered[0], "most": ordered[-1]}


def step_cost(steps: int = 2000) -> dict[str, object]:
    """Microseconds a step of 784→128, batch 32: the engine above a bare loop."""
    torch.set_num_threads(1)
    x = torch.randn(steps * 32, 784)
    space = genus.Real((784,))

    def loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return model(x).square().mean()

    def objective(model: nn.Module, batch: Batch) -> Info:
        return {"loss": loss(model, batch.x)}

    def bare() -> None:
        model = nn.Linear(784, 128)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        order = torch.randperm(len(x))
        for i in range(steps):
            optimiser.zero_grad(set_to_none=True)
            loss(model, x[order[i * 32 : i * 32 + 32]]).backward()
            optimiser.step()

    def engine() -> None:
        algorithm = Descend(objective, Optimiser(weight_decay=1e-2), batch_size=32)
        run(nn.Linear(784, 128), Tensors(x, space), algorithm, budget=Budget(steps=steps))

    bare(), engine()
    pairs = [(seconds(bare), seconds(engine)) for _ in range(ROUNDS)]
    torch.set_num_threads(os.cpu_count() or 1)
    return {
        "bare_us": spread([1e6 * b / steps for b, _ in pairs]),
        "engine_us": spread([1e6 * e / steps for _, e in pairs]),
        "above_us": spread([1e6 * (e - b) / steps for b, e in pairs]),
        "least_above_least_us": 1e6 * (min(e for _, e in pairs) - min(b for b, _ in pairs)) / steps,
        "aim": "at most 60 µs above",
    }


def start_cost() -> dict[str, object]:
    """Seconds to start, each in a fresh process; torch's own import is subtracted."""

    def wall(*command: str) -> float:
        return seconds(lambda: subprocess.run(command, check=True, capture_output=True))

    python, script = sys.executable, str(Path(sys.executable).with_name("genus"))
    names = ("help", "torch", "import genus", "list", "data", "train --help")
    rows: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        rows["help"].append(wall(script, "--help"))
        rows["torch"].append(wall(python, "-c", "import torch"))
        rows["import genus"].append(wall(python, "-c", "import torch, genus"))
        for name in names[3:]:
            rows[name].append(wall(script, *name.split()))
    torch_import = statistics.median(rows["torch"])
    return {
        "help_s": spread(rows["help"]),
        "import_genus_beyond_torch_s": statistics.median(rows["import genus"]) - torch_import,
        **{
            f"{name}_beyond_torch_s": statistics.median(rows[name]) - torch_import
            for name in names[3:]
        },
        "aim": "help at most 0.5 s; the others at most 0.3 s beyond torch",
    }


def images(count: int = 20_000) -> torch.Tensor:
    data = genus.data.load("mnist", view="static")
    return data.materialise("train", count)


def ours(x: torch.Tensor, precision: str) -> Callable[[], None]:
    """The same network as pythae's default MLP: 784–512–(16+16), 16–512–784."""
    from genus.models import VAE

    def train() -> None:
        model = VAE(genus.Binary((1, 28, 28)), num_latent=16, hidden=(512,), architecture="mlp")
        model.fit(x, epochs=1, precision=precision, algorithm=_algorithm(model))

    def _algorithm(model: nn.Module) -> Descend:
        from genus.objectives.variational import EvidenceLowerBound

        return Descend(EvidenceLowerBound(), Optimiser(learning_rate=1e-3), batch_size=100)

    return train


def theirs(x: torch.Tensor, folder: Path) -> Callable[[], None]:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    labels = torch.zeros(len(x))

    def train() -> None:
        model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
        config = BaseTrainerConfig(
            output_dir=str(folder),
            num_epochs=1,
            per_device_train_batch_size=100,
            learning_rate=1e-3,
            no_cuda=True,
        )
        trainer = BaseTrainer(model, BaseDataset(x, labels), training_config=config)
        trainer.prepare_training()
        trainer.train_step(epoch=1)

    return train


def bare_vae(x: torch.Tensor) -> Callable[[], None]:
    """The same network without any library: about the limit of this machine in float32."""

    def train() -> None:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 32))
        decoder = nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 784))
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
        order = torch.randperm(len(x))
        for i in range(0, len(x), 100):
            batch = x[order[i : i + 100]].flatten(1)
            mean, log_variance = encoder(batch).chunk(2, 1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            rebuilt = F.binary_cross_entropy_with_logits(decoder(z), batch, reduction="sum")
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
            ((rebuilt + kl) / 100).backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return train


def vae_rate(folder: Path) -> dict[str, object]:
    """Training images a second, batch 100."""
    x = images()
    contestants = {
        "genus float32": ours(x, "float32"),
        "genus bf16": ours(x, "bf16"),
        "bare loop": bare_vae(x),
    }
    try:
        contestants["pythae"] = theirs(x, folder)
    except Exception as error:
        print(f"pythae is left out: {error}", file=sys.stderr)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(ROUNDS + 1):
        for name, train in contestants.items():
            rate = len(x) / seconds(train)
            if round_ > 0:
                rates[name].append(rate)
    result: dict[str, object] = {f"{name} images/s": spread(r) for name, r in rates.items()}
    if "pythae" in rates:
        for name in ("genus float32", "genus bf16"):
            pairs = zip(rates[name], rates["pythae"], strict=True)
            result[f"{name} / pythae"] = spread([a / b for a, b in pairs])
    result["aim"] = "at least 2 times pythae in float32, 3 times in bf16"
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=["step", "start", "vae"])
    arguments = parser.parse_args()
    folder = Path("runs/benchmark-pythae")
    sections: dict[str, Callable[[], dict[str, object]]] = {
        "step": step_cost,
        "start": start_cost,
        "vae": lambda: vae_rate(folder),
    }
    figures: dict[str, object] = {
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    }
    for name, section in sections.items():
        if arguments.only in (None, name):
            figures[name] = section()
            print(json.dumps({name: figures[name]}, indent=2, ensure_ascii=False), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
