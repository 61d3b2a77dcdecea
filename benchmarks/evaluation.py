"""What the metrics cost beside the packages that people use.

    OMP_NUM_THREADS=2 python benchmarks/evaluation.py [--json FILE] [--rounds 3] [--only manifold]

Precision, recall, density and coverage against prdc, and FID against scipy's square root of a
matrix and torchmetrics' eigenvalues. The contestants take turns, each in a process of its own on
the same features, so that its peak memory is its own. The rows of a package that is not installed
(``pip install prdc torchmetrics``) are left out. Memory is the peak above that of the process with
its features loaded. OpenMP waits passively (OMP_WAIT_POLICY), for all alike: threads that spin at
every barrier measure what else the machine does.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROUNDS = 3
SIZE = 10_000
Figures = dict[str, float]


def features(size: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets whose variances fall by a power law, as those of a network's features do."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(1, width + 1).float() ** -0.5
    return tuple(  # type: ignore[return-value]
        torch.randn(size, width, generator=generator) * scales + shift for shift in (0.5, 0.51)
    )


def manifold_genus(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    from genus.evaluation.neighbours import manifold

    return lambda: {n: f.value for n, f in manifold(real, samples, 5).figures().items()}


def manifold_prdc(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    from prdc import compute_prdc

    def call() -> Figures:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(real.numpy(), samples.numpy(), 5)
        return {name: float(value) for name, value in found.items()}

    return call


def fid_genus(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    from genus.evaluation.frechet import Moments, frechet_distance

    return lambda: {"fid": frechet_distance(Moments.of(samples), Moments.of(real))}


def fid_genus_interval(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    from genus.evaluation.frechet import Moments, frechet_figure

    return lambda: {"fid": frechet_figure(samples, Moments.of(real)).value}


def fid_sqrtm(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    import numpy as np
    from scipy.linalg import sqrtm

    def call() -> Figures:
        x, y = real.double().numpy(), samples.double().numpy()
        a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = np.trace(np.real(sqrtm(a @ b)))
        shift = np.square(x.mean(0) - y.mean(0)).sum()
        return {"fid": float(shift + np.trace(a) + np.trace(b) - 2 * root)}

    return call


def fid_torchmetrics(real: torch.Tensor, samples: torch.Tensor) -> Callable[[], Figures]:
    from torchmetrics.image.fid import _compute_fid

    def call() -> Figures:
        x, y = real.double(), samples.double()
        return {"fid": float(_compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)))}

    return call


SECTIONS: dict[str, tuple[tuple[int, ...], dict[str, Callable[..., Callable[[], Figures]]]]] = {
    "manifold": ((64, 128, 2048), {"genus": manifold_genus, "prdc": manifold_prdc}),
    "fid": (
        (128, 2048),
        {
            "genus": fid_genus,
            "genus with interval": fid_genus_interval,
            "sqrtm": fid_sqrtm,
            "torchmetrics": fid_torchmetrics,
        },
    ),
}


def peak() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(section: str, contestant: str, width: int, size: int) -> dict[str, object]:
    """One measurement, in this process: the first call warms up on a small part."""
    real, samples = features(size, width)
    build = SECTIONS[section][1][contestant]
    build(real[:200], samples[:200])()
    before, start, busy = peak(), time.perf_counter(), time.process_time()
    values = build(real, samples)()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "megabytes": peak() - before,
        "values": values,
    }


def fresh(section: str, contestant: str, width: int, size: int) -> dict[str, object] | None:
    """The same in a process of its own; None where its package is missing."""
    request = json.dumps([section, contestant, width, size])
    command = [sys.executable, __file__, "--one", request]
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{contestant} is left out: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "least": ordered[0], "most": ordered[-1]}


def compare(section: str, width: int, size: int, rounds: int) -> dict[str, object]:
    """All contestants in turn, and theirs over ours, round by round."""
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in SECTIONS[section][1]}
    for _ in range(rounds):
        for name in list(rows):
            found = fresh(section, name, width, size)
            if found is None:
                del rows[name]
            else:
                rows[name].append(found)
    result: dict[str, object] = {"load_average": os.getloadavg()[0]}
    for name, found in rows.items():
        row: dict[str, object] = {"values": found[0]["values"]}
        for unit in ("seconds", "cpu_seconds", "megabytes"):
            ours, theirs = ([float(f[unit]) for f in one] for one in (rows["genus"], found))  # type: ignore[arg-type]
            row[unit] = spread(theirs)
            if name != "genus":
                ratios = [a / max(b, 1e-3) for a, b in zip(theirs, ours, strict=True)]
                row[f"{unit} / genus"] = spread(ratios)
        result[name] = row
    return result


def table(section: str, size: int, width: int, result: dict[str, object]) -> str:
    head = f"{section}, {size} × {size} × {width}"
    names = "".join(f"{name:>10s}" for name in ("seconds", "CPU s", "MB"))
    lines = [f"{head:36s}{names}{'time ratio':>24s}{'MB ratio':>10s}"]
    for name, row in result.items():
        if not isinstance(row, dict):
            continue
        cells = [f"{row[unit]['median']:10.2f}" for unit in ("seconds", "cpu_seconds", "megabytes")]
        ratio = row.get("seconds / genus")
        if ratio:
            span = f"{ratio['median']:.1f} ({ratio['least']:.1f} to {ratio['most']:.1f})"
            cells.append(f"{span:>24s}{row['megabytes / genus']['median']:10.1f}")
        lines.append(f"  {name:34s}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=list(SECTIONS))
    parser.add_argument("--width", type=int, help="only this number of features")
    parser.add_argument("--size", type=int, default=SIZE, help="rows of each set")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*json.loads(arguments.one))))
        return
    figures: dict[str, object] = {
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "aim": "manifold at least 5 times as fast as prdc, at under half its memory",
    }
    for section, (widths, _) in SECTIONS.items():
        if arguments.only not in (None, section):
            continue
        for width in widths:
            if arguments.width in (None, width):
                result = compare(section, width, arguments.size, arguments.rounds)
                figures[f"{section} {width}"] = result
                print(table(section, arguments.size, width, result), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
