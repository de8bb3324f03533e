"""What the kernel says about effects: attempts, failures, cancellations, alarms, and deciders that raise."""

from __future__ import annotations

from typing import ClassVar

from gome.events.payload import Intent, Payload


class EffectStarted(Payload, frozen=True):
    """A worker begins an attempt (1-based) at an intent that is not simply repeatable."""

    intent: str
    kind: str
    attempt: int
    worker: str


class EffectAttemptFailed(Payload, frozen=True):
    """One attempt at an intent failed and will be retried; its cost is in the event's envelope."""

    intent: str
    kind: str
    attempt: int
    error: str


class EffectYielded(Payload, frozen=True):
    """A worker that was told to stop gave an intent back in the middle of an attempt, which does not count."""

    intent: str
    kind: str
    attempt: int
    worker: str


class EffectFailed(Payload, frozen=True):
    """The result of an intent whose attempts are exhausted."""

    intent: str
    kind: str
    attempts: int
    error: str
    attempt: str = ""


class EffectCancelled(Payload, frozen=True):
    """The result of an intent that was called off."""

    intent: str
    kind: str
    reason: str
    attempt: str = ""


class EffectDuplicated(Payload, frozen=True):
    """Somebody performed an intent that already had a result; only the cost is kept (in the envelope)."""

    intent: str
    kind: str


class EffectRefused(Payload, frozen=True):
    """A performer wanted a child effect and the budget has no room for it, even if what is in flight used nothing:
    `allowed` of `limit`, of which `spent` is used. Said by the effect that wanted it, which goes on without."""

    intent: str
    kind: str
    limit: str
    wanted: float
    spent: float
    allowed: float


class CancelRequested(Payload, frozen=True):
    """Calls off an open intent."""

    intent: str
    reason: str


class AlarmRequested(Intent, frozen=True):
    """Asks to be told when the run has been active for `at` seconds."""

    name: str
    at: float
    volatile: ClassVar[tuple[str, ...]] = ()


class AlarmRang(Payload, frozen=True):
    """The active time asked for has passed."""

    name: str
    at: float


class DeciderFailed(Payload, frozen=True):
    """A decider raised twice on one event; the run is suspended."""

    decider: str
    trigger: str
    error: str
    traceback: str
