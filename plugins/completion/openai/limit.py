"""How many calls go to one endpoint at once: a limit that halves when the endpoint says "too many" and grows again.

Additive increase, multiplicative decrease (the rule of TCP): a success adds 1/limit, so a full round of them adds one.
Of refusals that answer calls begun before the last halving only the first counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Limit:
    """The limit of one endpoint, first come, first served. `most` is what it may grow to (≥ 1)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = float(most)
        self.active = 0
        self._halvings = 0
        self._waiting: deque[anyio.Event] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Hold one of the places for the length of the block; yields what `too_many` wants to know."""
        await self._acquire()
        try:
            yield self._halvings
        finally:
            self.active -= 1
            self._wake()

    async def _acquire(self) -> None:
        if self.active < int(self.size) and not self._waiting:
            self.active += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # called off just after the place was given
                self.active -= 1
                self._wake()
            else:
                self._waiting.remove(turn)
            raise

    def _wake(self) -> None:
        while self._waiting and self.active < int(self.size):
            self.active += 1
            self._waiting.popleft().set()

    def bound(self, most: int) -> None:
        """Let the limit grow to `most` from now on."""
        if most != self.most:
            self.most, self.size = most, min(self.size, float(most)) if most < self.most else float(most)
            self._wake()

    def succeeded(self) -> None:
        """A call went well: grow."""
        self.size = min(float(self.most), self.size + 1 / self.size)
        self._wake()

    def too_many(self, began: int) -> None:
        """The endpoint refused a call for their number; `began` is what its slot yielded."""
        if began == self._halvings:
            self._halvings += 1
            self.size = max(1.0, self.size / 2)


_limits: dict[str, Limit] = {}


def limit_of(base_url: str, most: int) -> Limit:
    """The limit that all calls of this process to an endpoint share."""
    limit = _limits.setdefault(base_url, Limit(most))
    limit.bound(most)
    return limit
