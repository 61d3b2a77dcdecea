"""What the commands do, print and write; every reading command as JSON."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genus
from genus import recipes
from genus.cli import reproduce
from genus.cli.complete import MASKS, observed_under
from genus.cli.main import _repeat_flag, main
from genus.engine import Budget
from genus.engine.checkpoint import read_tensors
from genus.recipes import registry
from genus.recipes.recipe import Full
from genus.recipes.runs import open_run
from genus.spaces import Binary, Real


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small_digits(path):
    """300 digits with labels: too few for a feature network, so that evaluation is fast."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images[:300] * 15).astype(np.uint8)
    np.savez(path, x=x, y=digits.target[:300])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Tiny runs on few digits."""
    place = tmp_path_factory.mktemp("judged")
    small_digits(place / "few.npz")
    for name, settings in {
        "ppca": ["num_components=3"],
        "vae": ["num_latent=3", "hidden=12", "batch_size=50"],
        "cgan": ["num_latent=3", "hidden=9,8", "batch_size=50"],
    }.items():
        arguments = ["train", name, "--data", str(place / "few.npz"), "--set", *settings]
        budget = [] if name == "ppca" else ["--budget", "12steps"]
        assert main([*arguments, *budget, "--out", str(place / name), "--device", "cpu"]) == 0
    return place


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Tiny runs of four kinds of model on digits."""
    place = tmp_path_factory.mktemp("runs")
    for name, settings in {
        "ppca": ["num_components=3"],
        "vae": ["num_latent=3", "hidden=12", "batch_size=100"],
        "cgan": ["num_latent=3", "hidden=9,8", "batch_size=100"],
        "made": ["hidden=14", "batch_size=100"],
    }.items():
        arguments = ["train", name, "--data", "digits", "--set", *settings]
        budget = [] if name == "ppca" else ["--budget", "12steps"]
        assert main([*arguments, *budget, "--out", str(place / name), "--device", "cpu"]) == 0
    return place


def run(capfd, *arguments, code=0):
    capfd.readouterr()
    assert main([str(a) for a in arguments]) == code
    return capfd.readouterr().out


def run_json(capfd, *arguments, code=0):
    return json.loads(run(capfd, *arguments, "--json", code=code))


def read(path):
    return json.loads(Path(path).read_text())


def test_list_draws_the_family_tree(capfd):
    page = run(capfd, "list")
    places = [page.index(text) for text in ("explicit, tractable", "approximate", "implicit")]
    assert places == sorted(places)
    tractable, approximate = page[: places[1]], page[places[1] : places[2]]
    assert "PPCA" in tractable
    assert "PixelCNN" in tractable
    assert "log p =" in tractable
    assert "RBM" in approximate
    assert "log p ≈" in approximate
    assert "log p ≥" in approximate
    assert "GAN" in page[places[2] :]
    assert all(entry.source in page for entry in genus.recipes.ENTRIES.values())


def test_list_as_json_has_settings_and_capabilities(capfd):
    models = {m["model"]: m for m in run_json(capfd, "list")["models"]}
    assert set(models) == set(genus.models.registry.CLASSES)
    assert models["GAN"]["density"] == "none"
    assert "log_prob" not in models["GAN"]["answers"]
    assert {"encode", "complete", "log_prob"} <= set(models["PPCA"]["answers"])
    made = models["MADE"]["recipes"][0]
    assert made["settings"]["hidden"] == {
        "type": "a list such as 500,500",
        "default": [500, 500],
    }


def test_data_lists_and_describes(capfd):
    assert {"mnist", "digits"} <= {d["name"] for d in run_json(capfd, "data")["data"]}
    assert "mnist" in run(capfd, "data")
    digits = run_json(capfd, "data", "digits", "--picture", "digits.png")
    assert digits["examples"]["train"] == sum(digits["training_examples_per_class"])
    assert digits["shape"] == [1, 8, 8]
    assert Image.open("digits.png").size[0] > 80
    assert "licence" in run(capfd, "data", "digits")


def test_data_describes_your_own(capfd):
    np.save("points.npy", np.random.default_rng(0).random((50, 3)))
    described = run_json(capfd, "data", "points.npy")
    assert described["kind"] == "points" or described["kind"] == "table"
    assert described["classes"] == []


