"""Injects bugs, one at a time, and asks whether the tests see them.

    python tests/mutation/run.py [--only NAME_OR_FAMILY] [--workers 2] [--timeout 240]

Each bug is applied to a temporary copy of the package, never to the package itself. First the
control: the same tests on unchanged copies, which must pass. A bug whose text is not found, or
whose tests cannot be collected, or run out of time, counts as a failure of the harness and not
as caught. The result goes to results/mutation.json. Exit code 0: the control passed, nothing
crashed and at least 90 % were caught.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from bugs import BUGS  # noqa: E402

LEAST_CAUGHT = 0.9
HEAVY = ["pytest", "torch", "torch._dynamo", "sklearn.decomposition", "scipy.stats", "safetensors"]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(HEAVY)


def copy_of_package(folder, tree):
    """A copy of the package whose large data files are links."""

    def linked(source, target):
        if "embedded" in source:
            os.symlink(source, target)
        else:
            shutil.copy2(source, target)

    ignored = shutil.ignore_patterns("__pycache__")
    source = tree / "src" / "genus"
    shutil.copytree(source, folder / "genus", ignore=ignored, copy_function=linked)
    return folder / "genus"


def run_tests(folder, tree, tests, timeout):
    """What pytest says of the copy in ``folder``: "passed", "failed" or "crashed", and a reason."""
    report, printed = folder / "report.xml", folder / "printed.txt"
    paths, _, keyword = tests.partition(" -k ")
    files = [str(tree / "tests" / path) for path in paths.split()]
    command = [*files, *(["-k", keyword.strip("'")] if keyword else []), "-x", "-q", "--no-header"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", f"--rootdir={tree}"]
    process = FORKS.Process(target=_pytest, args=(command, str(folder), str(tree), str(printed)))
    process.start()
    process.join(timeout)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return "crashed", f"no end within {timeout} s"
    tail = " | ".join(printed.read_text().strip().splitlines()[-3:])
    if process.exitcode == 0:
        return "passed", tail
    if process.exitcode != 1 or not report.exists():
        return "crashed", f"pytest ended with {process.exitcode}: {tail}"
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None:
            return "failed", f"{case.get('classname')}::{case.get('name')}"
    return "crashed", f"errors but no failed test: {tail}"


def _pytest(command, folder, tree, printed):
    """In a process forked from one that has the heavy libraries, but not the package, loaded."""
    os.setpgid(0, 0)
    with open(printed, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    os.environ |= {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    os.chdir(tree)
    import pytest
    import torch

    torch.set_num_threads(1)
    assert "genus" not in sys.modules
    code = int(pytest.main(command))
    sys.stdout.flush()
    os._exit(code)


def check_copy_is_used(folder):
    code = "import genus; print(genus.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not found.startswith(str(folder)):
        raise SystemExit(f"the tests would import {found}, not the copy in {folder}")


def control(tree, tests, timeout):
    """The tests on an unchanged copy."""
    with tempfile.TemporaryDirectory(prefix="control-") as name:
        folder = Path(name)
        copy_of_package(folder, tree)
        return run_tests(folder, tree, tests, timeout)


def inject(tree, bug, timeout):
    """One bug on a copy of its own."""
    started = time.monotonic()
    row = {"name": bug.name, "family": bug.family, "file": bug.file, "tests": bug.tests}
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        target = copy_of_package(folder, tree) / bug.file
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        if text.count(bug.old) != 1 or bug.old == bug.new:
            reason = f"the text occurs {text.count(bug.old)} times in {bug.file}, not once"
            return {**row, "outcome": "crashed", "by": reason, "seconds": 0.0}
        target.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
        outcome, reason = run_tests(folder, tree, bug.tests, timeout)
    outcome = {"failed": "caught", "passed": "missed"}.get(outcome, outcome)
    seconds = round(time.monotonic() - started, 1)
    return {**row, "outcome": outcome, "by": reason, "seconds": seconds}


def show(row):
    mark = {"caught": "+", "missed": "MISSED", "crashed": "CRASHED"}[row["outcome"]]
    print(f"{mark:8}{row['family']:11}{row['name']:46}{row['seconds']:6.1f} s  {row['by'][:90]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a bug's name, or a family")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds a bug")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutation.json")
    arguments = parser.parse_args()
    chosen = [b for b in BUGS if arguments.only in (*b, "") or arguments.only in b.name]
    if not chosen:
        raise SystemExit(f"no bug is called {arguments.only!r}")
    with tempfile.TemporaryDirectory(prefix="tree-") as name:
        controls, rows = judge(snapshot(Path(name)), chosen, arguments)
    raise SystemExit(finish(rows, controls, arguments.out))


def snapshot(tree):
    """The tree as it is now: whatever changes meanwhile, every bug meets the same tests."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, tree / part, ignore=ignored)
    shutil.copy2(ROOT / "pyproject.toml", tree)
    return tree


def judge(tree, chosen, arguments):
    """The control of every suite, then every bug."""
    with tempfile.TemporaryDirectory() as name:
        copy_of_package(Path(name), tree)
        check_copy_is_used(Path(name))
    limit, suites = arguments.timeout, sorted({bug.tests for bug in chosen})
    controls, rows = {}, []
    with ThreadPoolExecutor(arguments.workers) as pool:
        verdicts = pool.map(lambda tests: control(tree, tests, limit), suites)
        for tests, (verdict, reason) in zip(suites, verdicts, strict=True):
            controls[tests] = (verdict, reason)
            note = "" if verdict == "passed" else reason
            print(f"control {verdict:8} {tests}  {note}", flush=True)
        for row in pool.map(lambda bug: inject(tree, bug, limit), chosen):
            if controls[row["tests"]][0] != "passed":
                row |= {"outcome": "crashed", "by": "the control does not pass"}
            rows.append(row)
            show(row)
    return controls, rows


def finish(rows, controls, path):
    counts = {kind: [r for r in rows if r["outcome"] == kind] for kind in OUTCOMES}
    share = len(counts["caught"]) / len(rows)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    summary = {
        "bugs": len(rows),
        **{kind: len(found) for kind, found in counts.items()},
        "share_caught": round(share, 4),
        "control": {tests: verdict for tests, (verdict, _) in controls.items()},
        "missed_bugs": [r["name"] for r in counts["missed"]],
        "crashed_bugs": [r["name"] for r in counts["crashed"]],
        "commit": commit.stdout.strip(),
        "command": "python tests/mutation/run.py",
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(counts['caught'])} of {len(rows)} caught ({100 * share:.0f} %)")
    for kind in ("missed", "crashed"):
        for row in counts[kind]:
            print(f"  {kind}: {row['family']}: {row['name']} ({row['file']}): {row['by']}")
    healthy = all(verdict == "passed" for verdict, _ in controls.values())
    return 0 if healthy and not counts["crashed"] and share >= LEAST_CAUGHT else 1


OUTCOMES = ("caught", "missed", "crashed")

if __name__ == "__main__":
    main()
