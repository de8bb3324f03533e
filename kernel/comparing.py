"""Runs side by side: where two part, and what each came to. A reading of records and folds; printing is `cli.compare`.

Two runs are compared event by event, by what is said; what only says that a run was interrupted, taken up or forked, or
which process works on something, is passed over, so that a fork that goes on as its parent did parts from it nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from msgspec import Struct

from gome.events import (
    Codec,
    EffectStarted,
    EffectYielded,
    Event,
    Intent,
    PluginsChanged,
    RunForked,
    RunResumed,
    RunStarted,
    RunSuspended,
    Task,
)
from gome.kernel.log import EventLog
from gome.kernel.results import Summary

_PASSED_OVER = (RunForked, RunResumed, RunSuspended, PluginsChanged, EffectStarted, EffectYielded)


class Parting(Struct, frozen=True):
    """How far a run and another one (`other`) are the same: `shared` events, then the first one that differs in each,
    None where the record has ended. `same` says that both are at their ends without a difference."""

    run: str
    other: str
    shared: int
    mine: Event | None
    theirs: Event | None

    @property
    def same(self) -> bool:
        """Whether they took the same course to the end."""
        return self.mine is None and self.theirs is None


async def parting(log: EventLog, codec: Codec, run: str, other: str, resolve: Callable[[str], str]) -> Parting:
    """Where `other` parts from `run`. Raises `UnknownRun`."""
    shared = 0
    async with (
        aclosing(_events(log, codec, run, resolve)) as mine,  # type: ignore[type-var]
        aclosing(_events(log, codec, other, resolve)) as theirs,  # type: ignore[type-var]
    ):
        while True:
            a, b = await anext(mine, None), await anext(theirs, None)
            if a is None or b is None or not _equal(codec, a, b):
                return Parting(run, other, shared, a, b)
            shared += 1


def _equal(codec: Codec, a: Event, b: Event) -> bool:
    """Whether two events say the same; of an intent that is what it asks for, not where in its run."""
    if a.type != b.type:
        return False
    if a.raw == b.raw or not isinstance(a.payload, Intent):
        return a.raw == b.raw
    return codec.argument_digest_of(a.type, a.tv, a.raw) == codec.argument_digest_of(b.type, b.tv, b.raw)


async def _events(log: EventLog, codec: Codec, run: str, resolve: Callable[[str], str]) -> AsyncIterator[Event]:
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            for event in codec.commit(sealed, resolve).events:
                if not isinstance(event.payload, _PASSED_OVER):
                    yield event


def apart_from_the_start(one: RunStarted, other: RunStarted) -> list[str]:
    """What two runs on one task began with that differs, as `name: value, value`."""
    found = []
    for name in ("seed", "budget", "traces", "capacity", "profile", "roles"):
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, dict):
            found += [f"{k}: {a.get(k, 'none')}, {b.get(k, 'none')}" for k in {**a, **b} if a.get(k) != b.get(k)]
        elif a != b:
            found.append(f"{name}: {_short(a)}, {_short(b)}")
    for table in sorted({*one.settings, *other.settings}):
        a, b = one.settings.get(table, {}), other.settings.get(table, {})
        keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
        if table in one.settings and table in other.settings:
            found += [f"{table}.{k}: {a.get(k)}, {b.get(k)}" for k in keys]
    return found


def _short(value: object) -> str:
    if isinstance(value, Struct):
        given = {n: getattr(value, n) for n in value.__struct_fields__ if getattr(value, n) is not None}
        return " ".join(f"{v:g} {n}" for n, v in given.items()) or "none"
    return str(value)


def incomparable(one: Task, other: Task) -> str:
    """Why scores of runs on two tasks say nothing about one another; "" where they do."""
    if one.metric != other.metric:
        return f"another metric ({other.metric.name}, not {one.metric.name})"
    if one.name != other.name:
        return f"another task ({other.name}, not {one.name})"
    if one.train.digest != other.train.digest or one.test.digest != other.test.digest:
        return "another split of the data: its rows are others"
    return ""


def advantage(first: Summary, other: Summary, *, hidden: bool) -> float | None:
    """How much better `other` scored than `first`, positive better, in units of the metric; None where either has no
    score."""
    a, b = (first.hidden, other.hidden) if hidden else (first.score, other.score)
    if a is None or b is None:
        return None
    return b - a if first.greater_is_better else a - b