def test_train_prints_the_folder_and_what_comes_next(capfd):
    arguments = ("train", "made", "--data", "digits", "--set", "hidden=9", "--epochs", "0.05")
    page = run(capfd, *arguments)
    assert "runs/made@digits" in page
    assert "genus evaluate runs/made@digits" in page
    assert "genus complete runs/made@digits --mask left" in page
    assert genus.load("runs/made@digits").config["hidden"] == (9,)


def test_resume_goes_on_with_the_budget_it_had(capfd, runs):
    arguments = ["train", "made", "--data", "digits", "--set", "hidden=9", "--out", "r"]
    run(capfd, *arguments, "--budget", "4steps")
    run(capfd, *arguments, "--resume")
    assert read("r/config.json")["reached"]["step"] == 4
    run(capfd, *arguments, "--resume", "--budget", "7steps")
    assert read("r/config.json")["reached"]["step"] == 7


def test_sample_writes_a_picture_or_an_array(capfd, runs):
    said = run_json(capfd, "sample", runs / "vae", "-n", "5", "--out", "s.npy", "--seed", "3")
    assert said == {"file": "s.npy", "num_samples": 5, "seed": 3}
    expected = genus.load(runs / "vae").sample(5, seed=3)
    assert np.array_equal(np.load("s.npy"), expected.numpy())
    run(capfd, "sample", runs / "vae", "-n", "5", "--out", "s.npz")
    assert np.load("s.npz")["x"].shape == (5, 1, 8, 8)
    run(capfd, "sample", runs / "vae", "-n", "7")
    assert Image.open(runs / "vae/samples.png").mode == "L"


def test_samples_of_a_dequantised_model_are_levels(capfd, runs):
    run(capfd, "sample", runs / "ppca", "-n", "6", "--out", "s.npy")
    drawn = np.load("s.npy")
    assert drawn.dtype == np.uint8
    assert drawn.max() <= 16


def test_samples_on_demand_of_a_label(capfd, runs):
    run(capfd, "sample", runs / "cgan", "-n", "4", "--condition", "7,2", "--out", "s.npy")
    model = genus.load(runs / "cgan")
    expected = model.sample(4, condition=torch.tensor([7, 2, 7, 2]), seed=0)
    assert np.array_equal(np.load("s.npy"), expected.numpy())
    run(capfd, "sample", runs / "cgan", "-n", "4", "--out", "s.npy")


@pytest.mark.parametrize("mask", MASKS)
def test_complete_keeps_what_is_observed(capfd, runs, mask):
    arguments = ("complete", runs / "made", "--mask", mask, "-n", "3", "--out", "c.npy")
    said = run_json(capfd, *arguments, "--seed", "2")
    assert said == {"file": "c.npy", "num_examples": 3, "mask": mask, "seed": 2}
    data = genus.data.load("digits", view="binary").materialise("test", 3)
    observed = observed_under(mask, Binary((1, 8, 8)), 3, 2)
    filled = torch.from_numpy(np.load("c.npy"))
    assert torch.equal(filled[observed], data[observed])
    assert 0 < int((~observed).sum()) < observed.numel()


def test_complete_draws_triples_as_a_picture_and_takes_a_file(capfd, runs):
    run(capfd, "complete", runs / "made", "-n", "4")
    assert (runs / "made/completed.png").exists()
    x = genus.data.load("digits", view="binary").materialise("valid", 2)
    np.save("mine.npy", x.numpy())
    run(capfd, "complete", runs / "made", "--input", "mine.npy", "--out", "c.npy")
    assert np.load("c.npy").shape == (2, 1, 8, 8)


def test_tables_are_completed_without_a_mask_being_named(capfd):
    np.save("own.npy", np.random.default_rng(0).normal(size=(60, 4)))
    page = run(capfd, "train", "ppca", "--data", "own.npy", "--set", "num_components=2")
    assert "genus complete runs/ppca@own --mask random" in page
    said = run_json(capfd, "complete", "runs/ppca@own")
    assert (said["mask"], said["file"]) == ("random", "runs/ppca@own/completed.npy")


