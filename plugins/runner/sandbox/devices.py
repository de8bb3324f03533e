"""What there is to compute on: CPU cores, memory, graphics cards. Data only; called by `gome doctor` and the runner."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Device:
    """Something to compute on: `count` cores, or one card; memory in MiB."""

    kind: Literal["cpu", "gpu"]
    name: str
    detail: str
    count: int = 1
    memory_mb: int = 0


def devices() -> list[Device]:
    """The cores we may use with the machine's memory, then one entry per graphics card."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = memory_mb()
    of = f" of {os.cpu_count()}" if os.cpu_count() != cores else ""
    cpu = Device("cpu", "cpu", f"{cores}{of} cores, {memory / 1024:.1f} GiB memory", cores, memory)
    return [cpu, *graphics_cards()]


def memory_mb() -> int:
    """Memory that a process may hope for: the machine's, or less where a cgroup says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text()) >> 20)
        except (OSError, ValueError):
            continue
    return total


def graphics_cards() -> list[Device]:
    """NVIDIA cards, as nvidia-smi lists them; where it is missing but a driver is not, torch is asked (if installed:
    importing it takes seconds, so it comes last)."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        try:
            listed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        except (OSError, subprocess.SubprocessError):
            listed = ""
        rows = [line.rpartition(",") for line in listed.splitlines() if line.rpartition(",")[2].strip().isdigit()]
        if rows:
            return [_card(i, name, int(memory)) for i, (name, _, memory) in enumerate(rows)]
    if Path("/dev/nvidia0").exists() and importlib.util.find_spec("torch") is not None:
        torch = importlib.import_module("torch")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        found = [torch.cuda.get_device_properties(i) for i in range(count)]
        return [_card(i, card.name, card.total_memory >> 20) for i, card in enumerate(found)]
    return []


def _card(index: int, name: str, memory: int) -> Device:
    return Device("gpu", f"gpu {index}", f"{name.strip()}, {memory / 1024:.0f} GiB", 1, memory)


def card_count() -> int:
    """Number of graphics cards by their device files; what an execution's slot is spread over."""
    return sum(p.name[6:].isdigit() for p in Path("/dev").glob("nvidia*"))
