"""``genus train`` by several processes under torchrun: one folder, one result, one voice."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import genus
from genus.cli.main import main
from genus.engine.checkpoint import read_tensors

PPCA = ("train", "ppca", "--set", "num_components=2", "method=em")
MADE = ("train", "made", "--data", "digits", "--set", "hidden=40", "batch_size=50", "--budget")


def torchrun(*arguments, processes=2):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "genus", *map(str, arguments), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, seconds=100):
    """What it printed; ends it where it does not end by itself."""
    try:
        return process.communicate(timeout=seconds)[0]
    finally:
        process.kill()


def test_two_processes_write_one_run_that_equals_that_of_one(tmp_path):
    numbers = np.random.default_rng(0).normal(size=(400, 6)) * np.arange(1, 7)
    np.save(tmp_path / "numbers.npy", numbers.astype("float32"))
    data = ("--data", str(tmp_path / "numbers.npy"))
    process = torchrun(*PPCA, *data, "--out", tmp_path / "two")
    printed = ended(process)
    assert process.returncode == 0, printed
    assert printed.count("done") == 1
    assert main([*PPCA, *data, "--device", "cpu", "--out", str(tmp_path / "one")]) == 0
    one, two = (genus.load(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    assert len(list((tmp_path / "two" / "samples").iterdir())) == 1


def test_bad_input_is_told_once_and_writes_nothing(tmp_path):
    process = torchrun("train", "made", "--set", "hiden=4", "--out", tmp_path / "run")
    printed = ended(process)
    assert process.returncode != 0
    assert printed.count("genus: error") == 1
    assert "hidden" in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_lost_a_process_goes_on_with_one_or_with_two(tmp_path, left, number):
    """Killed or asked to stop, the launcher ends both; what was saved is taken up again."""
    folder = tmp_path / "run"
    process = torchrun(*MADE, "4000steps", "--out", folder)
    deadline = time.monotonic() + 100
    while not (folder / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(2)
    os.kill(first_child(process.pid) if number == signal.SIGKILL else process.pid, number)
    printed = ended(process)
    assert process.returncode != 0, printed
    resumed = torchrun(*MADE, "4000steps", "--out", folder, "--resume", processes=left)
    printed = ended(resumed, 300)
    assert resumed.returncode == 0, printed
    _, metadata = read_tensors(folder / "training.safetensors")
    assert metadata["progress"]["step"] == 4000
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def first_child(parent):
    """A worker of the launcher."""
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        return int(file.read().split()[0])