def test_other_data_are_loaded_as_asked(capfd, runs, folder):
    rng = np.random.default_rng(0)
    for n in range(100):
        (folder / "own").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (11, 9), np.uint8)).save(f"own/{n}.png")
    train = ("train", "made", "--set", "hidden=9", "--budget", "2steps", "--out", "r")
    run(capfd, *train, "--data", "own", "--load", "resize=8")
    for n in range(100):
        (folder / "larger").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (14, 13), np.uint8)).save(f"larger/{n}.png")
    larger = ("--data", "larger", "--load", "resize=8")
    said = run_json(capfd, "complete", "r", *larger, "-n", "2", "--out", "c.npy")
    assert np.load(said["file"]).shape == (2, 1, 8, 8)
    record = run_json(capfd, "evaluate", "r", *larger, "--seconds", "0.2", "-n", "6")
    assert record["command"].startswith("genus evaluate r -n 6 --seconds 0.2 --seed 0")
    assert record["command"].endswith("--data larger --load resize=8")


def test_a_model_that_cannot_complete_says_so(capfd, runs):
    capfd.readouterr()
    assert main(["complete", str(runs / "cgan")]) == 2
    assert "a GAN cannot complete" in capfd.readouterr().err


def test_masks_hide_what_they_name():
    space = Real((2, 4, 6))
    hidden = {mask: ~observed_under(mask, space, 1, 0)[0] for mask in MASKS}
    assert hidden["left"][:, :, :3].all()
    assert not hidden["left"][:, :, 3:].any()
    assert torch.equal(hidden["right"], ~hidden["left"])
    assert hidden["top"][:, :2].all()
    assert not hidden["top"][:, 2:].any()
    assert torch.equal(hidden["bottom"], ~hidden["top"])
    assert int(hidden["centre"].sum()) == 2 * 2 * 3
    assert torch.equal(hidden["random"][0], hidden["random"][1])
    with pytest.raises(ValueError, match="random"):
        observed_under("left", Real((5,)), 1, 0)


def test_evaluate_measures_by_capability(capfd, judged):
    few = ("-n", "30", "--seconds", "0.3")
    record = run_json(capfd, "evaluate", judged / "ppca", *few, "--results", "results")
    assert record == read("results/ppca.json")
    assert record == json.loads((judged / "ppca/evaluation.json").read_text())
    metrics = record["metrics"]
    assert metrics["log_likelihood"]["sign"] in ("=", ">=")
    assert {"bits_per_dim", "fid", "fid_floor", "accuracy", "samples_per_second"} <= set(metrics)
    gan = run_json(capfd, "evaluate", judged / "cgan", *few)["metrics"]
    assert "log_likelihood" not in gan
    assert "fid" in gan


def test_evaluate_prints_a_table(capfd, judged):
    page = run(capfd, "evaluate", judged / "vae", "-n", "20", "--seconds", "0.3")
    assert "log-likelihood" in page
    assert "≥" in page


def test_evaluate_measures_only_what_is_named(capfd, judged):
    asked = ("--only", "log_likelihood,recall", "--seconds", "0.3")
    record = run_json(capfd, "evaluate", judged / "vae", *asked)
    measured = {"log_likelihood", "bits_per_dim", "precision", "recall", "density", "coverage"}
    assert measured <= set(record["metrics"])
    assert not {"fid", "kid", "accuracy", "reconstruction_error"} & set(record["metrics"])
    recall = record["metrics"]["recall"]
    assert recall["interval"][0] <= recall["value"] <= recall["interval"][1]
    assert 0 <= recall["floor"]["value"] <= 1
    assert "--only log_likelihood,recall" in record["command"]
    capfd.readouterr()
    assert main(["evaluate", str(judged / "vae"), "--only", "recal"]) == 2
    assert "did you mean 'recall'" in capfd.readouterr().err


def test_evaluate_anneals_as_long_as_asked(capfd, tmp_path):
    small = ("--data", "digits", "--set", "num_hidden=17", "--budget", "20steps")
    run(capfd, "train", "rbm-500", *small, "--out", tmp_path / "rbm")
    asked = ("--only", "likelihood", "-n", "5", "--effort", "4", "--seconds", "0.1")
    values = []
    for more, number in (((), 1000), (("--temperatures", "30"), 30)):
        record = run_json(capfd, "evaluate", tmp_path / "rbm", *asked, *more)
        figure = record["metrics"]["log_likelihood"]
        values.append(figure["value"])
        assert f"effort 4, {number:,} temperatures" in figure["note"]
        assert ("--temperatures 30" in record["command"]) == (number == 30)
    # the same machine: other weights lie several nats away
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], abs=0.3)


