"""Whose turn it is: deficit round robin over tenants. Pure but for the question it is given.

A tenant whose turn begins may take as many runs as its weight, then the next one is asked; one that has nothing loses
what is left of its turn. So a tenant with a thousand runs waiting delays the first run of another one by at most a turn
of each tenant. What is counted is runs that begin: nobody is interrupted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """The turns of tenants, each with a weight (≥ 1)."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = dict(weights)
        self._ring = deque(self._weights)
        self._credit = dict.fromkeys(self._weights, 0)

    async def next(self, take: Callable[[str], Awaitable[T | None]]) -> T | None:
        """What the first tenant in turn has to give, None when none has anything. `take` is asked by tenant."""
        # One more than there are: the first may be at the end of a turn that it has used in part.
        for _ in range(len(self._ring) + 1):
            name = self._ring[0]
            if self._credit[name] < 1:
                self._credit[name] = self._weights[name]
            found = await take(name)
            self._credit[name] = 0 if found is None else self._credit[name] - 1
            if self._credit[name] < 1:
                self._ring.rotate(-1)
            if found is not None:
                return found
        return None
