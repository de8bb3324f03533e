"""What all three logs check alike: names, sizes, the chain, and how they say that something does not fit.

The logs differ in where bytes lie and who may write at once; the rules that make them one protocol are here, so that a
damaged record or a lost race reads the same from memory, from a file and from JetStream.
"""

from __future__ import annotations

import re

from gome.events import Draft, Head, RecordError, Saying, Sealed, follows, unseal
from gome.kernel.errors import Conflict, LogDamaged, OversizeRecord, UnknownRun, UsageError

NAME = re.compile(r"[A-Za-z0-9_-]{1,120}")
"""What run ids, tenants, lanes and roles may look like: one token of a subject, and a file name."""
RECORD_LIMIT = 786_432
"""Largest record in bytes, headers included: three quarters of the 1 MiB that a server takes by default. Logs without
a server hold to it as well, so that any archive fits into any server."""


def check_name(what: str, value: str) -> str:
    """Return `value` if it can be a subject token; `UsageError` naming `what` otherwise."""
    if not NAME.fullmatch(value):
        raise UsageError(f"{what} {value!r} cannot be used: up to 120 letters, digits, _ and - are allowed")
    return value


def check_size(draft: Draft, size: int, limit: int) -> None:
    """Raise `OversizeRecord` when `size` bytes (headers included) are more than `limit`."""
    if size > limit:
        kinds = ", ".join(sorted({s.type for s in draft.sayings}))
        raise OversizeRecord(
            f"a record of run {draft.run} ({kinds}) has {size:,} bytes and at most {limit:,} fit into one message; "
            "say less in one decision, or put long texts into Text fields, which are stored outside"
        )


def check_place(record: Sealed, subject: str) -> str:
    """Why a record does not belong on the subject it was published to ("" when it does): a server's permissions say
    who may publish where, so a record may not claim to be somebody else's."""
    body = record.body
    if not subject.endswith(f".{body.tenant}.{body.run}.{body.lane}.{body.role}"):
        return f"it says that it is {body.lane} of {body.role}, but was written to {subject}"
    return ""


def check_adopted(record: Sealed, head: Head) -> Draft:
    """The draft of a record that was sealed elsewhere and that is to come right behind `head`. Raises `LogDamaged` when
    it does not belong there, `UsageError` for names that no log takes."""
    body = record.body
    check_name("run id", head.run)
    check_name("role", body.role)
    if reason := follows(record, head):
        raise damaged(head, reason, "what is to be taken over")
    names = ("run", "lane", "role", "writer", "answers", "decider", "seen", "tenant", "flags", "attempt", "origin")
    sayings = tuple(Saying(w.id, w.type, w.tv, bytes(w.payload), w.cause, w.corr, w.cost) for w in body.events)
    return Draft(sayings=sayings, **{name: getattr(body, name) for name in names})


def check_same(stored: Sealed, record: Sealed, head: Head) -> Sealed:
    """The stored copy of a record to take over; `Conflict` when it says the same and was sealed at another time."""
    if stored.hash != record.hash:
        raise conflict(record.body.run, head, stored.head)
    return stored


def check_next(stored: bytes, head: Head, revision: int, where: str, subject: str = "") -> Sealed:
    """Unseal stored bytes that must come right after `head`, and, from a server, belong on their subject; `LogDamaged`
    with run and position otherwise."""
    try:
        record = unseal(stored, revision)
    except RecordError as error:
        raise damaged(head, str(error), where) from error
    if reason := follows(record, head) or (subject and check_place(record, subject)):
        raise damaged(head, reason, where)
    return record


def damaged(head: Head, reason: str, where: str) -> LogDamaged:
    """The error for the record that should follow `head`."""
    position = head.seq + 1
    return LogDamaged(
        f"run {head.run} is damaged at position {position} in {where}: {reason}; restore it from an export",
        run=head.run,
        position=position,
    )


def behind(known: Head, head: Head, where: str) -> LogDamaged:
    """The error for a log that ends before a head somebody has seen: records were lost."""
    return LogDamaged(
        f"run {known.run} ends at {head.seq} in {where}, but {known.seq} had been reached before: its last records "
        "are lost; restore them from an export",
        run=known.run,
        position=head.seq + 1,
    )


def beginning(draft: Draft, head: Head) -> Head:
    """What the first record of a run comes behind: nothing, or, for a fork, the record that its draft names."""
    origin = draft.origin
    if origin is not None and (head.seq, head.hash) == (origin.seq, origin.hash):
        return Head(draft.run, head.seq, head.hash, head.ts, head.active)
    return Head(draft.run)


def conflict(run: str, believed: Head, head: Head) -> Conflict:
    """The error for an append that came second."""
    return Conflict(f"run {run} is at {head.seq}, not at {believed.seq} any more: somebody else wrote first", head)


def unknown_run(run: str, where: str) -> UnknownRun:
    """The error for a run without records."""
    return UnknownRun(f"there is no run {run} in {where}; `gome runs` lists what there is")
