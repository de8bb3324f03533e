"""The clock, a value that is passed in everywhere: real time for people, virtual time for tests and recorded worlds."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Time(Protocol):
    """`now` in seconds since 1970, and waiting."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealTime:
    """The machine's clock, read once and carried on monotonically, so that a clock set back does not stop a run."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._offset + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await anyio.sleep(max(0.0, seconds))


class VirtualTime:
    """Time that moves when it is told to."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.current = start

    def now(self) -> float:
        """Seconds since 1970, virtually."""
        return self.current

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.current += max(0.0, seconds)
        await anyio.lowlevel.checkpoint()
