"""The C++ of this folder, compiled where it runs and kept in the user's cache."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import torch

from genus.engine.compiled import compiler

__all__ = ["library", "suits"]

HERE = Path(__file__).parent
FLAGS = (
    "-O3",
    "-march=native",
    "-std=c++20",
    "-fPIC",
    "-shared",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
)


def suits() -> bool:
    """Whether this machine is one that the kernels are written for: Linux on x86 with AVX2."""
    known = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    return sys.platform == "linux" and platform.machine() == "x86_64" and known


@lru_cache(maxsize=8)
def library(name: str) -> ctypes.CDLL | None:
    """What ``name.cpp`` is compiled to; None, and a warning, where that fails.

    It is compiled once for each processor, compiler and version of torch.
    """
    try:
        return ctypes.CDLL(str(_built(name)))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        (line, *_) = [row for row in said.splitlines() if row.strip()] or ["it said nothing"]
        warnings.warn(
            f"the kernel {name}.cpp could not be built by {compiler()} ({line.strip()[:200]}); "
            "torch.compile takes its place, with the same results",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _built(name: str) -> Path:
    version = _said_by(compiler(), "--version")
    parts = [path.read_bytes() for path in sorted(HERE.glob("*.[ch]*"))]
    parts += [repr((name, FLAGS, torch.__version__, version, _processor())).encode()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
    path = _folder() / f"{name}-{key}.so"
    if not path.exists():
        _compile(HERE / f"{name}.cpp", path)
    return path


def _compile(source: Path, path: Path) -> None:
    """Atomically: several processes may do so at once."""
    from torch.utils.cpp_extension import include_paths, library_paths

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        includes = [f"-I{each}" for each in include_paths()]
        libraries = [f"-L{each}" for each in library_paths()]
        said = [*FLAGS, *includes, str(source), "-o", str(made), *libraries]
        _said_by(compiler(), *said, "-ltorch_cpu", "-lc10")
        os.replace(made, path)


def _said_by(*command: str) -> str:
    found = shutil.which(command[0]) or command[0]
    run = subprocess.run([found, *command[1:]], capture_output=True, text=True, check=True)
    return run.stdout


def _folder() -> Path:
    import pooch

    return Path(pooch.os_cache("genus")) / "kernels"


def _processor() -> str:
    """What ``-march=native`` may make use of."""
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    rows = described.splitlines()
    return "\n".join(row for row in rows if row.startswith(("model name", "flags")))