def test_evaluate_anneals_layers_with_as_many_chains_as_asked(capfd, tmp_path):
    small = ("--data", "digits", "--set", "hidden=24,23", "--budget", "20steps")
    run(capfd, "train", "dbm-500-1000", *small, "--out", tmp_path / "dbm")
    asked = ("--only", "likelihood", "-n", "5", "--effort", "1", "--temperatures", "20")
    errors = []
    for more, number in (((), 100), (("--chains", "900"), 900)):
        record = run_json(capfd, "evaluate", tmp_path / "dbm", *asked, *more)
        figure = record["metrics"]["log_likelihood_lower"]
        errors.append(figure["standard_error"])
        note = record["metrics"]["log_likelihood"]["note"]
        assert f"20 temperatures of {number} chains" in note
        assert ("--chains 900" in record["command"]) == (number == 900)
    # nine times as many chains: a third of the error, but for its own chance
    assert errors[1] < 0.6 * errors[0]
    opened = open_run(tmp_path / "dbm")
    assert opened.annealed() is opened
    with pytest.raises(ValueError, match="num_chains"):
        opened.annealed(num_chains=0)


def test_the_rate_of_training_is_that_of_the_log(capfd, judged):
    rows = (judged / "vae/log.jsonl").read_text().splitlines()
    last = json.loads(rows[-1])
    metrics = run_json(capfd, "evaluate", judged / "vae", "--only", "speed")["metrics"]
    rate = metrics["examples_per_second"]["value"]
    assert rate == pytest.approx(last["examples"] / last["seconds"], rel=1e-3)
    assert metrics["network_evaluations"]["value"] == 1


def test_evaluate_draws_what_may_have_been_copied(capfd, judged):
    page = run(capfd, "evaluate", judged / "ppca", "--only", "fid", "--seconds", "0.3")
    assert "closest.png" in page
    with Image.open(judged / "ppca/closest.png") as picture:
        assert picture.width > picture.height


def test_samples_of_any_program_are_judged_beside_a_data_set(capfd):
    digits = genus.data.load("digits")
    x = digits.materialise("train", 150)
    np.savez("drawn.npz", x=x.numpy(), y=digits.labels("train")[:150].numpy())
    arguments = ("evaluate", "--samples", "drawn.npz", "--data", "digits", "--features", "pixels")
    record = run_json(capfd, *arguments)
    assert record["num_samples"] == 150
    assert (record["data"], record["view"]) == ("digits", "pixels")
    assert record["feature_network"].startswith("64 principal components")
    assert record["metrics"]["near_copies"]["value"] == 1.0
    assert record["metrics"]["near_copies"]["floor"]["value"] < 0.2
    assert record["metrics"]["classification_accuracy"]["value"] > 0.5
    assert "classifier_score" not in record["metrics"]
    page = run(capfd, *arguments, "--only", "fid,kid", "--draws", "100")
    assert "100 samples of drawn.npz beside digits" in page
    assert "fid, fid_floor: 100 samples and 180 real data, below 2048" in page


def test_the_classes_of_samples_are_counted_beside_those_of_real_data(capfd):
    mnist = genus.data.load("mnist", view="pixels")
    np.save("ones.npy", mnist.materialise("test", 4000)[mnist.labels("test")[:4000] == 1].numpy())
    arguments = ("evaluate", "--samples", "ones.npy", "--data", "mnist", "--only", "classes")
    record = run_json(capfd, *arguments, "--features", "digits")
    counts = record["class_histogram"]
    assert sum(counts["samples"]) == record["num_samples"]
    # the classifier errs in 0.4 % of digits
    assert counts["samples"][1] > 0.97 * record["num_samples"]
    truth = np.bincount(mnist.labels("test").numpy(), minlength=10)
    assert np.abs(np.array(counts["real"]) - truth).max() < 25
    share = counts["real"][1] / sum(counts["real"])
    kl = record["metrics"]["class_kl"]["value"]
    assert kl == pytest.approx(-np.log(share), abs=0.15)
    page = run(capfd, *arguments, "--features", "digits")
    assert "classes, % of samples" in page


