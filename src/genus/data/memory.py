"""How much memory there is, and whether data fit into their share of it."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from genus.data.stores import Store, Streamed

__all__ = ["available_memory", "held", "parse_size"]

SHARE = 0.5
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_memory() -> int:
    """Bytes that this process may still take: what is free, below what it is allowed."""
    return min([_free(), *_allowances()])


def _free() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _allowances() -> list[int]:
    """Limits of the container and of the process (its address space and its data)."""
    limits = []
    for name in LIMIT_FILES:
        try:
            limits.append(int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    try:
        import resource
    except ImportError:  # not on Windows
        return limits
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    soft = [resource.getrlimit(kind)[0] for kind in kinds]
    return limits + [limit for limit in soft if limit != resource.RLIM_INFINITY]


def parse_size(size: int | str | None) -> int:
    """Bytes, from a number or a text such as "8GB" or "500M" (powers of ten).

    None stands for half of the memory that is available.

    Raises:
        ValueError: where the size cannot be read.
    """
    if size is None:
        return int(SHARE * available_memory())
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", str(size).lower())
    if match is None or isinstance(size, bool):
        raise ValueError(f'memory_limit must be bytes or a text such as "8GB", got {size!r}')
    return int(float(match[1]) * UNITS[match[2]])


def held(stores: Sequence[Streamed], memory_limit: int | str | None) -> list[Store]:
    """The stores as tensors where all of them together fit the limit, else as they are."""
    limit = parse_size(memory_limit)
    if sum(store.num_bytes for store in stores) > limit:
        return list(stores)
    return [store.loaded() for store in stores]
