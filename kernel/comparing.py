"""Runs side by side: where two part, and what each came to. A reading of records and folds; printing is `cli.compare`.

Two runs are compared event by event, by what is said; what only says that a run was interrupted, taken up or forked, or
which process works on something, is passed over, so that a fork that goes on as its parent did parts from it nowhere.
"""

from __future__ import annotations

import math
import statistics
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
    Trajectory,
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


class Side(Struct, frozen=True):
    """A run to be compared: its id, the log that keeps it, and who gives the texts that its records only name."""

    run: str
    log: EventLog
    resolve: Callable[[str], str]


async def parting(codec: Codec, one: Side, other: Side) -> Parting:
    """Where `other` parts from `one`. Raises `UnknownRun`."""
    shared = 0
    async with (
        aclosing(_events(codec, one)) as mine,  # type: ignore[type-var]
        aclosing(_events(codec, other)) as theirs,  # type: ignore[type-var]
    ):
        while True:
            a, b = await anext(mine, None), await anext(theirs, None)
            if a is None or b is None or not _equal(codec, a, b):
                return Parting(one.run, other.run, shared, a, b)
            shared += 1


def _equal(codec: Codec, a: Event, b: Event) -> bool:
    """Whether two events say the same, by whatever version they were written; of an intent that is what it asks for,
    not where in its run."""
    if a.type != b.type or a.raw == b.raw:
        return a.type == b.type
    if isinstance(a.payload, Intent):
        return codec.argument_digest_of(a.type, a.tv, a.raw) == codec.argument_digest_of(b.type, b.tv, b.raw)
    return codec.canonical(a.type, a.tv, a.raw) == codec.canonical(b.type, b.tv, b.raw)


async def _events(codec: Codec, side: Side) -> AsyncIterator[Event]:
    async with aclosing(side.log.read(side.run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            for event in codec.commit(sealed, side.resolve).events:
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


class Paired(Struct, frozen=True):
    """What the other run's attempt scores above the first one's, positive better: mean over the same folds of the same
    rows, in units of the metric, and the standard error of that mean."""

    difference: float
    se: float
    folds: int


def paired(first: Trajectory, other: Trajectory, attempts: tuple[str, str]) -> Paired | None:
    """Two runs' attempts fold by fold (their full executions); None where they were not scored on the same folds, as
    with another split, seed of the folds or number of them."""
    if first.profiled is None or other.profiled is None or first.profiled.folds.digest != other.profiled.folds.digest:
        return None
    if attempts[0] not in first.attempts or attempts[1] not in other.attempts or first.started is None:
        return None
    a, b = first.attempts[attempts[0]].scored, other.attempts[attempts[1]].scored
    if a is None or b is None or a.partition != b.partition or len(a.fold_scores) != len(b.fold_scores):
        return None
    sign = 1.0 if first.started.task.metric.greater_is_better else -1.0
    differences = [sign * (y - x) for x, y in zip(a.fold_scores, b.fold_scores, strict=True)]
    if len(differences) < 2:
        return None
    se = statistics.stdev(differences) / math.sqrt(len(differences))
    return Paired(statistics.fmean(differences), se, len(differences))
