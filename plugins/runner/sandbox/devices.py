"""What there is to compute on besides graphics cards (`cards.py`): CPU cores and memory. Called by `gome doctor`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """CPU cores that we may use, of so many, and memory in MiB."""

    cores: int
    of: int
    memory_mb: int

    def __str__(self) -> str:
        of = f" of {self.of}" if self.of != self.cores else ""
        return f"{self.cores}{of} cores, {self.memory_mb / 1024:.1f} GiB memory"


def machine() -> Machine:
    """This one."""
    count = os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    return Machine(cores, count, memory_mb())


def memory_mb() -> int:
    """Memory that a process may hope for: the machine's, or less where a cgroup says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text()) >> 20)
        except (OSError, ValueError):
            continue
    return total
