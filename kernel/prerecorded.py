"""A fork on its parent's recorded results: decide anew, perform nothing, as long as the same is asked for.

The parent's records behind the fork are the timetable. Its decisions are taken when it took them, by whoever decides
here; effects are answered by the recorded result of the same arguments (argument digest, n-th occurrence), with their
children, notes and costs, in recorded order and with recorded times. The first intent without an answer in the record
ends it: from there on the run is live, and `RunResumed` says so. A fork that was killed on the way goes through the
record again, past what it has said already. Called by `Launch.drive`, before anything is begun.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gome.events import (
    AlarmRequested,
    Codec,
    EffectAttemptFailed,
    EffectCancelled,
    EffectDuplicated,
    EffectFailed,
    EffectStarted,
    EffectYielded,
    Intent,
    RunForked,
    Saying,
    Sealed,
    Wire,
    child_id,
    result_id,
    started_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.cursor import Answer
from gome.kernel.fork import own_part
from gome.kernel.live import LiveRun
from gome.kernel.log import EventLog

Key = tuple[str, int]
"""What an intent asks for: its argument digest, and how many of the same the run had asked for before."""
Graded = Callable[[str, str, str], Awaitable[None]]
"""Told the parent's intent, ours and our attempt, when a score is taken over."""
_NOTES: dict[type, str] = {EffectStarted: "started", EffectYielded: "yielded", EffectAttemptFailed: "failed"}


_ROUNDING = 1e-3
"""Seconds by which sums of active time may be off."""


@dataclass
class _Asked:
    """Intents of one run by what they ask for."""

    codec: Codec
    keys: dict[str, Key] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, wire: Wire) -> Key | None:
        """The key of an intent that has not been seen; None for other events."""
        kind = self.codec.types.get(wire.type)
        if kind is None or not issubclass(kind, Intent) or wire.id in self.keys:
            return None
        digest = self.codec.argument_digest_of(wire.type, wire.tv, bytes(wire.payload))
        key = self.keys[wire.id] = (digest, self.counts[digest])
        self.counts[digest] += 1
        return key


