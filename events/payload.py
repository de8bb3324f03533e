"""The base of everything that can be said: a payload is the content of one event.

A payload type is a frozen msgspec struct named by a past participle. Its class name is its tag in the log; `version`
counts incompatible changes of its shape (old ones are upcast, see `upcast.py`). An `Intent` is a payload that asks for
an effect: somebody with the right role performs it and records exactly one result for it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Payload(Struct, frozen=True, omit_defaults=False):
    """A fact. Subclasses are registered with the codec by class name and never renamed.

    `begins_chain` marks facts that start a correlation chain of their own (a step) instead of joining the one of the
    event they answer.
    """

    version: ClassVar[int] = 1
    begins_chain: ClassVar[bool] = False


class Reservation(Struct, frozen=True):
    """What an intent may use of a run's budget at most, while it has no result. Money is in USD."""

    executions: int = 0
    execution_seconds: float = 0.0
    completions: int = 0
    tokens: int = 0
    money: float = 0.0


NOTHING = Reservation()


class Occupancy(Struct, frozen=True):
    """What an intent holds of the machine that performs it for as long as that takes: whole CPU cores, and of one
    accelerator (a GPU) a share of its memory in [0, 1], where 0 is none of it and 1 all of it, to itself."""

    cores: int = 1
    accelerator: float = 0.0


ONE_CORE = Occupancy()


class Intent(Payload, frozen=True):
    """A wish to touch the world, answered by at most one result event.

    `volatile` names the fields that are left out of the argument digest because they say where in this particular run
    the wish was made (positions, attempt ids), not what is wished.
    """

    volatile: ClassVar[tuple[str, ...]] = ()

    def reserves(self) -> Reservation:
        """What this intent holds of the budget until its result says what was used; nothing unless a type says so."""
        return NOTHING

    def occupies(self) -> Occupancy:
        """What this intent holds of a machine while it is performed there; one core unless a type says otherwise.
        Effects without a pool hold nothing."""
        return ONE_CORE


class Unknown(Struct, frozen=True):
    """A payload of a type this version does not know; its raw bytes survive a round trip in `Event.raw`."""

    type: str
    data: Any = None
