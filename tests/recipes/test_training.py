"""A run's folder: what is in it, how it goes on, and what it refuses."""

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import genus
from genus import recipes
from genus.engine import Budget, NotFiniteError
from genus.engine.checkpoint import read_tensors
from genus.evaluation import Effort, Figure, Likelihood, Reference, Report, evaluate
from genus.evaluation.feature_network import PrincipalAxes
from genus.evaluation.samples import Quality
from genus.evaluation.units import to_units
from genus.recipes import running
from genus.recipes.results import results_of
from genus.recipes.running import InterruptedRunError, train
from genus.recipes.runs import RunFolder, differences, open_run

TINY = {
    "ppca": {"num_components": 3},
    "rbm-500": {"num_hidden": 7, "num_chains": 5, "batch_size": 200},
    "made": {"hidden": (9, 11), "batch_size": 200},
    "gan": {"num_latent": 4, "hidden": (9, 8), "batch_size": 200},
    "ddpm": {"channels": (8,), "num_blocks": 1, "num_steps": 12, "batch_size": 200},
}


def recipe_of(name, steps=10, seed=0, **settings):
    data = recipes.data_for(recipes.find(name), "digits")
    built = recipes.build(name, data, seed=seed, **{**TINY[name], **settings})
    budget = Budget(epochs=2) if name == "ppca" else Budget(steps=steps)
    return replace(built, budget=budget)


def tensors(folder, file="model.safetensors"):
    return read_tensors(folder / file)[0]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("name", TINY)
def test_the_folder_holds_all_that_later_commands_need(name, tmp_path):
    recipe = recipe_of(name)
    progress = train(recipe, tmp_path / "run", device="cpu", samples=4)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    written = {"config.json", "model.safetensors", "training.safetensors", "log.jsonl", "samples"}
    assert files == written | ({"pictures"} if recipe.pictures else set())
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/log.jsonl").open()]
    assert steps == sorted(steps)
    assert steps[-1] == progress.step
    assert (tmp_path / f"run/samples/step-{progress.step:06d}.png").stat().st_size > 100
    notes = json.loads((tmp_path / "run/config.json").read_text())
    assert notes["recipe"] == name
    assert notes["data"]["num_examples"] == recipe.data.train.num_examples
    assert notes["reached"]["step"] == progress.step
    opened = open_run(tmp_path / "run")
    assert same(dict(opened.model.state_dict()), dict(recipe.model.state_dict()))
    assert opened.data().space == opened.model.space
    assert opened.budget == recipe.budget
    loaded = genus.load(tmp_path / "run")
    given = None if loaded.condition is None else 0
    assert loaded.sample(2, condition=given, seed=1).shape == recipe.model.sample(2, seed=1).shape


@pytest.mark.parametrize("name", TINY)
def test_interrupted_and_resumed_equals_uninterrupted(name, tmp_path, monkeypatch):
    """SIGTERM at a chosen step: saved, and bit for bit as if nothing had been."""
    train(recipe_of(name, 9), tmp_path / "whole", device="cpu", samples=0)
    stop_at(monkeypatch, 1 if name == "ppca" else 4)
    with pytest.raises(InterruptedRunError, match="--resume"):
        train(recipe_of(name, 9), tmp_path / "run", device="cpu", samples=0)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    reached = 1 if name == "ppca" else 4
    saved = read_tensors(tmp_path / "run/training.safetensors")[1]["progress"]["step"]
    noted = json.loads((tmp_path / "run/config.json").read_text())["reached"]["step"]
    assert saved == noted == reached
    train(recipe_of(name, 9), tmp_path / "run", resume=True, device="cpu", samples=0)
    for file in ("model.safetensors", "training.safetensors"):
        assert same(tensors(tmp_path / "whole", file), tensors(tmp_path / "run", file))


def stop_at(monkeypatch, step):
    """Sends this process SIGTERM once the run has taken so many steps."""
    before = running._Stop.after_step

    def after_step(self, run, info):
        if run.progress.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        before(self, run, info)

    monkeypatch.setattr(running._Stop, "after_step", after_step)


