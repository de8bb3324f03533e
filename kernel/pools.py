"""What performers of one process share of their machine: CPU cores and accelerators, handed out and taken back.

Two pools, each a line in which the first to come is the first to be served, so that a large wish is not starved by a
stream of small ones; what one holds says `Intent.occupies`. Whoever needs an accelerator gets that first and its cores
after it (`occupy`): waiting for a card holds no core, and since nobody asks in the other order nobody waits for ever.
Which accelerators there are is known to the plugins that use them (`Plugin.devices`); here they are names.
"""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from gome.events import Occupancy

Wish = TypeVar("Wish")
Grant = TypeVar("Grant")

PARTS = 1_000_000
"""Parts that an accelerator is counted in: sums of shares must not depend on the order of adding."""


@dataclass(eq=False)
class _Place(Generic[Wish, Grant]):
    """Somebody in the line."""

    wish: Wish
    served: anyio.Event = field(default_factory=anyio.Event)
    grant: Grant | None = None


class _Line(ABC, Generic[Wish, Grant]):
    """Strictly first come, first served; cancelled while waiting, one leaves the line and holds nothing."""

    def __init__(self) -> None:
        self._waiting: deque[_Place[Wish, Grant]] = deque()

    @abstractmethod
    def _take(self, wish: Wish) -> Grant | None:
        """Take what is wished for; None when it is not there at the moment."""

    @abstractmethod
    def _put(self, grant: Grant) -> None:
        """Put back what was taken."""

    async def _get(self, wish: Wish) -> Grant:
        if not self._waiting and (grant := self._take(wish)) is not None:
            return grant
        place: _Place[Wish, Grant] = _Place(wish)
        self._waiting.append(place)
        try:
            await place.served.wait()
        except BaseException:
            # Cancelled: in the line, or between being served and hearing of it.
            if place.grant is None:
                self._waiting.remove(place)
            else:
                self._put(place.grant)
            self._serve()
            raise
        assert place.grant is not None
        return place.grant

    def release(self, grant: Grant) -> None:
        """Give back what was acquired, and serve who waits for it."""
        self._put(grant)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (grant := self._take(self._waiting[0].wish)) is not None:
            place = self._waiting.popleft()
            place.grant = grant
            place.served.set()


class CorePool(_Line[int, tuple[int, ...]]):
    """The cores that this process may use, each given to one effect at a time, and to at most `capacity` effects.

    Where somebody wants more effects at once than there are cores, each core takes as many as that needs, evenly.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        cores = sorted(os.sched_getaffinity(0))
        self._room = dict.fromkeys(cores, math.ceil(capacity / len(cores)))
        self._left = capacity

    async def acquire(self, count: int = 1) -> tuple[int, ...]:
        """Wait for so many cores, or for all that there are if that is fewer, and return their numbers."""
        return await self._get(max(1, min(count, len(self._room))))

    def _take(self, wish: int) -> tuple[int, ...] | None:
        free = sorted((core for core, room in self._room.items() if room), key=lambda core: (-self._room[core], core))
        if not self._left or len(free) < wish:
            return None
        self._left -= 1
        for core in free[:wish]:
            self._room[core] -= 1
        return tuple(sorted(free[:wish]))

    def _put(self, grant: tuple[int, ...]) -> None:
        self._left += 1
        for core in grant:
            self._room[core] += 1


@dataclass(frozen=True)
class DeviceShare:
    """Some of an accelerator, in parts of `PARTS`."""

    device: str
    parts: int


class DevicePool(_Line[tuple[tuple[str, ...], int], DeviceShare]):
    """Accelerators by name, each held by several while their shares add to at most one."""

    def __init__(self) -> None:
        super().__init__()
        self._used: dict[str, int] = {}

    async def acquire(self, among: Sequence[str], share: float) -> DeviceShare:
        """Wait for a share in (0, 1] of one of these devices. Raises `ValueError` for none of them or no such share."""
        if not among or not 0 < share <= 1:
            raise ValueError(f"{share:g} of one of {len(among)} devices cannot be had")
        return await self._get((tuple(among), max(1, int(share * PARTS))))

    def _take(self, wish: tuple[tuple[str, ...], int]) -> DeviceShare | None:
        among, parts = wish
        free = [(PARTS - self._used.get(device, 0), device) for device in among]
        # The one that it fills best: whole devices are kept for those that need a whole one.
        fitting = min((pair for pair in free if pair[0] >= parts), key=lambda pair: pair[0], default=None)
        if fitting is None:
            return None
        device = fitting[1]
        self._used[device] = self._used.get(device, 0) + parts
        return DeviceShare(device, parts)

    def _put(self, grant: DeviceShare) -> None:
        self._used[grant.device] -= grant.parts


@dataclass(frozen=True)
class Held:
    """What an effect holds of the machine: numbers of CPU cores, and the accelerator that it shares or has, if any."""

    cores: tuple[int, ...] = ()
    device: str | None = None


@contextlib.asynccontextmanager
async def occupy(
    cores: CorePool, devices: DevicePool, wish: Occupancy, among: Sequence[str] = ()
) -> AsyncIterator[Held]:
    """Hold what is wished for; of no accelerator when there is none `among` which to choose."""
    async with contextlib.AsyncExitStack() as held:
        device = None
        if wish.accelerator > 0 and among:
            share = await devices.acquire(among, min(1.0, wish.accelerator))
            held.callback(devices.release, share)
            device = share.device
        slot = await cores.acquire(wish.cores)
        held.callback(cores.release, slot)
        yield Held(slot, device)
