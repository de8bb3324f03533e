"""From what somebody wants to say to a draft the log can take: encode, move long texts out, keep records small.

Moved-out texts are durable in the artifact store before the draft exists, hence before any event names them. Placing
the draft in the run (sequence, time, chain) is the log's; deciding what to say is everybody else's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gome.events import Codec, Draft, Lane, Origin, Saying, Writer, move_out
from gome.kernel.errors import OversizeRecord
from gome.kernel.plugin import Artifacts, Plugin

RECORD_LIMIT = 512_000
"""Bytes of payload above which the largest texts of a record are moved out, one after the other."""
TENANT = "main"


def slim(sayings: Sequence[Saying], artifacts: Artifacts) -> tuple[Saying, ...]:
    """Move pooled and long texts out of each saying, then the largest ones while the record is above its limit."""
    thin = [_with(s, move_out(s.payload, artifacts.put)) for s in sayings]
    while sum(len(s.payload) for s in thin) > RECORD_LIMIT:
        index = max(range(len(thin)), key=lambda i: len(thin[i].payload))
        smaller = move_out(thin[index].payload, artifacts.put, largest=True)
        if len(smaller) >= len(thin[index].payload):
            raise OversizeRecord(
                f"a {thin[index].type} event has {len(smaller):,} bytes and no long text to move out; "
                f"a record holds {RECORD_LIMIT:,}: keep bulk data in artifacts"
            )
        thin[index] = _with(thin[index], smaller)
    return tuple(thin)


def _with(saying: Saying, payload: bytes) -> Saying:
    return saying if payload is saying.payload else msgspec.structs.replace(saying, payload=payload)


class Scribe:
    """Writes drafts for one run in one process: knows codec, artifact store and who is writing."""

    def __init__(self, run: str, codec: Codec, artifacts: Artifacts, process: str, tenant: str = TENANT) -> None:
        self.run = run
        self.codec = codec
        self.artifacts = artifacts
        self.process = process
        self.tenant = tenant

    def draft(
        self,
        lane: Lane,
        who: Plugin | str,
        answers: str,
        sayings: Sequence[Saying],
        *,
        decider: str = "",
        seen: int = 0,
        flags: tuple[str, ...] = (),
        attempt: int = 0,
        resumes: bool = False,
        origin: Origin | None = None,
        at: float | None = None,
    ) -> Draft:
        """Build a draft. `who` is the plugin that speaks, or a name for the kernel's own voices (client, kernel)."""
        name: str = who.name if isinstance(who, Plugin) else who
        role: str = who.role if isinstance(who, Plugin) else who
        version = who.version if isinstance(who, Plugin) else ""
        writer = Writer(name, version, "", self.process)
        return Draft(
            run=self.run,
            lane=lane,
            role=role,
            writer=writer,
            answers=answers,
            decider=decider or name,
            sayings=slim(sayings, self.artifacts),
            seen=seen,
            tenant=self.tenant,
            flags=flags,
            attempt=attempt,
            resumes=resumes,
            origin=origin,
            at=at,
        )
