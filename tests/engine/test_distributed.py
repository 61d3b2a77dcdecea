"""Two processes under torchrun do what one does with the same global batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from two_processes import RUNS, learn, machine_of_quality

from genus import Budget
from genus.engine import distributed
from genus.engine.checkpoint import read_tensors

SCRIPT = Path(__file__).parent / "two_processes.py"


def torchrun(*arguments, processes=2):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *launcher, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, seconds):
    """What it printed; a launcher that does not end is killed, and its workers die with it."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return f"the processes wait for one another for ever\n{process.communicate()[0]}"


def same(state, other, tolerance=1e-5):
    return all(torch.allclose(state[name], other[name], atol=tolerance) for name in state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    process = torchrun("all", folder)
    output = ended(process, 100)
    (folder / "output").write_text(output)
    (folder / "code").write_text(str(process.returncode))
    return folder


def test_both_processes_come_to_their_end(folder):
    assert (folder / "code").read_text() == "0", (folder / "output").read_text()


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_equal_one(name, folder):
    """A likelihood; accumulated gradients; EM; and, given the same draws, chains and games."""
    state = learn(name)[0].state_dict()
    ranks = [read_tensors(folder / f"{name}.{rank}")[0] for rank in range(2)]
    assert same(state, ranks[0])
    assert same(ranks[0], ranks[1], 0.0)


@pytest.mark.parametrize("name", RUNS)
def test_what_two_saved_goes_on_with_two_or_with_one(name, folder):
    state = learn(name)[0].state_dict()
    with_two = read_tensors(folder / f"{name}.resumed.0")[0]
    assert same(state, with_two)
    with_one, _ = learn(name, resume=folder / f"{name}.saved")
    assert same(state, with_one.state_dict())


def test_a_budget_in_seconds_ends_everywhere_at_once(folder):
    first, one = read_tensors(folder / "seconds.0")
    second, two = read_tensors(folder / "seconds.1")
    assert one == two
    assert same(first, second, 0.0)


def test_alone_there_is_nothing_to_agree_on():
    assert distributed.world() == 1
    assert distributed.rank() == 0
    assert distributed.agree(True, torch.device("cpu"))
    assert not distributed.agree(False, torch.device("cpu"))
    assert distributed.first(0.25, torch.device("cpu")) == 0.25
    rows = torch.arange(6.0)
    assert torch.equal(distributed.gather_rows(rows), rows)
    assert torch.equal(distributed.take_rows(rows), rows)
    assert not distributed.join(torch.device("cpu"))


def enumerated(model, x):
    """Mean log p(x), with log Z summed over all points."""
    everything = model.space.points().float()
    with torch.no_grad():
        log_partition = (-model.free_energy(everything)).logsumexp(0)
        return float((-model.free_energy(x) - log_partition).mean())


@pytest.mark.slow
def test_a_machine_learnt_by_two_processes_is_as_good_as_one_learnt_alone(tmp_path):
    """Their chains toss coins of their own: seeds differ by 0.002 nats (one standard deviation)."""
    process = torchrun("quality", tmp_path)
    output = ended(process, 200)
    assert process.returncode == 0, output
    model, x = machine_of_quality()
    alone = enumerated(model, x)
    model.load_state_dict(read_tensors(tmp_path / "quality.0")[0])
    together = enumerated(model, x)
    rate = x.mean(0).clamp(1e-3, 1 - 1e-3)
    independent = float((x * rate.log() + (1 - x) * (1 - rate).log()).sum(1).mean())
    assert alone > independent + 0.3
    assert abs(together - alone) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_process_ends_the_run_and_it_resumes(name, processes, tmp_path):
    process = torchrun("long", tmp_path, name)
    deadline = time.monotonic() + 120
    while not (tmp_path / "training.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int((tmp_path / "pid.1").read_text()), signal.SIGKILL)
    output = ended(process, 60)
    assert process.returncode == 1, output
    assert not (tmp_path / "model.safetensors").exists()
    _, metadata = read_tensors(tmp_path / "training.safetensors")
    assert 0 < metadata["progress"]["step"] < 60
    again = torchrun("long", tmp_path, name, processes=processes)
    output = ended(again, 120)
    assert again.returncode == 0, output
    whole, _ = learn(name, Budget(steps=60))
    assert same(whole.state_dict(), read_tensors(tmp_path / "model.safetensors")[0], 1e-4)