def test_resume_begins_where_nothing_is_there(tmp_path):
    train(recipe_of("made"), tmp_path / "a", resume=True, device="cpu", samples=0)
    (tmp_path / "b").mkdir()
    train(recipe_of("made"), tmp_path / "b", device="cpu", samples=0)
    assert same(tensors(tmp_path / "a"), tensors(tmp_path / "b"))


def test_resume_of_a_finished_run_leaves_it_as_it_is(tmp_path):
    train(recipe_of("ddpm", 4), tmp_path, device="cpu", samples=0)
    before = tensors(tmp_path)
    progress = train(recipe_of("ddpm", 4), tmp_path, resume=True, device="cpu", samples=0)
    assert progress.step == 4
    assert same(before, tensors(tmp_path))


def test_a_checkpoint_in_mid_run_answers_with_the_average(tmp_path, monkeypatch):
    """With EMA the model file holds the average, the training file the weights."""
    stop_at(monkeypatch, 6)
    recipe = recipe_of("ddpm", 9, ema=0.5)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path, device="cpu", samples=0, checkpoint_seconds=0.0)
    average = recipe.algorithm.answers()
    state = dict(recipe.model.state_dict())
    saved = tensors(tmp_path)
    assert any(not torch.equal(average[name], state[name]) for name in average)
    assert same({name: saved[name] for name in average}, average)
    training = tensors(tmp_path, "training.safetensors")
    assert all(torch.equal(training[f".model.{name}"], state[name]) for name in state)


def test_pictures_do_not_change_what_is_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(running._Writer, "every", 1)
    monkeypatch.setattr(running._Writer, "start", lambda self, run: setattr(self, "due", 0.0))
    train(recipe_of("gan"), tmp_path / "seen", device="cpu", samples=4)
    monkeypatch.undo()
    train(recipe_of("gan"), tmp_path / "unseen", device="cpu", samples=0)
    assert len(list((tmp_path / "seen/samples").iterdir())) >= 2
    assert not (tmp_path / "unseen/samples").exists()
    assert same(tensors(tmp_path / "seen"), tensors(tmp_path / "unseen"))


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(tmp_path):
    recipe = recipe_of("made", 40)
    train(replace(recipe, budget=Budget(steps=3)), tmp_path, device="cpu", samples=0)
    before = tensors(tmp_path, "training.safetensors")
    again = recipe_of("made", 40)
    count = 0
    objective = again.algorithm.objective

    def explodes(model, batch):
        nonlocal count
        count += 1
        info = objective(model, batch)
        return {"loss": info["loss"] * (float("nan") if count == 5 else 1.0)}

    again.algorithm.objective = explodes
    with pytest.raises(NotFiniteError):
        train(again, tmp_path, resume=True, device="cpu", samples=0, checkpoint_seconds=0.0)
    after = tensors(tmp_path, "training.safetensors")
    assert all(bool(torch.isfinite(t).all()) for t in after.values() if t.is_floating_point())
    assert before.keys() == after.keys()


def test_a_full_disk_in_mid_run_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    train(recipe_of("made", 3), tmp_path, device="cpu", samples=0)
    files = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".jsonl"}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genus.engine.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        train(recipe_of("made", 9), tmp_path, resume=True, device="cpu", samples=0)
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.suffix != ".jsonl"} == files


def test_training_in_a_thread_takes_no_signals(tmp_path):
    done = []
    thread = threading.Thread(
        target=lambda: done.append(
            train(recipe_of("made", 2), tmp_path, device="cpu", samples=0).step
        )
    )
    thread.start()
    thread.join()
    assert done == [2]


