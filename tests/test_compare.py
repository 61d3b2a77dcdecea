import io
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import genus
from genus import data
from genus.compare import FAMILIES, compare
from genus.compare.families import chosen
from genus.compare.plan import Plan, parse_budget
from genus.engine import Budget, checkpoint
from genus.evaluation import Effort

PROMISED = {
    "model",
    "family",
    "density",
    "log_likelihood",
    "log_likelihood_sign",
    "bits_per_dim",
    "fid",
    "fid_floor",
    "samples_per_second",
    "examples_per_second",
    "parameters",
    "seconds",
    "status",
}
SIGNS = {"exact": "=", "lower bound": ">=", "estimate": "~", "none": "none"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """900 labelled pictures of 6×7 pixels, one bright column each, as a file."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 900)
    x = generator.integers(0, 60, (900, 6, 7))
    for label in range(3):
        x[labels == label, :, 2 * label : 2 * label + 2] += 190
    path = tmp_path_factory.mktemp("data") / "columns.npz"
    np.savez(path, x=x.astype(np.uint8), y=labels)
    return path


LITTLE = Effort(200, 20, 1.0, 128, 1.0, 10, 1.0, 0.1, 1, 10)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def done(pictures: Path, tmp_path_factory):
    """One comparison: a model of each kind of density, and one that cannot be built."""
    out = tmp_path_factory.mktemp("report")
    console = quiet()
    found = compare(
        pictures,
        "ppca,rbm,gan,vae,made",
        view="binary",
        budget="30 steps",
        out=out,
        settings={
            "rbm": {"num_hidden": 17},
            "vae": {"hidden": (16,)},
            "made": {"hidden": (-3,)},
            "gan": {"hidden": (8, 16)},
        },
        effort=LITTLE,
        console=console,
    )
    return found, console.file.getvalue()


def test_rows_have_the_promised_shape(done) -> None:
    found, _ = done
    rows = json.loads(found.results.read_text(encoding="utf-8"))
    assert rows == found.rows
    assert [row["family"] for row in rows] == ["ppca", "rbm", "gan", "vae", "made"]
    for row in rows:
        assert set(row) >= PROMISED
        if row["status"] == "done":
            assert row["log_likelihood_sign"] == SIGNS[row["density"]]
            assert (row["log_likelihood"] is None) == (row["density"] == "none")
            assert row["samples_per_second"] > 0
            assert row["parameters"] > 0
            assert row["fid"] > 0
            assert row["fid_floor"] > 0


def test_each_kind_of_likelihood_is_there(done) -> None:
    kinds = {row["family"]: row["density"] for row in done[0].rows}
    assert kinds["ppca"] == "exact"
    assert kinds["rbm"] == "estimate"
    assert kinds["vae"] == "lower bound"
    assert kinds["gan"] == "none"
    spaces = {row["family"]: row.get("space") for row in done[0].rows}
    assert spaces["ppca"] == "binary, dequantised"
    assert spaces["rbm"] == "binary"
    rbm = done[0].rows[1]
    assert rbm["log_likelihood_reverse"] is not None


def test_a_family_that_fails_shows_its_reason_and_stops_no_other(done) -> None:
    found, printed = done
    failed = found.rows[-1]
    assert failed["status"] == "failed"
    assert failed["reason"] in printed
    assert "\n" not in failed["reason"]
    trace = found.folder / "runs" / "made" / "error.txt"
    assert "Traceback" in trace.read_text(encoding="utf-8")
    assert [row["status"] for row in found.rows[:4]] == ["done"] * 4


def test_the_table_shows_every_sign_and_grows_in_order(done) -> None:
    found, printed = done
    for text in ("= ", "≥ ", "≈ ", "none", "±"):
        assert text in printed
    places = [printed.index(f"\n{row['model']} ") for row in found.rows]
    assert places == sorted(places)
    assert "dequantised" in found.table()


def test_the_page_holds_every_picture_and_needs_no_network(done) -> None:
    found, _ = done
    page = found.page.read_text(encoding="utf-8")
    drawn = sum(len(row.get("pictures", [])) for row in found.rows)
    assert drawn >= 16
    assert page.count("data:image/png;base64,") == drawn
    assert "http" not in page
    assert found.rows[-1]["reason"].split("'")[0] in page
    assert page.count("<polyline") >= 3


def test_a_second_call_reads_back_what_is_done_and_tries_again_what_failed(
    done, pictures: Path
) -> None:
    found, _ = done
    before = {
        name: (found.folder / "runs" / name / "row.json").stat().st_mtime_ns
        for name in ("ppca", "rbm", "gan", "vae")
    }
    settings = {
        "rbm": {"num_hidden": 17},
        "vae": {"hidden": (16,)},
        "made": {"hidden": (8,)},
        "gan": {"hidden": (8, 16)},
    }
    again = compare(
        pictures,
        "ppca,rbm,gan,vae,made",
        view="binary",
        budget="30 steps",
        out=found.folder,
        settings=settings,
        effort=LITTLE,
        console=quiet(),
    )
    assert again.rows[:4] == found.rows[:4]
    assert again.rows[4]["status"] == "done"
    for name, stamp in before.items():
        assert (found.folder / "runs" / name / "row.json").stat().st_mtime_ns == stamp
    assert not (found.folder / "runs" / "made" / "error.txt").exists()


def test_other_settings_train_anew(pictures: Path, tmp_path: Path) -> None:
    first = compare(
        pictures, "ppca", budget="2 epochs", out=tmp_path, effort=LITTLE, console=quiet()
    )
    other = compare(
        pictures,
        "ppca",
        budget="2 epochs",
        out=tmp_path,
        effort=LITTLE,
        console=quiet(),
        settings={"ppca": {"num_components": 3}},
    )
    assert other.rows[0]["parameters"] == 42 * 3 + 42 + 1
    assert first.rows[0]["parameters"] != other.rows[0]["parameters"]


def test_stopped_in_the_middle_it_goes_on_and_ends_as_if_it_had_not_been(
    pictures: Path, tmp_path: Path
) -> None:
    def run(out: Path):
        return compare(
            pictures,
            "ppca,vae,made",
            budget="200 steps",
            out=out,
            settings={"vae": {"hidden": (16,)}, "made": {"hidden": (8,)}},
            effort=LITTLE,
            console=quiet(),
        )

    log = tmp_path / "a" / "runs" / "vae" / "log.jsonl"
    over = threading.Event()

    def interrupt() -> None:
        while not over.is_set() and not (log.exists() and log.stat().st_size):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    stopped = run(tmp_path / "a")
    over.set()
    watcher.join()
    statuses = [row["status"] for row in stopped.rows]
    assert statuses == ["done", "interrupted", "interrupted"]
    assert stopped.interrupted
    assert checkpoint.read_json(stopped.results) == stopped.rows
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps[-1] < 200
    resumed, whole = run(tmp_path / "a"), run(tmp_path / "b")
    assert resumed.rows[0] == stopped.rows[0]
    assert [row["status"] for row in resumed.rows] == ["done"] * 3
    weights = [
        checkpoint.read_tensors(found.folder / "runs" / "vae" / "model.safetensors")[0]
        for found in (resumed, whole)
    ]
    for name, value in weights[0].items():
        assert value.equal(weights[1][name])
    for key in ("log_likelihood", "fid", "precision", "reconstruction_error"):
        assert resumed.rows[1][key] == whole.rows[1][key]


def test_the_package_is_the_function() -> None:
    assert genus.compare is compare or callable(genus.compare)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("60s", Budget(seconds=60)),
        ("1.5m", Budget(seconds=90)),
        ("3 epochs", Budget(epochs=3)),
        ("3epochs", Budget(epochs=3)),
        ("500 steps", Budget(steps=500)),
        ("60000 examples", 60_000),
        (1234, 1234),
    ],
)
def test_budgets(text, budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "0s", "-5s", "soon", "60", "2.5 steps", True, None])
def test_bad_budgets_are_refused(text) -> None:
    with pytest.raises(ValueError, match="budget must be"):
        parse_budget(text)


def test_what_the_loader_was_asked_is_part_of_a_plan() -> None:
    digits = data.load("digits")
    plans = [
        Plan("photos/", None, 9, 0, "cpu", "float32", {}, loading=options)
        for options in (None, {}, {"resize": 8}, {"resize": (8, 9)})
    ]
    prints = [plan.fingerprint("vae", {}, digits) for plan in plans]
    assert prints[0] == prints[1]
    assert prints[2]["loading"] == {"resize": 8}
    assert prints[3]["loading"] == {"resize": [8, 9]}


def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "report"
    with pytest.raises(ValueError, match="did you mean 'diffusion'"):
        chosen("ppca,difusion")
    with pytest.raises(ValueError, match="twice"):
        chosen("vae,vae")
    with pytest.raises(ValueError, match="at least one"):
        chosen(",")
    with pytest.raises(ValueError, match="no-such-data"):
        compare("no-such-data", "ppca", budget="1s", out=out, effort=LITTLE, console=quiet())
    with pytest.raises(ValueError, match="does not take part"):
        compare(
            "mnist",
            "ppca",
            budget="1s",
            out=out,
            settings={"vae": {}},
            effort=LITTLE,
            console=quiet(),
        )
    assert not out.exists()


def test_equal_examples_for_every_family(pictures: Path, tmp_path: Path) -> None:
    found = compare(
        pictures,
        "vae,made",
        budget=2000,
        out=tmp_path,
        effort=LITTLE,
        console=quiet(),
        settings={"vae": {"hidden": (8,)}, "made": {"hidden": (8,)}},
    )
    batch = 128
    for row in found.rows:
        assert abs(row["examples"] - 2000) <= 3 * batch


def test_every_family_names_a_recipe_and_takes_its_settings() -> None:
    from genus.recipes import registry
    from genus.recipes.settings import check_settings

    for family in FAMILIES.values():
        check_settings(registry.find(family.recipe), dict(family.settings))


def test_toys_are_compared_by_their_modes(tmp_path: Path) -> None:
    found = compare(
        data.ring(),
        "ppca,gan",
        budget="5 steps",
        out=tmp_path,
        effort=LITTLE,
        console=quiet(),
        settings={},
    )
    ppca = found.rows[0]
    assert ppca["modes_known"] == 8
    assert ppca["high_quality_floor"] > 0.95
    assert ppca["energy_distance"] > 5 * abs(ppca["energy_distance_floor"])
    assert ppca["pictures"] == ["samples"]


def test_a_folder_that_no_comparison_made_is_never_emptied(pictures: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "runs" / "ppca" / "mine.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    for _ in range(2):
        found = compare(
            pictures, "ppca", budget="20 steps", out=tmp_path, effort=LITTLE, console=quiet()
        )
        assert found.rows[0]["status"] == "failed"
        assert "other files" in found.rows[0]["reason"]
        assert [path.name for path in theirs.parent.iterdir()] == ["mine.txt"]


def test_draws_of_grey_levels_are_tossed_where_the_data_are(tmp_path: Path) -> None:
    found = compare(
        "digits", "gan", view=None, budget="20 steps", out=tmp_path, effort=LITTLE, console=quiet()
    )
    assert found.rows[0]["status"] == "done", found.rows[0].get("reason")
