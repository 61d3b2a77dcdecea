"""A run that was interrupted and resumed equals one that was not, bit for bit."""

import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from killable import main
from toys import ALGORITHMS, BUDGET, Net, data, denoise

from genus.engine import Budget, Callback, Descend, NotFiniteError, Optimiser, run
from genus.engine import checkpoint as files
from genus.engine.callbacks import Checkpoints, Log
from genus.engine.checkpoint import read_tensors


class PowerCutError(Exception):
    pass


class Cut(Callback):
    def __init__(self, step):
        self.step = step

    def after_step(self, run, info):
        if run.progress.step == self.step:
            raise PowerCutError


def learn(name, budget=BUDGET, callbacks=(), resume=None, seed=3):
    make, algorithm = ALGORITHMS[name]
    model = make()
    progress = run(
        model,
        data(),
        algorithm(),
        budget=budget,
        seed=seed,
        callbacks=callbacks,
        device="cpu",
        resume=resume,
    )
    return model, progress


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(("saved", "cut"), [(1, 1), (6, 8), (7, 7), (13, 17), (19, 19), (20, 20)])
def test_resume_equals_no_interruption(name, saved, cut, tmp_path):
    whole, progress = learn(name)
    assert not same(whole, ALGORITHMS[name][0]())
    path = tmp_path / "training.safetensors"

    class Save(Callback):
        def after_step(self, run, info):
            if run.progress.step == saved:
                run.save(path)

    with pytest.raises(PowerCutError):
        learn(name, callbacks=[Save(), Cut(cut)])
    torch.rand(17)
    resumed, again = learn(name, resume=path)
    assert same(whole, resumed)
    assert (again.step, again.epoch, again.examples) == (
        progress.step,
        progress.epoch,
        progress.examples,
    )


@pytest.mark.parametrize("name", ["momentum", "remembers", "alternate", "maximise"])
def test_finished_run_goes_on_with_a_larger_budget(name, tmp_path):
    """Not from the moving average, which a finished model answers with, but from the weights."""
    whole, _ = learn(name, Budget(steps=20))
    path = tmp_path / "training.safetensors"
    constant = name != "momentum"  # its schedule depends on the budget
    learn(name, Budget(steps=9), [Checkpoints(path)])
    longer, progress = learn(name, Budget(steps=20), resume=path)
    assert progress.step == 20
    assert same(whole, longer) == constant


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    path = tmp_path / "training.safetensors"
    for name in ALGORITHMS:
        whole, progress = learn(name, callbacks=[Checkpoints(path)])
        resumed, again = learn(name, resume=path)
        assert same(whole, resumed), name
        assert again.step == progress.step


def test_log_of_a_resumed_run_has_each_step_once(tmp_path):
    path, log = tmp_path / "training.safetensors", tmp_path / "log.jsonl"
    with pytest.raises(PowerCutError):
        learn("descend", callbacks=[Log(log, every=2), Checkpoints(path, steps=6), Cut(17)])
    learn("descend", callbacks=[Log(log, every=2)], resume=path)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(2, 21, 2))


def test_the_line_that_closes_an_epoch_is_not_repeated_either(tmp_path):
    """A checkpoint of an epoch's last step comes before the epoch is closed."""

    def rows(log):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [{name: row[name] for name in row if name != "seconds"} for row in lines]

    path, log, whole = (tmp_path / name for name in ("training", "log.jsonl", "whole.jsonl"))
    learn("maximise", callbacks=[Log(whole, every=1)])
    with pytest.raises(PowerCutError):
        learn("maximise", callbacks=[Log(log, every=1), Checkpoints(path, steps=7), Cut(16)])
    assert read_tensors(path)[1]["progress"]["step_in_epoch"] == 7
    learn("maximise", callbacks=[Log(log, every=1)], resume=path)
    assert rows(log) == rows(whole)
    assert sum("log_likelihood" in row for row in rows(log)) == 2


