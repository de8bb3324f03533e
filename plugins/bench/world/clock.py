"""Virtual slots: who runs when, and who is next to end. Plain arithmetic, no event loop and no clock of the machine."""

from __future__ import annotations

import heapq
from collections import deque

from gome.kernel.errors import UsageError


class Agenda:
    """What is under way in virtual time. Work without a slot (`at`) ends at a time of its own; work that needs one
    (`queue`, then `start`) waits in line, first come, first served, while all `slots` are taken. Ends that fall
    together come in the order in which their work was added."""

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise UsageError(f"{slots} slots execute nothing; a recorded world has at least one")
        self.slots = slots
        self._line: deque[str] = deque()
        self._running: set[str] = set()
        self._ends: list[tuple[float, int, str]] = []
        self._order: dict[str, int] = {}

    def at(self, name: str, when: float) -> None:
        """Add work that ends at a time (seconds), whatever the slots do."""
        self._add(name)
        heapq.heappush(self._ends, (when, self._order[name], name))

    def queue(self, name: str) -> None:
        """Add work that waits for a slot."""
        self._add(name)
        self._line.append(name)

    def _add(self, name: str) -> None:
        self._order[name] = len(self._order)

    def startable(self) -> list[str]:
        """The work that free slots have room for, in the order of the line."""
        return list(self._line)[: self.slots - len(self._running)]

    def start(self, name: str, now: float, seconds: float) -> None:
        """Give the first in line a slot at a time; it ends so many seconds later."""
        if self._line[0] != name or len(self._running) >= self.slots:
            raise RuntimeError(f"{name} is not the next in line for a free slot")
        self._line.popleft()
        self._running.add(name)
        heapq.heappush(self._ends, (now + seconds, self._order[name], name))

    def drop(self, name: str) -> None:
        """Forget work that has been called off; its slot is free."""
        if name in self._line:
            self._line.remove(name)
        self._running.discard(name)
        self._ends = [end for end in self._ends if end[2] != name]
        heapq.heapify(self._ends)

    def next(self) -> tuple[float, str] | None:
        """Take out what ends next, with the time at which it does; None when nothing is under way."""
        if not self._ends:
            return None
        when, _, name = heapq.heappop(self._ends)
        self._running.discard(name)
        return when, name
