"""Run a recorded run again with every effect answered from the record: the same log comes out, byte for byte.

`verify` compares decisions; here they are taken: records are drafted from what today's deciders say and from recorded
results, placed and sealed anew in recorded order with recorded times, and each must have the recorded bytes, chain hash
included. An effect is answered by the next recorded result of the same argument digest. Nothing is performed, so no
process, file or socket is touched but the log that is read. Called by `gome verify --substitute`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from gome.events import (
    Body,
    Codec,
    Commit,
    Draft,
    Intent,
    Saying,
    Sealed,
    Wire,
    child_id,
    digest_of,
    result_id,
    seal,
)
from gome.kernel.appender import slim
from gome.kernel.errors import Diverged
from gome.kernel.fork import Joined
from gome.kernel.plugin import Plugin
from gome.kernel.replay import check, first_difference
from gome.kernel.state import NOT_RESULTS, RunState


class _Digests:
    """An artifact store that keeps nothing: texts that are moved out lie in the real one already."""

    def put(self, data: bytes) -> str:
        return digest_of(data)


class Recorded:
    """Results of a run's effects by argument digest, in the order in which they were recorded."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._digests: dict[str, str] = {}
        self._results: dict[str, deque[Wire]] = {}

    def learn(self, body: Body) -> None:
        """Take in one record: intents by their digest, results under the digest of what they answer."""
        for wire in body.events:
            kind = self.codec.types.get(wire.type)
            if kind is not None and issubclass(kind, Intent):
                self._digests[wire.id] = self.codec.argument_digest_of(wire.type, wire.tv, bytes(wire.payload))
            elif wire.cause in self._digests and wire.id == result_id(wire.cause):
                self._results.setdefault(self._digests.pop(wire.cause), deque()).append(wire)

    def answer(self, digest: str) -> Wire | None:
        """The next recorded result for arguments of this digest; None when there is none left."""
        left = self._results.get(digest)
        return left.popleft() if left else None


class Substitution:
    """Takes a run's records one by one and gives back the records that running it again writes."""

    def __init__(
        self,
        run: str,
        codec: Codec,
        plugins: Sequence[Plugin],
        resolve: Callable[[str], str] | None = None,
        joined: Mapping[str, Joined] | None = None,
    ) -> None:
        self.shared = max((j.behind for j in joined.values()), default=0) if joined else 0
        self.state = RunState(run, codec, plugins, resolve, views=False, joined=joined)
        self.recorded = Recorded(codec)
        self.records = self.decisions = self.answers = 0
        self._asked: dict[tuple[str, str], int] = {}

    def take(self, sealed: Sealed) -> Sealed:
        """Return the record that takes this one's place; raises `Diverged` where it is another one."""
        body = sealed.body
        state = self.state
        commit = state.read(sealed)
        self.recorded.learn(body)
        sayings = tuple(self._say(body, wire) for wire in body.events)
        if body.lane == "decide":
            sayings = self._decide(commit)
        elif body.lane == "effect":
            sayings = tuple(self._effect(body, said) for said in sayings)
        ours = seal(self._draft(sealed, sayings), state.head, body.events[0].ts if body.events else state.head.ts)
        if ours.stored != sealed.stored:
            raise self._other(sealed, ours)
        state.apply(msgspec.structs.replace(ours, revision=sealed.revision))
        self.records += 1
        return ours

    def _say(self, body: Body, wire: Wire) -> Saying:
        return Saying(wire.id, wire.type, wire.tv, bytes(wire.payload), wire.cause, wire.corr, wire.cost)

    def _decide(self, commit: Commit) -> tuple[Saying, ...]:
        body = commit.body
        cursor = next((c for c in self.state.cursors if c.plugin.name == body.decider), None)
        if body.seq <= self.shared and (cursor is None or not cursor.has_joined(body.seq)):
            # Whoever decided this in the run that a fork came from takes no part any more.
            return tuple(self._say(body, wire) for wire in body.events)
        answer = cursor.answer() if cursor else None
        if found := check(self.state.codec, commit, body.decider, answer):
            raise found.error(body.run)
        assert answer is not None
        self.decisions += 1
        said = slim(answer.sayings(self.state.codec), _Digests())  # type: ignore[arg-type]
        # A record of an earlier version lacks fields that have a default today: its own shape is kept.
        return tuple(
            msgspec.structs.replace(s, payload=bytes(w.payload), tv=w.tv, cost=w.cost)
            for s, w in zip(said, body.events, strict=True)
        )

    def _effect(self, body: Body, said: Saying) -> Saying:
        """What a performer says again: the recorded result of the same arguments, a child's id computed anew, and
        notes on attempts as they were."""
        kind = self.state.codec.types.get(said.type)
        if kind is not None and issubclass(kind, NOT_RESULTS):
            return said
        if kind is not None and issubclass(kind, Intent):
            digest = self.state.codec.argument_digest_of(said.type, said.tv, said.payload)
            asked = self._asked.get((said.cause, digest), 0)
            self._asked[said.cause, digest] = asked + 1
            return msgspec.structs.replace(said, id=child_id(said.cause, digest, asked))
        found = self.state.open.get(said.cause)
        if found is None:
            return said
        event = found.event
        answer = self.recorded.answer(self.state.codec.argument_digest_of(event.type, event.tv, event.raw))
        if answer is None:
            raise Diverged(f"run {body.run}, event {body.seq}: no result is recorded for the arguments of {event.type}")
        self.answers += 1
        return msgspec.structs.replace(self._say(body, answer), id=result_id(event.id), cause=event.id)

    def _draft(self, sealed: Sealed, sayings: tuple[Saying, ...]) -> Draft:
        body, head = sealed.body, self.state.head
        return Draft(
            run=body.run,
            lane=body.lane,
            role=body.role,
            writer=body.writer,
            answers=body.answers,
            decider=body.decider,
            sayings=sayings,
            seen=body.seen,
            tenant=body.tenant,
            flags=body.flags,
            attempt=body.attempt,
            # Whoever went on with an open run left the gap before out of the active time.
            resumes=body.active == head.active,
            origin=body.origin,
        )

    def _other(self, sealed: Sealed, ours: Sealed) -> Diverged:
        one, two = (msgspec.json.decode(s.stored) for s in (sealed, ours))
        path, recorded, now = first_difference(one, two) or ("bytes", len(sealed.stored), len(ours.stored))
        return Diverged(
            f"run {sealed.body.run}, record at event {sealed.body.seq}: {path} was recorded as {recorded!r}, "
            f"written again it is {now!r}"
        )


async def substitute(
    records: AsyncIterator[Sealed],
    run: str,
    codec: Codec,
    plugins: Sequence[Plugin],
    resolve: Callable[[str], str] | None = None,
    write: Callable[[Sealed], None] | None = None,
    joined: Mapping[str, Joined] | None = None,
) -> Substitution:
    """Run a recorded run again; `write` is handed each record that comes out, `joined` are the deciders that a fork
    replaced. Raises `Diverged` at the first one that comes out otherwise than recorded."""
    running = Substitution(run, codec, plugins, resolve, joined)
    async for sealed in records:
        ours = running.take(sealed)
        if write is not None:
            write(ours)
    return running
