"""Each bad input: exit 2, one clear line on standard error, and nothing half-written."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genus.cli.main import main
from genus.engine import checkpoint
from genus.recipes import running

RECIPES_ON_DIGITS = ("made", "--data", "digits", "--set", "hidden=12")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, so that whatever is written shows."""
    inside = tmp_path / "work"
    inside.mkdir()
    monkeypatch.chdir(inside)
    return inside


@pytest.fixture
def other(tmp_path):
    """A folder for inputs, beside the working folder."""
    path = tmp_path / "inputs"
    path.mkdir()
    return path


def refused(capfd, folder, *arguments, code=2):
    """Runs a command that must be refused, and returns its one line."""
    before = contents(folder)
    assert main([str(a) for a in arguments]) == code
    captured = capfd.readouterr()
    lines = [line for line in captured.err.splitlines() if line.strip()]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("genus: error: ")
    assert captured.out == ""
    assert contents(folder) == before
    return lines[0]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} | {
        path: None for path in folder.rglob("*") if path.is_dir()
    }


def picture(path, size=(8, 8), value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), value, np.uint8)).save(path)
    return path


def trained(out="run", *extra):
    assert main(["train", *RECIPES_ON_DIGITS, "--budget", "3steps", "--out", out, *extra]) == 0


def test_unknown_recipe_names_the_nearest(capfd, folder):
    line = refused(capfd, folder, "train", "pixelcn")
    assert "did you mean 'pixelcnn'" in line


def test_steps_that_cannot_be_compiled_leave_nothing(capfd, folder):
    line = refused(capfd, folder, "train", "vae", "--data", "digits", "--compiled", "--out", "run")
    assert "--compiled" in line
    assert not (folder / "run").exists()


def test_a_run_of_before_there_were_compiled_steps_goes_on(folder):
    trained()
    config = folder / "run" / "config.json"
    kept = json.loads(config.read_text())
    del kept["compiled"]
    config.write_text(json.dumps(kept))
    trained("run", "--resume")


def test_resume_says_that_steps_were_not_compiled(capfd, folder):
    line = ["train", "rbm-500", "--data", "digits", "--out", "run"]
    assert main([*line, "--budget", "3steps"]) == 0
    capfd.readouterr()
    assert "compiled was False, now True" in refused(capfd, folder, *line, "--compiled", "--resume")


def test_unknown_command_names_the_nearest(capfd, folder):
    assert "did you mean 'train'" in refused(capfd, folder, "trian", "vae")


def test_misspelt_setting(capfd, folder):
    line = refused(capfd, folder, "train", "made", "--data", "digits", "--set", "hiden=3")
    assert "did you mean 'hidden'" in line
    assert "num_orders" in line


def test_value_of_the_wrong_type(capfd, folder):
    line = refused(capfd, folder, "train", "vae", "--data", "digits", "--set", "num_latent=two")
    assert "num_latent of vae must be a whole number, got 'two'" in line


def test_value_out_of_range(capfd, folder):
    line = refused(capfd, folder, "train", "vae", "--data", "digits", "--set", "num_latent=0")
    assert "num_latent" in line


def test_missing_path(capfd, folder):
    assert "nowhere" in refused(capfd, folder, "train", "vae", "--data", "./nowhere/x.npy")


def test_unknown_data_set(capfd, folder):
    assert "digits" in refused(capfd, folder, "train", "vae", "--data", "digit")


def test_empty_folder(capfd, folder, other):
    assert "holds neither" in refused(capfd, folder, "train", "vae", "--data", other)


