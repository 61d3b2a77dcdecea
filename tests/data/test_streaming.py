"""Data that do not fit into memory train under a limit that data in memory would break."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

TRAIN = """
import resource, sys
import torch
from torch import nn
import genus
from genus.engine import Budget, Descend, run

path, memory_limit, allowance = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def error(model, batch):
    x = batch.x.flatten(1)[:, :3072].float()
    return {"loss": (model(x) - x).square().mean()}


torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(3072, 4), nn.Linear(4, 3072))
run(model, genus.data.from_array(torch.rand(512, 3072)).train, Descend(error, batch_size=64),
    budget=Budget(epochs=1), device="cpu")
with open("/proc/self/status") as status:
    held = next(int(l.split()[1]) for l in status if l.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + allowance, held + allowance))
data = genus.data.load(path, memory_limit=memory_limit, workers=2)
progress = run(model, data.train, Descend(error, batch_size=64), budget=Budget(epochs=1),
               device="cpu")
data.materialise("test", 100)
print("trained", progress.examples, data.describe()["in_memory"])
"""


def train(path, memory_limit, allowance):
    return subprocess.run(
        [sys.executable, "-c", TRAIN, str(path), str(memory_limit), str(allowance)],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def mapped(tmp_path):
    """20,000 images of 64×64 in colour: 246 MB."""
    path = tmp_path / "x.npy"
    shape = (20_000, 64, 64, 3)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    rng = np.random.default_rng(0)
    for start in range(0, len(array), 1000):
        array[start : start + 1000] = rng.integers(0, 256, (1000, *shape[1:]), dtype=np.uint8)
    del array
    return path


@pytest.fixture
def files(tmp_path):
    """3,000 images of 128×128 in colour: 147 MB."""
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for number in range(3000):
        Image.fromarray(np.roll(image, number, 1)).save(tmp_path / f"{number:05d}.bmp")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_DATA")
@pytest.mark.parametrize(
    ("kind", "examples", "allowance"),
    [("mapped", 16_000, 100_000_000), ("files", 2_368, 80_000_000)],
)
def test_streaming_trains_where_memory_does_not_suffice(kind, examples, allowance, request):
    path = request.getfixturevalue(kind)
    streamed = train(path, 10_000_000, allowance)
    assert f"trained {examples} False" in streamed.stdout, streamed.stderr
    held = train(path, 10**10, allowance)
    assert held.returncode != 0
    assert "allocate memory" in held.stderr or "MemoryError" in held.stderr