def test_options_reach_samples_and_data_that_are_a_path(capfd):
    for folder, side in (("photos", 9), ("drawn", 8)):
        Path(folder).mkdir()
        for i in range(40):
            levels = np.random.default_rng(i).integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(levels).save(f"{folder}/{i}.png")
    arguments = ("evaluate", "--samples", "drawn", "--data", "photos", "--only", "fid")
    record = run_json(capfd, *arguments, "--load", "resize=8")
    assert record["num_samples"] == 40
    assert record["command"].endswith("--load resize=8")
    capfd.readouterr()
    assert main([*arguments, "--load", "resiz=8"]) == 2
    assert "did you mean resize" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--samples", "drawn.npy", "--data", "digits", "--load", "foo=1"], "no option 'foo'"),
        (["--samples", "drawn.npy"], "needs --data"),
        (["run", "--samples", "drawn.npy", "--data", "digits"], "not both"),
        ([], "--samples"),
        (["--samples", "nothing.npy", "--data", "digits"], "does not exist"),
        (["--samples", "drawn.npy", "--data", "digits", "--view", "binary"], "grey levels"),
        (["--samples", "drawn.npy", "--data", "digits", "--features", "vgg"], "inception"),
        (["--samples", "drawn.npy", "--data", "digits", "--only", "vendy"], "'vendi'"),
        (["--samples", "drawn.npy", "--data", "digits", "--only", "modes"], "not known"),
        (["--samples", "drawn.npy", "--data", "digits", "--draws", "3", "--only", "recall"], "k=5"),
        (["--samples", "drawn.npy", "--data", "digits", "--draws", "0"], "--draws"),
        (["--samples", "drawn.npy", "--data", "digits", "--only", ","], "names nothing"),
        (["--samples", "drawn.npy", "--data", "digits", "--results", "out"], "--json > FILE"),
        (["--samples", "nan.npy", "--data", "digits"], "NaN"),
        (["--samples", "signed.npy", "--data", "digits"], "(x + 1) / 2"),
        (["--samples", "mixed", "--data", "digits"], "resize=8"),
        (["--samples", "empty", "--data", "digits"], "holds no images"),
    ],
)
def test_samples_that_cannot_be_judged_are_told_of_in_a_line(capfd, arguments, word):
    np.save("drawn.npy", np.full((40, 8, 8), 9, dtype=np.uint8))
    np.save("nan.npy", np.full((40, 8, 8), np.nan))
    np.save("signed.npy", np.linspace(-1, 1, 640).reshape(10, 8, 8))
    for folder in ("mixed", "empty"):
        Path(folder).mkdir()
    for side in (8, 6):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(f"mixed/{side}.png")
    assert main(["evaluate", *arguments]) == 2
    assert word in capfd.readouterr().err.splitlines()[-1]


def test_a_constant_set_is_judged_without_nan(capfd):
    np.save("drawn.npy", np.full((40, 8, 8), 9, dtype=np.uint8))
    arguments = ("evaluate", "--samples", "drawn.npy", "--data", "digits", "--features", "pixels")
    page = run(capfd, *arguments)
    assert "nan" not in page.lower()
    assert "duplicates" in page


def test_reproduce_trains_evaluates_and_records(capfd):
    small_digits("few.npz")
    recipe = "made@few.npz"
    arguments = ("reproduce", recipe, "--set", "hidden=9", "--budget", "5steps", "-n", "9")
    record = run_json(capfd, *arguments)
    assert record["recipe"] == recipe
    assert read(f"results/{recipe}.json") == record


