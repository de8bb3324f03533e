"""An event: a payload in its envelope, as a reader meets it in the log; and the ids, which are computed.

`Event` is what folds and deciders see. `Wire` is its form inside a commit record (see `record.py`), `Cost` what it
took. Ids are relative to the run, so the same decisions have the same ids in any run.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec
from msgspec import Struct

from gome.events.payload import Payload, Unknown

ROOT = "0" * 32
"""What the first event of every run answers."""


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def event_id(answered: str, decider: str, ordinal: int) -> str:
    """Id of the `ordinal`-th (0-based) event of a decider's answer to an event: 32 hex digits."""
    return _hash("event", answered, decider, str(ordinal))


@lru_cache(maxsize=1024)
def result_id(intent: str) -> str:
    """Id of the one result an intent can have."""
    return _hash("result", intent)


def started_id(intent: str, attempt: int, what: str = "started") -> str:
    """Id of the record that an attempt at an intent was begun (or failed)."""
    return _hash(what, intent, str(attempt))


def child_id(parent: str, arguments: str, occurrence: int) -> str:
    """Id of a child intent: the `occurrence`-th call with these arguments inside the parent's effect."""
    return _hash("child", parent, arguments, str(occurrence))


def command_id(nonce: str) -> str:
    """Id of an event that a client appends on a person's behalf."""
    return _hash("command", nonce)


class Cost(Struct, frozen=True, omit_defaults=True):
    """What an event took: wall and CPU seconds, tokens, USD (None: unknown), and the model that was paid."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    money: float | None = 0.0
    model: str = ""


class Wire(Struct, frozen=True, omit_defaults=True):
    """An event inside a record: its payload is still raw JSON."""

    id: str
    type: str
    ts: float
    payload: msgspec.Raw
    tv: int = 1
    cause: str = ""
    corr: str = ""
    cost: Cost | None = None


class Event(Struct):
    """A recorded event. `seq` is its 1-based position in the run, `active` the run's active seconds at it, `by` the
    decider or performer that said it, `raw` the stored bytes of its payload."""

    id: str
    type: str
    seq: int
    ts: float
    payload: Payload | Unknown
    tv: int = 1
    cause: str = ""
    corr: str = ""
    by: str = ""
    active: float = 0.0
    cost: Cost | None = None
    raw: bytes = b""
