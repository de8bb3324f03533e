"""What another search would have picked: its fold of a recorded run, asked wherever the run's own search planned steps.

Nothing is performed and nothing written. At each point the other search has seen what the run's own search had seen and
answers the same event with the same draws, so a search asked about its own run says what it said. Points are
independent: what it would have planned earlier did not happen. At an event of one's choice it is asked what `gome fork`
there would plan first. `gome whatif` shows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from gome.events import (
    Codec,
    Commit,
    Draw,
    Event,
    Payload,
    RunForked,
    RunStarted,
    SearchEnded,
    StepPlanned,
    event_id,
)
from gome.kernel.discovery import pin
from gome.kernel.errors import PluginError, UsageError
from gome.kernel.fork import descent
from gome.kernel.log import EventLog
from gome.kernel.plugin import Plugin


@dataclass(frozen=True)
class Point:
    """A point of a run: `seen` is the event up to which the searches had read, `active` the run's active seconds there.
    `planned` are the steps that the run's own search planned (none for a point of one's choice), `would` those that the
    other one would have; `ends` is its reason where it would have ended instead."""

    seen: int
    active: float
    planned: tuple[StepPlanned, ...]
    would: tuple[StepPlanned, ...]
    ends: str = ""

    @property
    def same(self) -> bool:
        """Whether both picked the same operators on the same parents."""
        return [_essence(p) for p in self.planned] == [_essence(p) for p in self.would]


def _essence(step: StepPlanned) -> tuple[str, str, tuple[str, ...]]:
    return step.kind, step.parent, step.parents


class _Other:
    """The other search within the run: what it has folded, and what it says when asked."""

    def __init__(self, search: Plugin, started: RunStarted) -> None:
        self.search = search
        self.started = started
        self.state = search.initial()
        self.seed = started.seed
        self._unfolded: deque[Event] = deque()
        self._reads = frozenset(search.reads)
        self._answers = frozenset(search.reads if search.answers is None else search.answers)

    def take(self, event: Event) -> None:
        """Take in an event of the run. That the run is a fork is no affair of this search."""
        payload = event.payload
        if isinstance(payload, RunStarted):
            event = msgspec.structs.replace(event, payload=self.started)
            self.seed = payload.seed
        elif isinstance(payload, RunForked):
            self.seed = self.seed if payload.seed is None else payload.seed
            return
        if type(payload) in self._reads or Payload in self._reads:
            self._unfolded.append(event)

    def asked(self, event: Event, seen: int) -> tuple[tuple[StepPlanned, ...], str]:
        """The steps that it plans in answer to an event, having read up to `seen`, and why it ends if it does."""
        try:
            while self._unfolded and self._unfolded[0].seq <= seen:
                self.state = self.search.evolve(self.state, self._unfolded.popleft())
            said = self.search.decide(self.state, event, Draw(self.seed, event.id))
        except Exception as error:  # a stranger's search may raise anything
            what = f"{type(error).__name__}: {error}"
            raise PluginError(f"search {self.search.name} raised {what} at event {seen}") from error
        ends = [p.reason for p in said if isinstance(p, SearchEnded)]
        return tuple(p for p in said if isinstance(p, StepPlanned)), ends[0] if ends else ""

    def answerable(self, event: Event, where: Commit) -> Event:
        """An event as this search can answer it: as it is, or as the fork that would put the search in its place."""
        if type(event.payload) in self._answers or Payload in self._answers:
            return event
        return self.fork_at(event, where)

    def fork_at(self, event: Event, where: Commit) -> Event:
        """The fork behind an event, as `gome fork` would make it."""
        if RunForked not in self._reads and Payload not in self._reads:
            raise UsageError(f"search {self.search.name} does not read RunForked: it takes over in no run of another's")
        head = where.head
        forked = RunForked(parent=head.run, position=head.seq, hash=head.hash, replaced=(self.search.name,))
        id = event_id(event.id, "fork", 0)
        return msgspec.structs.replace(event, id=id, type="RunForked", payload=forked, seq=head.seq + 1)


async def points(
    log: EventLog,
    run: str,
    search: Plugin,
    settings: dict[str, Any],
    resolve: Callable[[str], str],
    codec: Codec,
    *,
    at: int | None = None,
) -> AsyncIterator[Point]:
    """Every point at which a run's own search planned steps, with what `search` (with this table of settings) would
    have planned there; with `at` the one point behind that event, rounded down to the end of a commit. Raises
    `UnknownRun`, `UsageError` for an imported run and a position that the run does not have, `PluginError` where the
    search raises."""
    started = (await descent(log, run)).started
    tables = {**started.settings, search.name: settings}
    # As in a fork there: a search that the run has not been decided by begins as it is today.
    pins = started.plugins if any(p.name == search.name for p in started.plugins) else (*started.plugins, pin(search))
    other = _Other(search, msgspec.structs.replace(started, settings=tables, plugins=pins))
    last: tuple[Event, Commit] | None = None
    recent: deque[Event] = deque()
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            commit = codec.commit(sealed, resolve)
            if commit.body.lane == "import":
                raise UsageError(f"run {run} was imported: nobody decided it here, so nobody can be compared with")
            if at is not None and sealed.last > at:
                break
            planned = tuple(e.payload for e in commit.events if isinstance(e.payload, StepPlanned))
            if planned and at is None and (trigger := _answered(recent, commit)) and last:
                event = other.answerable(trigger, last[1])
                would, ends = other.asked(event, commit.body.seen)
                yield Point(commit.body.seen, trigger.active, planned, would, ends)
            for event in commit.events:
                other.take(event)
                recent.append(event)
            last = commit.events[-1], commit
    if at is None:
        return
    if last is None or (at > last[1].sealed.last and at > (await log.head(run)).seq):
        raise UsageError(f"run {run} has no event {at}; `gome tail {run}` shows which there are")
    event, commit = last
    would, ends = other.asked(other.fork_at(event, commit), commit.sealed.last)
    yield Point(commit.sealed.last, event.active, (), would, ends)


def _answered(recent: deque[Event], commit: Commit) -> Event | None:
    """The event that a decision answers, which is not asked for again, nor any before it."""
    if not any(e.id == commit.body.answers for e in recent):
        return None
    while recent[0].id != commit.body.answers:
        recent.popleft()
    return recent[0]


def summary(found: Sequence[Point]) -> tuple[int, int]:
    """How many points there are at which a run's own search planned, and at how many both picked the same."""
    own = [p for p in found if p.planned]
    return len(own), sum(p.same for p in own)
