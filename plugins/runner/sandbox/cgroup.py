"""A memory cgroup per execution, where this machine lets us make one: v1, v2, or both at once (hybrid).

The kernel then enforces the limit exactly and counts memory files too; everywhere else the watchdog looks at resident
memory. Both run side by side. `find` says what is possible (once per process), `Group` is one made.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_serial = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where groups can be made: the folder, and which interface it speaks (1 or 2)."""

    folder: Path
    version: int


@dataclass(frozen=True)
class Group:
    """A cgroup of one execution. Processes join by writing to `joining`."""

    folder: Path
    version: int

    @property
    def joining(self) -> str:
        """The file that takes the joining process's id."""
        return str(self.folder / "cgroup.procs")

    def killed(self) -> bool:
        """Whether the kernel has killed a process of the group for memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        try:
            lines = (self.folder / name).read_text().split("\n")
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)

    def remove(self) -> None:
        """Remove the group; one that the kernel has not emptied yet is removed by the next one that is made."""
        if not remove(self.folder):
            _left.add(self.folder)


_left: set[Path] = set()


def remove(folder: Path) -> bool:
    """Remove a cgroup's folder; say whether it has gone, which takes that no process is in it."""
    with contextlib.suppress(FileNotFoundError):
        try:
            folder.rmdir()
        except OSError:
            return False
    return True


def sweep(place: Path) -> None:
    """Remove groups that gome processes left which were killed."""
    for folder in place.glob("gome-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            remove(folder)


@lru_cache(maxsize=1)
def find() -> Place | str:
    """Return where cgroups with a memory limit can be made, or why nowhere; tried, not guessed."""
    try:
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        points = _points()
    except OSError as error:
        return f"cannot read the cgroups of this process: {error}"
    why = "no memory controller is mounted"
    for _, controllers, path in own:
        version = 2 if controllers == "" else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        point = points.get("memory" if version == 1 else "")
        if point is None:
            continue
        here = Path(point + path)
        # v2: a group with processes cannot give controllers to its children, so ours becomes a sibling.
        for folder in (here, here.parent) if version == 2 else (here,):
            problem = _try(folder, version)
            if not problem:
                sweep(folder)
                return Place(folder, version)
            why = problem
    return why


def _points() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found[""] = left.split()[4]
        elif kind == "cgroup":
            found.update((name, left.split()[4]) for name in options.split(","))
    return found


def _try(folder: Path, version: int) -> str:
    """Return why no group can be made below a folder, "" if one can."""
    if version == 2:
        try:
            if "memory" not in (folder / "cgroup.subtree_control").read_text().split():
                return f"{folder} does not pass the memory controller on"
        except OSError as error:
            return f"{folder}: {error.strerror}"
    if not os.access(folder / "cgroup.procs", os.W_OK):
        return f"{folder} is not writable"
    try:
        make(Place(folder, version), 64, 64).remove()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def make(place: Place, memory_mb: int, processes: int) -> Group:
    """Make a group with a memory limit in MiB and, in v2, a limit of processes."""
    _left.difference_update([folder for folder in _left if remove(folder)])
    folder = place.folder / f"gome-{os.getpid()}-{next(_serial)}"
    folder.mkdir()
    amount = str(memory_mb << 20)
    try:
        if place.version == 2:
            (folder / "memory.max").write_text(amount)
            wanted = {"memory.swap.max": "0", "pids.max": str(processes + 8)}
        else:
            (folder / "memory.limit_in_bytes").write_text(amount)
            wanted = {"memory.memsw.limit_in_bytes": amount}
        for name, value in wanted.items():
            with contextlib.suppress(OSError):
                if (folder / name).exists():
                    (folder / name).write_text(value)
    except OSError:
        remove(folder)
        raise
    return Group(folder, place.version)