@pytest.mark.parametrize(
    "damage",
    ["truncated", "flipped", "metadata", "empty", "text", "missing", "another model", "seed"],
)
def test_damaged_checkpoint_is_a_value_error(damage, tmp_path):
    path = tmp_path / "training.safetensors"
    seed, name = 3, "descend"
    learn(name, Budget(steps=3), [Checkpoints(path)])
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    match damage:
        case "truncated":
            path.write_bytes(content[:-100])
        case "flipped":
            place = 8 + length + 40
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        case "metadata":
            header = content[8 : 8 + length].replace(b'\\"step\\": 3', b'\\"step\\": 9')
            assert header != content[8 : 8 + length]
            path.write_bytes(content[:8] + header + content[8 + length :])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("a checkpoint")
        case "missing":
            path.unlink()
        case "another model":
            name = "maximise"
        case "seed":
            seed = 4
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        learn(name, Budget(steps=6), resume=path, seed=seed)


def test_checkpoint_of_another_algorithm_is_a_value_error(tmp_path):
    path = tmp_path / "training.safetensors"
    learn("descend", Budget(steps=3), [Checkpoints(path)])
    with pytest.raises(ValueError, match="Alternate"):
        learn("alternate", Budget(steps=6), resume=path)


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_full_disk_leaves_the_old_checkpoint(where, tmp_path, monkeypatch):
    path = tmp_path / "training.safetensors"
    learn("descend", Budget(steps=3), [Checkpoints(path)])
    before = path.read_bytes()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    if where == "write":

        class Full:
            def __init__(self, handle, mode):
                os.close(handle)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                return None

            write = full

        monkeypatch.setattr(files.os, "fdopen", Full)
    else:
        monkeypatch.setattr(files.os, where, full)
    with pytest.raises(OSError, match="No space"):
        learn("descend", Budget(steps=5), [Checkpoints(path)])
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    read_tensors(path)


def explode_at(step, where):
    count = 0

    def objective(model, batch):
        nonlocal count
        info = denoise(model, batch)
        count += 1
        if count == step:
            if where == "loss":
                return {"loss": info["loss"] * float("nan")}
            # a finite loss whose gradient is not: d√x/dx at 0
            return {"loss": info["loss"] + (info["loss"] * 0).sqrt()}
        return info

    return objective


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_not_finite_stops_and_the_last_good_checkpoint_survives(where, tmp_path):
    path = tmp_path / "training.safetensors"
    algorithm = Descend(explode_at(23, where), batch_size=8)
    with pytest.raises(NotFiniteError, match="step"):
        run(
            Net(),
            data(),
            algorithm,
            budget=Budget(steps=400),
            callbacks=[Checkpoints(path, steps=4)],
            device="cpu",
        )
    tensors, metadata = read_tensors(path)
    assert metadata["progress"]["step"] == 20
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values())


def test_not_finite_is_found_without_checkpoints():
    algorithm = Descend(explode_at(2, "loss"), batch_size=8)
    with pytest.raises(NotFiniteError, match=r"step 50"):
        run(Net(), data(), algorithm, budget=Budget(steps=400), device="cpu")
    model, algorithm = Net(), Descend(explode_at(5, "loss"), Optimiser(clip=1.0), batch_size=8)
    with pytest.raises(NotFiniteError, match=r"step 5"):
        run(model, data(), algorithm, budget=Budget(steps=5), device="cpu")


def killed_and_resumed(name, folder, moments):
    """Kills the script so many seconds after its first step, each time, then lets it end."""
    folder.mkdir()
    fork = multiprocessing.get_context("fork")
    for moment in [*moments, None]:
        process = fork.Process(target=main, args=(name, folder))
        process.start()
        if moment is not None:
            while not (folder / "alive").exists():
                time.sleep(0.002)
            time.sleep(moment)
            process.kill()
        process.join(60)
        assert process.exitcode in ([0] if moment is None else [0, -signal.SIGKILL])
        (folder / "alive").unlink()
    return read_tensors(folder / "model.safetensors")[0]


def kill_test(name, folder, moments):
    killed = killed_and_resumed(name, folder / "killed", moments)
    whole = killed_and_resumed(name, folder / "whole", [])
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[key], killed[key]) for key in whole)


def test_kill_9(tmp_path):
    kill_test("descend", tmp_path, [0.02, 0.1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_kill_9_at_ten_random_moments(name, tmp_path):
    draw = random.Random(name)
    kill_test(name, tmp_path, [draw.uniform(0.0, 0.06) for _ in range(10)])
