"""One decider's place in one run: what it has folded, which event it answers next, and with what.

The rule (the whole of replay rests on it): triggers are taken in log order, each once; the answer to trigger t is
computed on the fold up to the later of t and the end of the decider's own previous commit, and that position is
recorded as `seen`. Nothing else enters, so the answer can be computed again from the log by anybody at any time. Live
dispatch, verify and resume all use this class; what they do with an answer differs.
"""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from gome.events import Codec, Commit, Draw, Event, Payload, RunForked, RunStarted, Saying, event_id
from gome.kernel.fork import Joined
from gome.kernel.plugin import Plugin

_KEPT = ("state", "folded", "own_end", "seeds", "flags", "_unfolded", "_triggers")


@dataclass(frozen=True)
class Answer:
    """What a decider says to `trigger`, having folded up to `seen`, with the behaviour `flags` that it is
    under. `error` is set instead when it raised twice."""

    plugin: Plugin
    trigger: Event
    seen: int
    payloads: tuple[Payload, ...]
    error: str = ""
    trace: str = ""
    flags: tuple[str, ...] = ()

    def sayings(self, codec: Codec) -> tuple[Saying, ...]:
        """The answer's events with their computed ids."""
        said = []
        for ordinal, payload in enumerate(self.payloads):
            id = event_id(self.trigger.id, self.plugin.name, ordinal)
            corr = id if payload.begins_chain else (self.trigger.corr or self.trigger.id)
            said.append(codec.saying(id, payload, cause=self.trigger.id, corr=corr))
        return tuple(said)


class Cursor:
    """Give it the events its decider reads, in order; ask `answer` for what it has to say next.

    When a recorded decision of the decider comes along: `answer` first (what would we say to the next trigger?), then
    `take` its events, then `settle`. `feed` does all this for a whole commit, for those who have only one cursor.
    `joined` says that the decider takes part only behind a fork.
    """

    def __init__(self, plugin: Plugin, joined: Joined | None = None) -> None:
        self.plugin = plugin
        self.joined = joined
        self.state: Any = plugin.initial()
        self.folded = 0
        self.own_end = 0
        self.seeds: list[tuple[int, int]] = []
        self.flags: tuple[str, ...] = ()
        self._unfolded: deque[Event] = deque()
        self._triggers: deque[Event] = deque()
        self._answer: Answer | None = None
        self._reads = frozenset(plugin.reads)
        self._answers = frozenset(plugin.reads if plugin.answers is None else plugin.answers)

    def reads(self, kind: type) -> bool:
        """Whether the decider is shown payloads of this type."""
        return kind in self._reads or Payload in self._reads

    def answers(self, kind: type) -> bool:
        """Whether payloads of this type, said by others, are triggers."""
        return self.reads(kind) and (kind in self._answers or Payload in self._answers)

    def shown(self, event: Event) -> Event | None:
        """An event of the log as the decider is to see it; None when it is not. A fork is an affair of those whom it
        replaces: to all others it is as if it had never been."""
        payload = event.payload
        if isinstance(payload, RunForked):
            return event if self.joined is not None and event.seq == self.joined.behind + 1 else None
        if isinstance(payload, RunStarted) and self.joined is not None:
            return msgspec.structs.replace(event, payload=self.joined.started)
        return event

    def has_joined(self, position: int) -> bool:
        """Whether the decider answers events of this position."""
        return self.joined is None or position > self.joined.behind

    def begin(self, position: int, started: RunStarted) -> None:
        """The run begins: draws come from its seed, and the decider keeps the flags that it was pinned with."""
        self.reseed(position, started.seed)
        self.flags = (self.joined.started if self.joined else started).flags_of(self.plugin.name)

    def reseed(self, position: int, seed: int) -> None:
        """From this position on draws come from another seed."""
        self.seeds.append((position, seed))

    def take(self, event: Event, *, trigger: bool) -> None:
        """Take in an event that the decider reads; `trigger` when it has to answer it."""
        self._unfolded.append(event)
        if trigger:
            self._triggers.append(event)

    def settle(self, end: int) -> None:
        """The decider's answer to its next trigger is recorded in a commit that ends at `end`."""
        self.own_end = end
        if self._answer is not None:
            self._triggers.popleft()
        self._answer = None

    def feed(self, commit: Commit) -> Answer | None:
        """Take in a whole commit; returns the answer computed for it when it is this decider's own decision."""
        own = commit.body.lane == "decide" and commit.body.decider == self.plugin.name
        given = self.answer() if own else None
        for event in commit.events:
            kind = type(event.payload)
            if isinstance(event.payload, RunStarted):
                self.begin(event.seq, event.payload)
            if self.reads(kind):
                self.take(event, trigger=not own and self.answers(kind))
        if own:
            self.settle(commit.sealed.last)
        return given

    @property
    def due(self) -> int:
        """Position of the next trigger, 0 when there is none."""
        return self._triggers[0].seq if self._triggers else 0

    def answer(self) -> Answer | None:
        """The next thing this decider has to say, None when it is silent on all it has been fed."""
        while self._answer is None and self._triggers:
            trigger = self._triggers[0]
            seen = max(trigger.seq, self.own_end)
            self._answer = self._compute(trigger, seen)
            if self._answer is None:
                self._triggers.popleft()
        return self._answer

    def _compute(self, trigger: Event, seen: int) -> Answer | None:
        try:
            self._fold(seen)
            seed = next((seed for since, seed in reversed(self.seeds) if since <= trigger.seq), 0)
            draw = Draw(seed, trigger.id)
            try:
                said = tuple(self.plugin.decide(self.state, trigger, draw))
            except Exception:
                said = tuple(self.plugin.decide(self.state, trigger, draw))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return Answer(self.plugin, trigger, seen, (), text, "".join(traceback.format_exception(error)))
        return Answer(self.plugin, trigger, seen, said, flags=self.flags) if said else None

    def _fold(self, upto: int) -> None:
        unfolded, evolve = self._unfolded, self.plugin.evolve
        while unfolded and unfolded[0].seq <= upto:
            self.state = evolve(self.state, unfolded[0])
            unfolded.popleft()
        self.folded = upto

    def kept(self) -> dict[str, Any]:
        """What a snapshot keeps. A computed answer is not in it: it is computed again, from the same fold."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, kept: dict[str, Any]) -> None:
        """Become the cursor that was `kept`."""
        for name in _KEPT:
            setattr(self, name, kept[name])

    def holds(self, answer: Answer) -> bool:
        """Whether an answer is still the one to give (nobody has recorded it meanwhile)."""
        return self._answer is answer