class Prerecorded:
    """Drives one fork on its parent's record. `perform` returns why it ended ("": the run is finished). `others` are
    plugins that would perform otherwise than the parent's did: what they perform is not answered from its record."""

    def __init__(self, live: LiveRun, forked: RunForked, graded: Graded, others: Collection[str] = ()) -> None:
        self.live = live
        self.forked = forked
        self.graded = graded
        plugins = [c.plugin for c in live.state.cursors]
        self.others = {e.intent.__name__ for p in plugins if p.name in others for e in p.effects}
        codec = live.state.codec
        # The process that a record names is who wrote it: here the parent's record did.
        self.scribe = Scribe(live.run, codec, live.scribe.artifacts, f"record of {forked.parent}", live.scribe.tenant)
        self.theirs, self.ours = _Asked(codec), _Asked(codec)
        self.timetable: deque[Sealed] = deque()
        self.planned: Counter[tuple[str, str]] = Counter()
        self.results: dict[Key, Wire] = {}
        self._open: dict[Key, str] = {}
        self._children: Counter[tuple[str, str]] = Counter()
        self._before = (0.0, 0.0)
        self._idle = 0.0
        # Intents whose twins the parent had called off by now, and which nobody has called off here.
        self._kept: set[str] = set()
        # What the fork had said already when it was taken up again.
        self._said: set[str] = set()
        self.answered = 0

    async def perform(self, log: EventLog) -> str:
        """Go on as far as the record goes."""
        await self._read(log)
        state = self.live.state
        while state.finished is None:
            if (answer := self._unplanned()) is not None:
                if answer.error:
                    return f"decider {answer.plugin.name} raised {answer.error}"
                await self._decide(answer, None)
            elif why := self._missing():
                return why
            elif not self.timetable:
                return f"the record of {self.forked.parent} ends here"
            else:
                await self._next()
        return ""

    async def _read(self, log: EventLog) -> None:
        async with aclosing(log.read(self.forked.parent)) as records:  # type: ignore[type-var]
            async for sealed in records:
                shared = sealed.last <= self.forked.position
                for wire in sealed.body.events:
                    self.theirs.take(wire)
                    if shared:
                        self.ours.take(wire)
                    elif wire.cause in self.theirs.keys and wire.id == result_id(wire.cause):
                        self.results[self.theirs.keys[wire.cause]] = wire
                if shared:
                    self._before = (sealed.head.ts, sealed.head.active)
                else:
                    self.timetable.append(sealed)
                    if sealed.body.lane == "decide":
                        self.planned[sealed.body.decider, sealed.body.answers] += 1
        async with aclosing(own_part(log).read(self.live.run)) as own:  # type: ignore[type-var]
            async for sealed in own:
                for wire in sealed.body.events:
                    self.ours.take(wire)
                    self._said.add(wire.id)
        for intent in self.live.state.open:
            self._open[self.ours.keys[intent]] = intent

    def _unplanned(self) -> Answer | None:
        """A decision that is due and that the parent did not take. It is taken as soon as it is due, but behind what
        the parent's decided next about the same: a decision that ends the run leaves others untaken."""
        following = self._following()
        for cursor in self.live.state.cursors:
            answer = cursor.answer()
            if answer is None or (not answer.error and self.planned[answer.plugin.name, answer.trigger.id]):
                continue
            if answer.error or following is None or answer.trigger.seq < following.trigger.seq:
                return answer
        return None

    def _following(self) -> Answer | None:
        """Our answer that stands for the next record, where that is a decision that is due here."""
        if not self.timetable or (body := self.timetable[0].body).lane != "decide":
            return None
        cursor = next((c for c in self.live.state.cursors if c.plugin.name == body.decider), None)
        answer = cursor.answer() if cursor else None
        return answer if answer is not None and answer.trigger.id == body.answers and not answer.error else None

    def _missing(self) -> str:
        """Why the run cannot go on from the record; "" while every open intent has its answer there."""
        for key, intent in self._open.items():
            found = self.live.state.open[intent]
            if found.parent or isinstance(found.event.payload, AlarmRequested):
                continue
            wire = self.results.get(key)
            attempt = getattr(found.event.payload, "attempt", "")
            what = f"{found.event.type}{f' of {attempt}' if attempt else ''} at event {found.event.seq}"
            if found.event.type in self.others:
                return f"{what} is performed otherwise here than in {self.forked.parent}"
            if wire is None or intent in self._kept:
                return f"the record of {self.forked.parent} has no answer for {what}"
        return ""

    async def _next(self) -> None:
        answer, sealed = self._following(), self.timetable.popleft()
        body, head = sealed.body, sealed.head
        ts, active = self._before
        # Where the parent had rested, the fork does not: only its active time passes here.
        if (idle := (head.ts - ts) - (head.active - active)) > _ROUNDING:
            self._idle += idle
        self._before, at = (head.ts, head.active), head.ts - self._idle
        if body.lane == "decide":
            self.planned[body.decider, body.answers] -= 1
            if answer is not None:
                await self._decide(answer, at)
        elif body.lane == "effect":
            await self._effect(sealed, at)

    async def _decide(self, answer: Answer, at: float | None) -> None:
        state = self.live.state
        cursor = next(c for c in state.cursors if c.plugin is answer.plugin)
        draft = self.scribe.draft(
            "decide",
            answer.plugin,
            answer.trigger.id,
            answer.sayings(state.codec),
            seen=answer.seen,
            flags=answer.flags,
            at=state.head.ts if at is None else at,
        )
        sealed = await self.live.commit(draft, still=lambda: cursor.holds(answer))
        assert sealed is not None, "nobody else drives this run"
        self._note(sealed)

    def _note(self, sealed: Sealed) -> None:
        """Find out which of the parent's intents our new ones stand for."""
        for wire in sealed.body.events:
            key = self.ours.take(wire)
            if key is not None:
                self._open[key] = wire.id

    async def _effect(self, sealed: Sealed, at: float) -> None:
        """Say again what a performer of the parent said, about our intent of the same arguments, if that is open."""
        sayings: list[Saying] = []
        answers, body = "", sealed.body
        for wire in body.events:
            theirs = wire.cause
            ours = self._open.get(self.theirs.keys.get(theirs, ("", 0)))
            if ours is None or not self.live.state.is_open(ours):
                continue
            if wire.type == EffectCancelled.__name__ and not self.live.state.open[ours].cancel:
                self._kept.add(ours)
                continue
            said = self._say(wire, theirs, ours)
            if said is not None and said.id not in self._said:
                sayings.append(said)
                answers = ours
        if not sayings:
            return
        who = next((c.plugin for c in self.live.state.cursors if c.plugin.name == body.writer.plugin), None)
        draft = self.scribe.draft(
            "effect", who or body.writer.plugin, answers, sayings, decider=body.decider, attempt=body.attempt, at=at
        )
        kind = self.live.state.open[answers].event.type
        attempt = str(getattr(self.live.state.open[answers].event.payload, "attempt", ""))
        done = await self.live.commit(draft)
        assert done is not None
        self._note(done)
        if not self.live.state.is_open(answers):
            key = self.ours.keys[answers]
            del self._open[key]
            self.answered += 1
            if kind == "ScoreRequested":
                await self.graded(body.events[0].cause, answers, attempt)

    def _say(self, wire: Wire, theirs: str, ours: str) -> Saying | None:
        codec, found = self.live.state.codec, self.live.state.open[ours]
        kind = codec.types.get(wire.type)
        corr = found.event.corr
        said = Saying(wire.id, wire.type, wire.tv, bytes(wire.payload), ours, corr, wire.cost)
        if kind is None:
            return None
        if issubclass(kind, Intent):
            digest = self.theirs.keys[wire.id][0]
            number = self._children[ours, digest]
            self._children[ours, digest] += 1
            return msgspec.structs.replace(said, id=child_id(ours, digest, number))
        payload: Any = codec.decode(wire.type, wire.tv, bytes(wire.payload))
        if kind in _NOTES:
            id = started_id(ours, payload.attempt, _NOTES[kind])
            changed = codec.stored(msgspec.structs.replace(payload, intent=ours))
            return msgspec.structs.replace(said, id=id, payload=changed)
        if wire.id != result_id(theirs) or kind is EffectDuplicated:
            return None
        # Fields that the argument digest leaves out may be others here.
        asked = getattr(found.event.payload, "attempt", None)
        changes: dict[str, str] = {}
        if asked is not None and getattr(payload, "attempt", asked) not in ("", asked):
            changes["attempt"] = asked
        if isinstance(payload, EffectFailed | EffectCancelled) and payload.intent != ours:
            changes["intent"] = ours
        if changes:
            said = msgspec.structs.replace(said, payload=codec.stored(msgspec.structs.replace(payload, **changes)))
        return msgspec.structs.replace(said, id=result_id(ours))
