"""How much of the disk a running execution holds, and whether that is too much. Called by the watchdog.

No quota can be had everywhere, so it is looked at: every tenth of a second where a look is cheap, and at once when the
file system has lost much space since the last look. What a program hides counts when the file system has lost more
than the program may have: files without a name that a process holds open or mapped, folders that cannot be listed.
"""

from __future__ import annotations

import math
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from gome.plugins.runner.sandbox import usage

MAX_FILES = 100_000
"""Entries a working folder may have; more count as too much disk."""

BUSY = 20
"""A look may take one part in so many of the time; in a hurry one in three."""

PATIENCE = 1.0
"""Seconds for which something may be out of sight while the file system has lost more than the program may have."""


@dataclass
class Seen:
    """What is below a folder: bytes on disk, entries, and whether something could not be looked at."""

    size: int = 0
    files: int = 0
    hidden: bool = False


def look_at(folder: Path, most: int = 2 * MAX_FILES) -> Seen:
    """Look at all below a folder, following no links; counting stops at `most` entries."""
    seen = Seen()
    queue = [str(folder)]
    while queue and seen.files < most:
        try:
            with os.scandir(queue.pop()) as entries:
                for entry in entries:
                    seen.files += 1
                    try:
                        seen.size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
                    except FileNotFoundError:
                        continue
        except FileNotFoundError:
            continue
        except OSError:  # without rights for its owner, or deeper than paths can be long
            seen.hidden = True
    return seen


def folder_size(folder: Path) -> tuple[int, int]:
    """Return (bytes on disk, number of entries) of what can be seen below a folder; for runners of other isolation."""
    seen = look_at(folder)
    return seen.size, seen.files


def nameless(pids: list[int], device: int) -> int | None:
    """Bytes on a device of files that have no name but are open or mapped in these processes; None when a process does
    not let us look."""
    sizes: dict[int, int] = {}
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    facts = os.stat(f"/proc/{pid}/fd/{fd}")
                except FileNotFoundError:
                    continue
                if facts.st_nlink == 0 and facts.st_dev == device and stat.S_ISREG(facts.st_mode):
                    sizes[facts.st_ino] = facts.st_blocks * 512
            with open(f"/proc/{pid}/maps", "rb") as maps:
                for line in maps:
                    if line.endswith(b"(deleted)\n"):
                        place, _, offset, where, number, *_ = line.split()
                        first, last = (int(text, 16) for text in place.split(b"-"))
                        major, minor = (int(text, 16) for text in where.split(b":"))
                        if os.makedev(major, minor) == device:
                            inode = int(number)
                            sizes[inode] = max(sizes.get(inode, 0), int(offset, 16) + last - first)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            if usage.started(pid):  # what a process that has just ended held is nobody's to read
                return None
    return sum(sizes.values())


class Disk:
    """The share of an execution: at most `limit` bytes in its working folder."""

    def __init__(self, box: Path, limit: int) -> None:
        self.box = box
        self.limit = limit
        self.device = box.stat().st_dev
        self.free, self.inodes = self.before = self._left()
        self.last = self.due = time.monotonic()
        self.cost = 0.0
        self.dark = math.inf

    def _left(self) -> tuple[int, int]:
        found = os.statvfs(self.box)
        return found.f_bavail * found.f_frsize, found.f_ffree

    def exceeded(self, pids: list[int]) -> bool:
        """Whether it has taken too much, as far as it is time to look."""
        now = time.monotonic()
        free, inodes = self._left()
        hurry = self.free - free > self.limit // 8 or self.inodes - inodes > MAX_FILES // 8
        if now < self.due and not (hurry and now > self.last + 2 * self.cost):
            return False
        seen = look_at(self.box)
        self.last = time.monotonic()
        self.cost = self.last - now
        self.due = self.last + max(0.1, BUSY * self.cost)
        self.free, self.inodes = free, inodes
        if seen.size > self.limit or seen.files > MAX_FILES:
            return True
        if self.before[0] - free <= self.limit:
            return False
        unnamed = nameless(pids, self.device)
        if not seen.hidden and unnamed is not None:
            self.dark = math.inf
            return seen.size + unnamed > self.limit
        # While a process starts it cannot be looked at; one that stays so hides something.
        self.dark = min(self.dark, now)
        return now - self.dark > PATIENCE
