"""Trains the classifier of digits whose features compare samples with MNIST, and packs it.

    OMP_NUM_THREADS=1 python scripts/train_digit_classifier.py [--epochs 16] [--out FILE]

Every second picture of a batch is binarised at random, so that grey and binary samples are both
familiar, and each is shifted by up to two pixels. It learns from the 50,000 training pictures;
the 10,000 validation pictures are for choices and the 10,000 test pictures are looked at once, at
the end, with the weights as they are stored (float16). The script prints the SHA-256 that stands
in ``genus/evaluation/digit_classifier.py``; sums in another order, as other processors and
thread counts make them, give other weights of about the same accuracy.
"""

import argparse
import copy
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import genus.data
from genus.evaluation.digit_classifier import DigitNetwork, embedded_weights, write_weights

BATCH_SIZE, SHIFT, SIDE = 128, 2, 28
LEARNING_RATE, WEIGHT_DECAY, AVERAGING = 6e-3, 2e-2, 0.998


def shifted(x: Tensor) -> Tensor:
    """Each picture moved by up to SHIFT pixels in each direction, over black."""
    padded = F.pad(x, (SHIFT, SHIFT, SHIFT, SHIFT))[:, 0]
    rows = torch.randint(0, 2 * SHIFT + 1, (len(x), 1)) + torch.arange(SIDE)
    columns = torch.randint(0, 2 * SHIFT + 1, (len(x), 1)) + torch.arange(SIDE)
    picture = torch.arange(len(x))[:, None, None]
    return padded[picture, rows[:, :, None], columns[:, None, :]][:, None]


def half_binarised(x: Tensor) -> Tensor:
    """Every second picture as a draw of black and white."""
    x[::2] = torch.bernoulli(x[::2])
    return x


@torch.no_grad()
def accuracy(network: DigitNetwork, x: Tensor, labels: Tensor) -> tuple[float, float]:
    """On grey pictures and on one draw of binarised ones."""
    torch.manual_seed(1)
    right = [0, 0]
    for rows, truth in zip(x.split(500), labels.split(500), strict=True):
        grey = rows.float() / 255
        for i, seen in enumerate((grey, torch.bernoulli(grey))):
            right[i] += int((network(seen).argmax(1) == truth).sum())
    return right[0] / len(x), right[1] / len(x)


def train(epochs: int, seed: int) -> DigitNetwork:
    """The moving average of the weights of one run."""
    data = genus.data.load("mnist", view="pixels")
    x, labels = data.materialise("train").to(torch.uint8), data.labels("train")
    held_out, truth = data.materialise("valid"), data.labels("valid")
    assert labels is not None
    assert truth is not None
    torch.manual_seed(seed)
    network = DigitNetwork().to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others}]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=0.0, foreach=True)
    steps = len(x) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, epochs * steps)
    for epoch in range(epochs):
        torch.manual_seed(1000 * seed + epoch)
        start, total = time.perf_counter(), torch.zeros(())
        network.train()
        order = torch.randperm(len(x))
        for rows in order[: steps * BATCH_SIZE].split(BATCH_SIZE):
            batch = half_binarised(shifted(x[rows]).float() / 255)
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(batch), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.detach()
            follow(average, network)
        grey, binary = accuracy(average, held_out, truth)
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}: loss {float(total) / steps:.4f}, validation {grey:.2%} grey, "
            f"{binary:.2%} binarised, {seconds:.0f} s",
            flush=True,
        )
    return average


@torch.no_grad()
def follow(average: DigitNetwork, network: DigitNetwork) -> None:
    """One step of the moving average, of weights and of batch statistics."""
    for slow, fast in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - AVERAGING)
        else:
            slow.copy_(fast)


def main() -> None:
    """Trains, rounds to float16, tests, writes."""
    parser = argparse.ArgumentParser(description="train the classifier of digits")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=embedded_weights())
    chosen = parser.parse_args()
    network = train(chosen.epochs, chosen.seed).half().float()
    data = genus.data.load("mnist", view="pixels")
    labels = data.labels("test")
    assert labels is not None
    grey, binary = accuracy(network, data.materialise("test"), labels)
    checksum = write_weights(network, chosen.out, {"accuracy": grey, "binarised": binary})
    print(f"test {grey:.2%} grey, {binary:.2%} binarised")
    print(f"{chosen.out}: {chosen.out.stat().st_size:,} bytes, SHA-256 {checksum}")


if __name__ == "__main__":
    main()
