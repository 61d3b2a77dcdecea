"""The C++ of this folder, compiled where it runs and kept in the user's cache."""

import ctypes
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import torch

from genus.engine.checkpoint import write_bytes
from genus.engine.compiled import compiler

__all__ = ["library", "suits"]

HERE = Path(__file__).parent
TORCH = Path(torch.__file__).parent
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

    It is compiled once for each processor, compiler and version of torch. Needs GCC 12 or Clang.
    """
    try:
        return ctypes.CDLL(str(_built(name)))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        (line, *_) = [row for row in said.splitlines() if row.strip()] or ["it said nothing"]
        warnings.warn(
            f"the kernel {name}.cpp could not be built by {compiler()} or loaded "
            f"({line.strip()[:200]}); torch.compile takes its place",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _built(name: str) -> Path:
    """The file, whose name ends in the digest of what is in it; a damaged one is made anew."""
    version = _said_by(compiler(), "--version")
    parts = [path.read_bytes() for path in sorted(HERE.glob("*.[ch]*"))]
    parts += [repr((name, FLAGS, torch.__version__, version, _processor())).encode()]
    start = f"{name}-{_digest(b'|'.join(parts))}"
    folder = _folder()
    for path in folder.glob(f"{start}-*.so"):
        if path.stem == f"{start}-{_digest(path.read_bytes())}":
            return path
    content = _compiled(HERE / f"{name}.cpp")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{start}-{_digest(content)}.so"
    write_bytes(path, content)
    return path


def _compiled(source: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.so"
        places = (f"-I{TORCH / 'include'}", f"-L{TORCH / 'lib'}")
        command = (compiler(), *FLAGS, *places, str(source), "-o", str(made))
        _said_by(*command, "-ltorch_cpu", "-lc10")
        return made.read_bytes()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


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
