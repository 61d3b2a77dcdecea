"""What a start costs, and that ``genus.compare`` is a function whatever was imported first."""

import re
import subprocess
import sys
import time

import genus
from genus.cli.front import COMMANDS, help_page
from genus.cli.main import main


def python(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True
    )


def test_help_is_fast_and_imports_neither_torch_nor_numpy():
    code = "from genus.cli.main import main; main(['--help'])"
    done = python(code, "-X", "importtime")
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not {"torch", "numpy", "tyro", "rich", "sklearn", "matplotlib"} & imported
    # the best of three: the bound is 0.5 s on an idle machine
    assert min(_seconds(code) for _ in range(3)) < 0.5


def _seconds(code):
    start = time.perf_counter()
    python(code)
    return time.perf_counter() - start


def test_import_and_version_are_light():
    done = python(
        "import sys, genus; from genus.cli.main import main; main(['--version']);"
        "assert 'torch' not in sys.modules"
    )
    assert done.stdout.strip() == f"genus {genus.__version__}"


def test_commands_import_nothing_heavy_beyond_torch():
    """What took seconds elsewhere: a command imports it only where it uses it."""
    names = ("listing", "data", "train", "sample", "complete", "evaluate", "check")
    imports = ", ".join(f"genus.cli.{name}" for name in names)
    heavy = ("torch._dynamo", "sklearn", "matplotlib", "scipy", "pandas", "huggingface_hub")
    python(f"import sys, {imports}; found = set({heavy}) & set(sys.modules); assert not found")


def test_help_names_every_command_within_a_screen(capsys):
    page = help_page(colour=False)
    assert all(re.search(rf"^  {name} ", page, re.MULTILINE) for name in COMMANDS)
    assert len(page.splitlines()) <= 26
    assert max(map(len, page.splitlines())) <= 100
    assert "\033[" not in page
    assert "\033[1m" in help_page(colour=True)
    assert main([]) == main(["--help"]) == main(["help"]) == 0
    assert capsys.readouterr().out == (page + "\n") * 3


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0, name
        out = capsys.readouterr().out
        assert f"genus {name}" in out
        assert "--help" in out


def test_python_dash_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "genus", "trian"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'train'" in done.stderr


def test_compare_can_be_called_before_and_after_its_import():
    code = """
import sys, genus
assert callable(genus.compare)
import genus.compare
assert callable(genus.compare)
import genus.compare.comparison
assert callable(genus.compare)
from genus import compare
try:
    compare("digits", "pca")
except ValueError as error:
    assert "ppca" in str(error)
else:
    raise AssertionError
"""
    python(code)


def test_debug_shows_the_traceback(capfd, monkeypatch):
    assert main(["train", "nothing"]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert main(["train", "nothing", "--debug"]) == 2
    assert "Traceback" in capfd.readouterr().err
    monkeypatch.setenv("GENUS_DEBUG", "1")
    assert main(["train", "nothing"]) == 2
    assert "Traceback" in capfd.readouterr().err


def test_a_reader_that_closes_early_is_no_error():
    command = f"{sys.executable} -m genus list --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