def test_truncated_image(capfd, folder, other):
    for n in range(12):
        picture(other / f"{n}.png", value=10 * n)
    whole = (other / "7.png").read_bytes()
    (other / "7.png").write_bytes(whole[: len(whole) // 2])
    assert "7.png" in refused(capfd, folder, "train", "vae", "--data", other)


def test_images_of_different_sizes_name_the_option(capfd, folder, other):
    for n in range(12):
        picture(other / f"{n}.png", size=(8, 8) if n != 5 else (10, 9), value=10 * n)
    assert "--load resize=8 (in Python resize=8)" in refused(
        capfd, folder, "train", "vae", "--data", other
    )
    train = ("train", "made", "--data", str(other), "--load", "resize=8", "--set", "hidden=9")
    assert main([*train, "--budget", "2steps", "--out", "run"]) == 0
    assert json.loads((folder / "run/config.json").read_text())["data"]["loading"] == {"resize": 8}
    assert main(["sample", "run", "-n", "2"]) == 0


def test_unknown_loading_option(capfd, folder, other):
    np.save(other / "x.npy", np.random.default_rng(0).random((40, 3)))
    line = refused(capfd, folder, "train", "ppca", "--data", other / "x.npy", "--load", "resise=8")
    assert "resise" in line


def test_text_in_a_number_column(capfd, folder, other):
    rows = ["a,b,c", *(f"{n}.5,{n},{n * n}" for n in range(30))]
    rows[9] = "8.5,hello,64"
    (other / "table.csv").write_text("\n".join(rows) + "\n")
    line = refused(capfd, folder, "train", "ppca", "--data", other / "table.csv")
    assert "hello" in line or "'b'" in line


def test_not_a_number_in_the_data(capfd, folder, other):
    x = np.random.default_rng(0).random((40, 3))
    x[17, 1] = np.nan
    np.save(other / "x.npy", x)
    line = refused(capfd, folder, "train", "ppca", "--data", other / "x.npy")
    assert "NaN" in line
    assert "17" in line


@pytest.mark.parametrize(
    "recipe", [("cgan",), ("vae", "--set", "conditional=yes"), ("ddpm", "--set", "conditional=1")]
)
def test_labels_are_missing(capfd, folder, other, recipe):
    np.save(other / "x.npy", np.random.default_rng(0).random((40, 3)))
    line = refused(capfd, folder, "train", *recipe, "--data", other / "x.npy")
    assert "labels of x are missing" in line


def test_real_data_for_a_binary_model(capfd, folder, other):
    np.save(other / "x.npy", np.random.default_rng(0).random((40, 3)))
    assert "binar" in refused(capfd, folder, "train", "rbm-500", "--data", other / "x.npy")
    line = refused(capfd, folder, "train", "rbm-500", "--data", "digits", "--view", "pixels")
    assert "--view binary" in line


def test_points_for_an_image_model(capfd, folder, other):
    np.save(other / "x.npy", np.random.default_rng(0).random((40, 3)))
    assert "needs images" in refused(capfd, folder, "train", "dcgan", "--data", other / "x.npy")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("0s", "positive"),
        ("0", "positive"),
        ("-5s", "positive"),
        ("0steps", "positive"),
        ("soon", "unit"),
    ],
)
def test_no_budget(capfd, folder, budget, said):
    line = refused(capfd, folder, "train", "ppca", "--data", "digits", f"--budget={budget}")
    assert "the budget must be" in line
    assert said in line


def test_no_epochs(capfd, folder):
    line = refused(capfd, folder, "train", "ppca", "--data", "digits", "--epochs", "0")
    assert "epochs must be positive" in line


def test_no_such_device(capfd, folder):
    line = refused(capfd, folder, "train", "ppca", "--data", "digits", "--device", "tpu9")
    assert "tpu9" in line


def test_folder_in_use(capfd, folder):
    trained()
    capfd.readouterr()
    line = refused(capfd, folder, "train", *RECIPES_ON_DIGITS, "--out", "run")
    assert "--resume" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--set", "batch_size=7"), "settings batch_size was the default, now 7"),
        (("--seed", "4"), "seed was 0, now 4"),
        (("--view", "pixels"), "data view was 'binary', now 'pixels'"),
        (("--precision", "bf16"), "precision was 'float32', now 'bf16'"),
    ],
)
def test_resume_says_what_differs(capfd, folder, change, said):
    trained()
    capfd.readouterr()
    line = refused(capfd, folder, "train", *RECIPES_ON_DIGITS, *change, "--out", "run", "--resume")
    assert said in line


