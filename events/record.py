"""The commit record: all events of one decision (or one result, or one command) as one message, chained by hash.

A *draft* is what somebody wants to say; `seal` gives it its place in the run (sequence, time, chain) and its stored
bytes; `unseal` reads stored bytes back and checks them. The stored form is one JSON object whose last member is
`hash`: SHA-256 over every byte before it, which include `prev`, the hash of the record before. So the hash covers what
is stored, never a re-encoding, and any JSON tool can read a record. Logs keep these bytes and know nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from gome.events.event import Cost, Event, Wire

FORMAT = 1
Lane = Literal["decide", "effect", "control", "import"]
_TAIL = len(',"hash":""}') + 64


class RecordError(ValueError):
    """Stored bytes are not a record, or their hash does not fit."""


class Writer(Struct, frozen=True, omit_defaults=True):
    """Who wrote a record: plugin, its version and code digest, and the process."""

    plugin: str
    version: str = ""
    digest: str = ""
    process: str = ""


class Origin(Struct, frozen=True):
    """Where a forked run's prefix lies: parent run, last shared sequence and its record's hash."""

    parent: str
    seq: int
    hash: str
    substitute: bool = False


class Saying(Struct, frozen=True):
    """One event of a draft: everything but its place and time; the payload is encoded already."""

    id: str
    type: str
    tv: int
    payload: bytes
    cause: str = ""
    corr: str = ""
    cost: Cost | None = None


class Draft(Struct, frozen=True):
    """What is to be appended as one record. `answers` is the id of the event (or nonce) it answers, `decider` who
    answers, `seen` the position up to which the decider had folded (0 where nothing was decided), `flags` the
    behaviour flags that it is under (see `PluginPin`). `at` is the time that
    it is recorded with, in seconds since 1970, where that is known from another record (None: the appender's clock)."""

    run: str
    lane: Lane
    role: str
    writer: Writer
    answers: str
    decider: str
    sayings: tuple[Saying, ...]
    seen: int = 0
    tenant: str = "main"
    flags: tuple[str, ...] = ()
    attempt: int = 0
    resumes: bool = False
    origin: Origin | None = None
    at: float | None = None

    @property
    def id(self) -> str:
        """Id of the record, computed from the ids of its events; the same for every copy of the same decision."""
        return hashlib.sha256("\x1f".join([self.run, *(s.id for s in self.sayings)]).encode()).hexdigest()[:32]


class Head(Struct, frozen=True):
    """Where a run stands: last sequence, last record's hash, time and active seconds, and `revision`, the log's own
    number of that record (0 before the first), which the next append must name."""

    run: str
    seq: int = 0
    hash: str = ""
    ts: float = 0.0
    active: float = 0.0
    revision: int = 0


class Body(Struct, frozen=True, omit_defaults=True):
    """A record without its hash, in stored order."""

    v: int
    run: str
    seq: int
    n: int
    prev: str
    lane: Lane
    role: str
    writer: Writer
    answers: str
    decider: str
    events: tuple[Wire, ...]
    seen: int = 0
    tenant: str = "main"
    flags: tuple[str, ...] = ()
    attempt: int = 0
    active: float = 0.0
    origin: Origin | None = None


class Sealed(Struct, frozen=True):
    """A record with its stored bytes. `revision` is the log's number for it, 0 until it is appended."""

    body: Body
    hash: str
    stored: bytes
    revision: int = 0

    @property
    def last(self) -> int:
        """Sequence of the record's last event."""
        return self.body.seq + self.body.n - 1

    @property
    def head(self) -> Head:
        """The run's head after this record."""
        ts = self.body.events[-1].ts if self.body.events else 0.0
        return Head(self.body.run, self.last, self.hash, ts, self.body.active, self.revision)

    @property
    def id(self) -> str:
        """Same as `Draft.id` of the draft it was sealed from."""
        return hashlib.sha256("\x1f".join([self.body.run, *(w.id for w in self.body.events)]).encode()).hexdigest()[:32]


class Commit(Struct):
    """A record as a reader uses it: the sealed record and its decoded events."""

    sealed: Sealed
    events: list[Event]

    @property
    def body(self) -> Body:
        """The record without its hash."""
        return self.sealed.body

    @property
    def head(self) -> Head:
        """The run's head after this record."""
        return self.sealed.head


_encode = msgspec.json.Encoder()
_decode = msgspec.json.Decoder(Body)


def seal(draft: Draft, head: Head, now: float) -> Sealed:
    """Give a draft its place behind `head`. `now` is the appender's clock in seconds since 1970; time never goes back:
    ts = max(now, head.ts). The gap to the head counts as active unless the draft resumes the run."""
    ts = max(now if draft.at is None else draft.at, head.ts)
    gap = 0.0 if draft.resumes or head.seq == 0 else ts - head.ts
    body = Body(
        v=FORMAT,
        run=draft.run,
        seq=head.seq + 1,
        n=len(draft.sayings),
        prev=head.hash,
        lane=draft.lane,
        role=draft.role,
        writer=draft.writer,
        answers=draft.answers,
        decider=draft.decider,
        seen=draft.seen,
        tenant=draft.tenant,
        flags=draft.flags,
        attempt=draft.attempt,
        active=round(head.active + gap, 6),
        origin=draft.origin,
        events=tuple(
            Wire(
                id=s.id,
                type=s.type,
                ts=ts,
                payload=msgspec.Raw(s.payload),
                tv=s.tv,
                cause=s.cause,
                corr=s.corr,
                cost=s.cost,
            )
            for s in draft.sayings
        ),
    )
    data = _encode.encode(body)[:-1]
    digest = hashlib.sha256(data).hexdigest()
    return Sealed(body=body, hash=digest, stored=data + b',"hash":"' + digest.encode() + b'"}')


def unseal(stored: bytes, revision: int = 0) -> Sealed:
    """Read stored bytes and check the hash over them; raises `RecordError` when they are not a whole record."""
    digest = hashlib.sha256(memoryview(stored)[:-_TAIL]).hexdigest()
    if stored[-_TAIL:] != b',"hash":"' + digest.encode() + b'"}':
        raise RecordError("its hash does not fit its bytes")
    try:
        body = _decode.decode(stored)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(f"it does not decode: {error}") from error
    if body.v > FORMAT:
        raise RecordError(f"it has format {body.v}, written by a newer gome; this one reads up to {FORMAT}")
    return Sealed(body=body, hash=digest, stored=stored, revision=revision)


def follows(record: Sealed, head: Head) -> str:
    """Return why `record` cannot come right after `head` ("" when it can): a gap, a broken chain, another run.

    The first record of a fork comes after the record of its parent that it names, whether `head` is that one or the
    start of the fork's own part."""
    body = record.body
    if (origin := body.origin) is not None:
        if body.prev != origin.hash or body.seq != origin.seq + 1:
            return f"it is not the record behind its origin, event {origin.seq} of run {origin.parent}"
        if head.seq == 0 and head.run == body.run:
            head = Head(body.run, origin.seq, origin.hash)
        elif head.run == origin.parent:
            head = Head(body.run, head.seq, head.hash)
    if body.run != head.run:
        return f"it belongs to run {body.run}"
    if body.seq != head.seq + 1:
        return f"it starts at {body.seq}, expected {head.seq + 1}"
    if body.prev != head.hash:
        return f"its prev {body.prev[:12] or 'nothing'} is not the hash {head.hash[:12] or 'nothing'} before it"
    if body.n != len(body.events):
        return f"it claims {body.n} events and holds {len(body.events)}"
    return ""