def test_leftovers_of_a_kill_are_cleared(tmp_path):
    train(recipe_of("made", 2), tmp_path, device="cpu", samples=0)
    (tmp_path / ".config.json.folder").mkdir()
    for name in (".training.safetensors.abc123", ".config.json.x_1", ".settings.json.bak"):
        (tmp_path / name).write_bytes(b"half")
    train(recipe_of("made", 4), tmp_path, resume=True, device="cpu", samples=0)
    left = {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert left == {".config.json.folder", ".settings.json.bak"}


def test_differences_are_said_in_words():
    before = {"seed": 0, "settings": {"a": 1, "b": 2}, "data": {"name": "x"}}
    now = {"seed": 1, "settings": {"a": 1, "c": 3}, "data": {"name": "x"}}
    assert differences(before, before) == []
    assert differences(before, now) == [
        "settings b was 2, now the default",
        "settings c was the default, now 3",
        "seed was 0, now 1",
    ]


def test_the_record_of_a_run_has_the_agreed_shape(tmp_path):
    train(recipe_of("made"), tmp_path, device="cpu", samples=0)
    opened = open_run(tmp_path)
    effort = Effort(
        likelihood_examples=20, samples=64, sample_seconds=0.5, completions=4, speed_seconds=0.05
    )
    data = opened.data()
    reference = Reference(data, PrincipalAxes(to_units(data, data.materialise("train", 300))))
    report = evaluate(opened.model, data, effort=effort, reference=reference)
    record = results_of(opened, report, "genus evaluate x")
    assert record["binarisation"] == "dynamic"
    assert {"recipe", "data", "metrics", "seeds", "commit", "hardware", "seconds", "command"} <= (
        record.keys()
    )
    figure = record["metrics"]["log_likelihood"]
    assert figure["sign"] == "="
    exact = opened.model.log_prob(data.materialise("test", 20)).detach().mean()
    assert figure["value"] == pytest.approx(float(exact), abs=1e-4)
    assert figure["num_examples"] == 20
    assert "published" not in figure
    assert "cores" in record["hardware"]
    json.dumps(record)


def run_on(recipe, **data):
    model = recipes.build("made@digits", hidden=(5,)).model
    return RunFolder(Path("runs"), model, {"recipe": recipe, "class": "MADE", "data": data})


REVERSED = Likelihood(
    Figure(-84.0, "~", 0.5, 20),
    Figure(0.15, "~", 0.1, 20),
    "estimate",
    100,
    "binary",
    Figure(-86.0, "~", 0.7, 20, "the other side"),
)


@pytest.mark.parametrize(
    ("recipe", "name", "view", "loading", "published"),
    [
        ("made", "mnist", "binary", {}, -84.87),
        ("made", "mnist", "static", {}, None),
        ("made", "mnist", "binary", {"resize": 14}, None),
        ("made", "fashion_mnist", "binary", {}, None),
        ("vae", "mnist", "static", {}, -89.78),
        ("vae", "mnist", "binary", {}, None),
        ("made@digits", "digits", "binary", {}, None),
    ],
)
def test_a_published_figure_stands_beside_its_like_only(recipe, name, view, loading, published):
    opened = run_on(recipe, name=name, view=view, loading=loading)
    metrics = results_of(opened, Report("estimate", 1, REVERSED), "genus")["metrics"]
    assert metrics["log_likelihood"].get("published") == published
    assert ("source" in metrics["log_likelihood"]) == (published is not None)
    otherwise = metrics["log_likelihood"].get("published_otherwise", {})
    assert otherwise.get("binarisation") == {
        ("made", "static"): "dynamic",
        ("vae", "binary"): "static",
    }.get((recipe, view) if name == "mnist" else None)
    assert metrics["log_likelihood_reverse_ais"] == {
        "value": -86.0,
        "sign": "~",
        "standard_error": 0.7,
        "num_examples": 20,
        "note": "the other side",
    }


def test_figures_on_other_data_are_not_beside_those_of_the_training_data():
    data = genus.data.load("digits", view="binary")
    opened = run_on("made", name="mnist", view="binary")
    record = results_of(opened, Report("estimate", 1, REVERSED), "genus", data)
    assert record["data"] == "digits"
    assert "published" not in record["metrics"]["log_likelihood"]


@pytest.mark.parametrize(
    ("name", "network", "published"),
    [
        ("cifar10", "classifier", None),
        ("cifar10", "Inception", 3.17),
        ("mnist", "Inception", None),
    ],
)
def test_a_published_fid_needs_its_own_feature_network(name, network, published):
    quality = Quality({"fid": Figure(9.0)}, {"fid": Figure(1.0)}, f"features of {network}", network)
    opened = run_on("ddpm", name=name, view="pixels")
    record = results_of(opened, Report("lower bound", 1, quality=quality), "genus")
    assert record["metrics"]["fid"].get("published") == published
