"""An idea: one concrete change with its reason and what is expected of it before anything has been learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Idea:
    """A change that a move proposes. `gain` is the prior relative gain (share of the present error, 0.01 = 1 %),
    `chance` the prior probability that it helps, `family` the family of model it touches, `variant` tells ideas of
    one move apart when what was learnt about one says little about the other."""

    move: str
    component: str
    problem: str
    statement: str
    reason: str
    change: dict[str, Any]
    gain: float
    chance: float = 0.5
    family: str = ""
    variant: str = ""

    @property
    def topic(self) -> str:
        """What learning is pooled over: the move, and its variant if it has one."""
        return f"{self.move}:{self.variant}" if self.variant else self.move
