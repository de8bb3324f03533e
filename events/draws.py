"""Random numbers for pure code: a PRF of (run seed, event id, label). Integers are hashed, so draws are the same on
every machine; nothing here keeps state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Draws bound to a run's seed and the event that is being answered; each label is an independent number."""

    __slots__ = ("event", "seed")

    def __init__(self, seed: int, event: str) -> None:
        self.seed = seed
        self.event = event

    def bits(self, label: str) -> int:
        """Return 64 uniform bits as an integer."""
        text = f"{self.seed}\x1f{self.event}\x1f{label}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def uniform(self, label: str) -> float:
        """Return a number in [0, 1) with 53 random bits."""
        return (self.bits(label) >> 11) / (1 << 53)

    def below(self, n: int, label: str) -> int:
        """Return an integer in [0, n); n must be positive. The modulo bias is below n / 2**64."""
        if n <= 0:
            raise ValueError(f"cannot draw below {n}")
        return self.bits(label) % n

    def choice(self, items: Sequence[T], label: str) -> T:
        """Return one of the items, which must not be empty."""
        return items[self.below(len(items), label)]

    def weighted(self, items: Sequence[T], weights: Sequence[float], label: str) -> T:
        """Return one item with probability proportional to its weight; all-zero weights mean uniform."""
        total = sum(weights)
        if total <= 0:
            return self.choice(items, label)
        mark = self.uniform(label) * total
        for item, weight in zip(items, weights, strict=True):
            mark -= weight
            if mark < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T], label: str) -> list[T]:
        """Return the items in a random order."""
        keyed = [(self.bits(f"{label}/{i}"), i) for i in range(len(items))]
        return [items[i] for _, i in sorted(keyed)]

    def seed32(self, label: str) -> int:
        """Return a seed in [0, 2**31) for a library that wants one."""
        return self.bits(label) >> 33
