"""What a tree of processes uses, read from /proc: resident memory, tasks of a user; and who a process id really is.

Called a few times a second by the watchdog (`watch.py`), so it reads no more than it must.
"""

from __future__ import annotations

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def started(pid: int) -> str:
    """When a process began (clock ticks since boot, and which boot): with the id it names one process for ever; ""
    when there is none."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] == b"Z":
        return ""
    return f"{_read('/proc/sys/kernel/random/boot_id').decode().strip()}/{fields[19].decode()}"


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(f"/proc/{pid}/task/{thread}/children").split()]


def descendants(pid: int) -> list[int]:
    """All processes below one, nearest first."""
    found, queue = [], [pid]
    while queue:
        below = children(queue.pop(0))
        found += below
        queue += below
    return found


def resident(pids: list[int]) -> float:
    """Resident memory of several processes in MiB. Pages shared between them count once where that is cheap to know:
    of the file-backed and shared parts only the largest is taken."""
    private = shared = 0
    for pid in pids:
        fields = _read(f"/proc/{pid}/statm").split()
        if len(fields) > 2:
            private += int(fields[1]) - int(fields[2])
            shared = max(shared, int(fields[2]))
    return (private + shared) * PAGE / (1 << 20)


def proportional(pids: list[int]) -> float:
    """Resident memory in MiB with every shared page counted once (PSS): exact and slow, so asked only before a kill.
    Where the kernel does not say it for a process, all that is resident counts."""
    total = 0.0
    for pid in pids:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
        parts = [int(line.split()[1]) / 1024 for line in lines if line.startswith(b"Pss:")]
        total += parts[0] if parts else resident([pid])
    return total


def tasks_of(uid: int) -> int:
    """Number of tasks (threads) of a user on this machine; what RLIMIT_NPROC counts outside a user namespace."""
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                total += len(os.listdir(entry / "task"))
        except OSError:
            continue
    return total


def folder_size(folder: Path, most: int = 200_000) -> tuple[int, int]:
    """Return (bytes on disk, number of entries) below a folder, following no links; counting stops at `most`."""
    size = count = 0
    queue = [str(folder)]
    while queue and count < most:
        try:
            with os.scandir(queue.pop()) as entries:
                for entry in entries:
                    count += 1
                    try:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
                    except OSError:
                        continue
        except OSError:
            continue
    return size, count
