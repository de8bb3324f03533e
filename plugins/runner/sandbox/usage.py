"""What a tree of processes uses, read from /proc: resident memory, tasks of a user; and who a process id really is.

Called a few times a second by the watchdog (`processes.Watch`), so it reads no more than it must.
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


def resident(pids: list[int], files: float = 0.0) -> float:
    """Resident memory of several processes in MiB, with `files` in memory. Pages shared between them count once where
    that is cheap to know: of the file-backed and shared parts only the largest is taken, or the files if they are
    larger."""
    private = shared = 0
    for pid in pids:
        fields = _read(f"/proc/{pid}/statm").split()
        if len(fields) > 2:
            private += int(fields[1]) - int(fields[2])
            shared = max(shared, int(fields[2]))
    return private * PAGE / (1 << 20) + max(shared * PAGE / (1 << 20), files)


def proportional(pids: list[int], files: float = 0.0) -> float:
    """Resident memory in MiB with every shared page counted once (PSS): exact and slow, so asked only before a kill.
    Where the kernel does not say it for a process, all that is resident counts. Mapped `files` count once."""
    total = mapped = 0.0
    for pid in pids:
        said = dict(line.split(b":") for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:] if b":" in line)
        if b"Pss" in said:
            total += int(said[b"Pss"].split()[0]) / 1024
            mapped += int(said.get(b"Pss_Shmem", b"0 kB").split()[0]) / 1024
        else:
            total += resident([pid])
    return total - mapped + max(mapped, files)


def memory_files(pids: list[int]) -> float:
    """MiB of the files in memory file systems that these processes of one sandbox have under /dev/shm and /tmp, with a
    kilobyte for each, which is what the kernel needs for an empty one."""
    for pid in pids:
        try:
            found = [os.statvfs(f"/proc/{pid}/root/{name}") for name in ("dev/shm", "tmp")]
        except OSError:
            continue
        return sum((f.f_blocks - f.f_bfree) * f.f_frsize + (f.f_files - f.f_ffree) * 1024 for f in found) / (1 << 20)
    return 0.0


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