def test_reproduce_takes_the_full_budget_and_what_goes_with_it(capfd, monkeypatch):
    settings = {"num_hidden": "17", "k": "2"}
    full = Full(Budget(steps=7), settings, effort=5, temperatures=40, precision="bf16")
    entry = dataclasses.replace(recipes.find("rbm-500"), data="digits", full=full)
    monkeypatch.setitem(registry.ENTRIES, "rbm-500", entry)
    monkeypatch.setattr(reproduce, "QUICK_PARTS", ("likelihood",))
    record = run_json(capfd, "reproduce", "rbm-500", "--set", "k=1", "-n", "9", "--out", "r")
    assert "effort 5, 40 temperatures" in record["metrics"]["log_likelihood"]["note"]
    described = read("r/config.json")
    assert described["settings"] == {"num_hidden": 17, "k": 1}
    assert described["budget"]["steps"] == 7
    assert described["precision"] == "bf16"
    assert record["command"] == "genus reproduce rbm-500 --seed 0 --set k=1 --num 9 --out r"
    asked = ("--budget", "3steps", "--set", "num-hidden=18", "--precision", "float32", "--out", "s")
    run(capfd, "reproduce", "rbm-500", "-n", "5", *asked)
    described = read("s/config.json")
    assert described["settings"] == {"num_hidden": 18, "k": 2}
    assert (described["budget"]["steps"], described["precision"]) == (3, "float32")
    assert recipes.find("rbm-500@digits").full == Full()


def test_check_runs_the_contract(capfd, folder):
    (folder / "mine.py").write_text(GOOD)
    result = run_json(capfd, "check", "mine.py:Coin")
    assert result["failed"] == 0
    assert sum(check["status"] == "pass" for check in result["checks"]) >= 5
    (folder / "theirs.py").write_text(GOOD.replace("torch.bernoulli(p)", "2 * torch.bernoulli(p)"))
    broken = run_json(capfd, "check", "theirs:Coin", code=1)
    assert broken["failed"] >= 1
    assert "FAIL" in run(capfd, "check", "theirs:Coin", code=1)


GOOD = '''
import torch
from torch import nn

from genus import Binary, Budget
from genus.engine import Descend, Optimiser
from genus.model import Exact
from genus.objectives.likelihood import NegativeLogLikelihood


class Coin(Exact):
    """Independent coins."""

    def __init__(self, space: Binary) -> None:
        super().__init__()
        self.space = space
        self.logits = nn.Parameter(torch.zeros(space.num_dimensions))

    def algorithm(self):
        return Descend(
            NegativeLogLikelihood(), Optimiser(learning_rate=0.1), budget=Budget(epochs=5)
        )

    def _log_prob(self, x, condition):
        flat = x.flatten(1)
        return (flat * self.logits - nn.functional.softplus(self.logits)).sum(1)

    def _sample(self, n, condition):
        p = self.logits.sigmoid().expand(n, -1)
        return torch.bernoulli(p).reshape(n, *self.space.shape)
'''


@pytest.mark.slow
def test_compare_runs_families_and_gives_their_rows(capfd):
    rows = run_json(
        capfd, "compare", "--data", "digits", "--models", "ppca", "--budget", "1s", "--out", "rep"
    )
    assert [row["model"] for row in rows] == ["PPCA"]
    assert rows[0]["status"] == "done"
    assert read("rep/results.json")[0]["model"] == "PPCA"


def test_set_takes_several_values():
    flag = "--set"
    for given, expected in [
        (["vae", "--set", "a=1", "b=2", "--seed", "3"], ["vae", flag, "a=1", flag, "b=2"]),
        (["--set", "a=1", "--set", "b=2"], [flag, "a=1", flag, "b=2"]),
        (["--set", "a=1", "vae"], [flag, "a=1", "vae"]),
        (["--set", "broken"], [flag, "broken"]),
        (["--set"], [flag]),
        (["--set", "--seed", "3"], [flag]),
    ]:
        seed = ["--seed", "3"] if "--seed" in given else []
        assert _repeat_flag(given, flag) == expected + seed


def test_a_run_on_your_own_data_can_be_asked_from_anywhere(capfd, folder, monkeypatch):
    rng = np.random.default_rng(0)
    np.save("own.npy", rng.normal(size=(80, 4)) @ rng.normal(size=(4, 4)))
    run(capfd, "train", "ppca", "--data", "own.npy", "--set", "num_components=2", "--out", "r")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    run(capfd, "sample", "../r", "-n", "3", "--out", "x.npy")
    run(capfd, "complete", "../r", "--mask", "random", "--out", "y.npy")
    assert "log_likelihood" in run_json(capfd, "evaluate", "../r", "--seconds", "0.2")["metrics"]
    assert read_tensors(folder / "r/model.safetensors")[0]["loadings"].shape == (4, 2)