def test_resume_of_another_recipe(capfd, folder):
    trained()
    capfd.readouterr()
    line = refused(capfd, folder, "train", "ppca", "--data", "digits", "--out", "run", "--resume")
    assert "recipe was 'made', now 'ppca'" in line


def test_run_folder_is_a_file(capfd, folder):
    (folder / "run").write_text("mine")
    assert "is a file" in refused(capfd, folder, "train", *RECIPES_ON_DIGITS, "--out", "run")


def test_run_folder_holds_other_files(capfd, folder):
    (folder / "run").mkdir()
    (folder / "run/letter.txt").write_text("mine")
    for extra in ([], ["--resume"]):
        line = refused(capfd, folder, "train", *RECIPES_ON_DIGITS, "--out", "run", *extra)
        assert "--out" in line


@pytest.mark.parametrize("there", [False, True])
def test_nothing_to_resume(capfd, folder, there):
    if there:
        (folder / "run").mkdir()
    line = refused(capfd, folder, "train", *RECIPES_ON_DIGITS, "--out", "run", "--resume")
    assert "there is nothing to resume in run" in line


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_before_the_first_checkpoint_leaves_no_folder_in_use(
    capfd, folder, monkeypatch, there
):
    if there:
        (folder / "run").mkdir()
    with monkeypatch.context() as broken:

        def fail(*arguments, **options):
            raise RuntimeError("a bug")

        broken.setattr(running, "run", fail)
        assert main(["train", *RECIPES_ON_DIGITS, "--out", "run"]) == 1
    assert contents(folder) == ({folder / "run": None} if there else {})
    trained()


def test_a_folder_that_cannot_be_made(capfd, folder):
    line = refused(capfd, folder, "train", *RECIPES_ON_DIGITS, "--out", "/proc/foo")
    assert "cannot write into /proc" in line


def test_text_for_a_recipe_of_numbers(capfd, folder, other):
    (other / "poem.txt").write_text("the quick brown fox " * 200)
    for recipe in ("ppca", "ddpm", "dcgan", "rbm-500"):
        line = refused(capfd, folder, "train", recipe, "--data", other / "poem.txt")
        assert f"{recipe} takes no text yet" in line


