"""``kill -9`` of ``genus train`` at any moment: the resumed run equals one that was not killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from genus.cli.main import main
from genus.engine.checkpoint import read_tensors

RUNS = {
    "made": ("made", "hidden=30", "batch_size=50"),
    "rbm-500": ("rbm-500", "num_hidden=40", "num_chains=10", "batch_size=50"),
    "cd": ("rbm-500", "num_hidden=40", "chains=from data", "batch_size=50"),
    "vae": ("vae", "num_latent=4", "hidden=40", "batch_size=50"),
    "gan": ("gan", "num_latent=4", "hidden=30,20", "batch_size=50"),
    "cgan": ("cgan", "num_latent=4", "hidden=30,20", "batch_size=50"),
    "dcgan": ("dcgan", "num_latent=4", "hidden=6,4", "batch_size=50"),
    "ddpm": ("ddpm", "channels=8", "num_blocks=1", "num_steps=12", "batch_size=50"),
    "pixelcnn": ("pixelcnn", "channels=6", "num_layers=2", "batch_size=50"),
    "em": ("ppca", "num_components=6", "method=em"),
    "ppca": ("ppca", "num_components=6"),
}
# checkpoints every second step, so that many kills fall into the writing of one
PROGRAM = """
import sys, time
import torch; torch.set_num_threads(1)
from genus.recipes import running
checkpoints = running.Checkpoints
running.Checkpoints = lambda path, **kw: checkpoints(path, **{**kw, "seconds": 0.0, "steps": 2})
step = running._Stop.after_step
def slowly(self, run, info):
    step(self, run, info)
    time.sleep(float(sys.argv[1]))
running._Stop.after_step = slowly
from genus.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def arguments_of(name, out, *extra):
    recipe, *settings = RUNS[name]
    budget = () if recipe == "ppca" else ("--budget", "24steps")
    train = ("train", recipe, "--data", "digits", "--device", "cpu")
    return [*train, "--set", *settings, *budget, "--out", str(out), *extra]


def command(name, out, pause, *extra):
    return [sys.executable, "-c", PROGRAM, str(pause), *arguments_of(name, out, *extra)]


def killed(arguments, folder, after, delay):
    """Starts a run and kills it a while after it has taken some steps."""
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    training = folder / "training.safetensors"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if after == 0 and (folder / "config.json").exists():
            break
        if after and training.exists() and steps_of(folder) >= after:
            break
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


def steps_of(folder):
    notes = json.loads((folder / "config.json").read_text())
    return notes.get("reached", {}).get("step", 0)


def tensors(folder, name):
    return read_tensors(folder / name)[0]


def equal(first, second):
    for name in ("model.safetensors", "training.safetensors"):
        a, b = tensors(first, name), tensors(second, name)
        if a.keys() != b.keys() or not all(torch.equal(a[key], b[key]) for key in a):
            return False
    return True


def judge(name, tmp_path, kills, seed):
    """One uninterrupted run, one killed again and again; both end the same."""
    choice = random.Random(seed)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(arguments_of(name, whole)) == 0
    codes = []
    for number in range(kills):
        after = choice.choice((0, 2, 4, 6)) if number == 0 else number * 6
        extra = ("--resume",) if number else ()
        pause = 0.02 if name not in ("ppca", "em") else 0.15
        codes.append(
            killed(command(name, broken, pause, *extra), broken, after, choice.random() / 20)
        )
    assert main(arguments_of(name, broken, "--resume")) == 0
    assert -signal.SIGKILL in codes, codes
    assert equal(whole, broken)
    hidden = [path.name for path in broken.iterdir() if path.name.startswith(".")]
    assert not hidden


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    judge("rbm-500", tmp_path, kills=1, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_each_algorithm_killed_at_random_moments(name, tmp_path):
    judge(name, tmp_path, kills=3, seed=len(name))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_tells_how_to_go_on(number, tmp_path):
    process = subprocess.Popen(
        command("made", tmp_path / "run", 0.05), stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run/log.jsonl").exists():
        time.sleep(0.05)
    os.kill(process.pid, number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("genus: error: stopped at step")
    assert "--resume" in errors
    assert 10 <= steps_of(tmp_path / "run") < 24