def test_python_objects_are_not_to_be_unpickled(capfd, folder, other):
    np.save(other / "x.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    line = refused(capfd, folder, "train", "ppca", "--data", other / "x.npy")
    assert "Python objects" in line
    assert "allow_pickle" not in line


@pytest.mark.parametrize("verb", ["evaluate", "sample", "complete"])
def test_no_run(capfd, folder, verb):
    assert "nowhere" in refused(capfd, folder, verb, "nowhere")
    assert "config.json" in refused(capfd, folder, verb, ".")


DAMAGES = {
    "truncated": "truncated",
    "tampered": "digest",
    "another class": "different models",
    "config": "config.json",
    "unknown class": "no model is called",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint(capfd, folder, damage):
    trained()
    path, config = folder / "run/model.safetensors", folder / "run/config.json"
    content = path.read_bytes()
    match damage:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "tampered":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "another class":
            config.write_text(config.read_text().replace('"MADE"', '"VAE"'))
        case "config":
            config.write_text(config.read_text()[:40])
        case "unknown class":
            config.write_text(config.read_text().replace('"MADE"', '"Oracle"'))
    capfd.readouterr()
    for verb in ("evaluate", "sample", "complete"):
        assert DAMAGES[damage] in refused(capfd, folder, verb, "run")


@pytest.mark.parametrize("damage", ["truncated", "tampered"])
def test_damaged_training_state(capfd, folder, damage):
    trained()
    path = folder / "run/training.safetensors"
    content = path.read_bytes()
    changed = content[:-50] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(changed)
    capfd.readouterr()
    again = ("train", *RECIPES_ON_DIGITS, "--out", "run", "--resume", "--budget", "6steps")
    before = contents(folder)
    assert main(list(again)) == 2
    assert "training.safetensors" in capfd.readouterr().err.splitlines()[-1]
    assert contents(folder) == before


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_full_disk(capfd, folder, monkeypatch, allowed):
    """The disk is full at the first, second or third file; nothing is left of the run."""
    written = 0
    real = os.fsync

    def full(handle):
        nonlocal written
        written += 1
        if written > allowed:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    assert main(["train", *RECIPES_ON_DIGITS, "--budget", "2steps", "--out", "run"]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("genus: error: No space left on device")
    leftover = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not leftover
    assert not (folder / "run").exists()


def test_disk_that_takes_no_large_file(folder):
    """A real limit of the system: the weights do not fit, so that no run remains."""
    program = "import sys; from genus.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "train", *RECIPES_ON_DIGITS, "--out", "run"],
        capture_output=True,
        text=True,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("genus: error: File too large")
    assert "Traceback" not in done.stderr
    assert not list(folder.iterdir())


def test_no_permission(capfd, folder, monkeypatch):
    """Simulated, because the superuser may write everywhere."""

    def forbidden(*arguments, **options):
        raise PermissionError(13, "Permission denied", "locked/run")

    monkeypatch.setattr("pathlib.Path.mkdir", forbidden)
    assert main(["train", *RECIPES_ON_DIGITS, "--out", "locked/run"]) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "genus: error: Permission denied (locked/run)"
    )
    assert not list(folder.iterdir())


def test_bad_requests_of_the_reading_commands(capfd, folder):
    trained()
    capfd.readouterr()
    for arguments, said in [
        (("sample", "run", "-n", "0"), "n must be"),
        (("sample", "run", "--out", "x.bmp"), ".png"),
        (("sample", "run", "--out", "no/x.png"), "no folder"),
        (("sample", "run", "--condition", "3"), "not conditional"),
        (("complete", "run", "-n", "0"), "-n"),
        (("complete", "run", "--data", "mnist"), "lies in"),
        (("evaluate", "run", "-n", "-5"), "error: -n must be positive, got -5"),
        (("evaluate", "run", "--temperatures", "0"), "error: --temperatures must be positive"),
        (("evaluate", "run", "--temperatures", "2"), "--temperatures must be at least 3, got 2"),
        (("evaluate", "run", "--temperatures", "9"), "for models whose log Z is annealed; MADE"),
        (("evaluate", "run", "--chains", "0"), "error: --chains must be positive"),
        (("evaluate", "run", "--chains", "9"), "--chains is for deep models"),
        (("evaluate", "run", "--load", "resize=8"), "--load goes with --data"),
        (("complete", "run", "--load", "resize=8"), "--load goes with --data"),
        (("evaluate", "run", "--data", "digits", "--load", "rezise=8"), "did you mean resize"),
        (("data", "digits", "--picture", "x.bmp"), "--picture must end"),
        (("data", "digits", "--picture", "no/x.png"), "--picture: there is no folder no"),
        (("train", "ppca", "--epochs", "x"), "--epochs must be a number"),
        (("evaluate", "elsewhere"), "there is no run at elsewhere; there are run"),
        (("compare", "--data", "digits", "--load", "rezise=8"), "did you mean resize"),
        (("check", "json"), "MODULE:CLASS"),
        (("check", "json:Nothing"), "Nothing"),
        (("check", "no_such_module:Thing"), "no_such_module"),
        (("data", "mnits"), "mnist"),
        (("compare", "--models", "ppca,vea"), "did you mean 'vae'"),
        (("compare", "--budget", "0s"), "budget must be positive"),
        (("compare", "--budget", "0"), "budget must be positive"),
        (("compare", "--budget", "soon"), "60000examples"),
    ]:
        assert said in refused(capfd, folder, *arguments), arguments


def test_arguments_that_no_command_knows(capfd, folder):
    for arguments in (["train"], ["train", "vae", "--colour", "red"], ["train", "vae", "--seed=x"]):
        assert main(arguments) == 2
        assert capfd.readouterr().err
        assert not list(folder.iterdir())
