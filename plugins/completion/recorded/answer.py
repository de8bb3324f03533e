"""Finding the recorded reply to a request, or saying how the request differs from what was recorded.

Equal requests have equal argument digests; the n-th request of a digest gets the n-th recorded reply, and the last one
again when there were fewer. A miss is a failure for good: it names the nearest recorded request of the same call and
the first line in which they differ.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from itertools import zip_longest
from typing import cast

import anyio
import msgspec

from gome.events import CODEC, CompletionFailed, CompletionRequested, Event
from gome.kernel.errors import GomeError
from gome.kernel.plugin import Context, Result
from gome.plugins.completion.recorded.source import Recording, read_run

COMPARED = 40
"""Recorded requests of the same call that a miss is compared with at most."""


@lru_cache(maxsize=8)
def _lock(run: str) -> anyio.Lock:
    return anyio.Lock()


_read: dict[tuple[str, str], Recording] = {}


async def recording_of(ctx: Context) -> Recording:
    """The recording that the run's settings name, read on first use."""
    run = str(ctx.settings.get("run", ""))
    key = (str(ctx.home), run)
    async with _lock(f"{ctx.home}\0{run}"):
        if key not in _read:
            _read[key] = await read_run(run, ctx.history)
    return _read[key]


async def answer(event: Event, ctx: Context) -> Result:
    """Perform `CompletionRequested` from the record."""
    asked = cast(CompletionRequested, event.payload)
    digest = CODEC.argument_digest(asked)
    try:
        recording = await recording_of(ctx)
    except (GomeError, OSError) as error:
        reason = f"the recording cannot be read: {error}"
        return Result(CompletionFailed(asked.name, "missing", reason, digest, asked.attempt, fatal=True))
    replies = recording.replies.get(digest)
    if not replies:
        why = miss(asked, recording)
        return Result(CompletionFailed(asked.name, "missing", why, digest, asked.attempt, fatal=False))
    found = replies[min(ctx.occurrence, len(replies) - 1)]
    return Result(msgspec.structs.replace(found.payload, attempt=asked.attempt), found.cost)


def text_of(asked: CompletionRequested) -> list[str]:
    """A request as lines: what was asked of whom, then the conversation."""
    lines = [f"model {asked.model}", f"max_tokens {asked.max_tokens}", f"effort {asked.effort or 'none'}"]
    lines += [f"temperature {asked.temperature}", f"seed {asked.seed}", f"schema {_schema(asked)}"]
    for message in asked.messages:
        lines += [f"[{message.role}]", *str(message.content).splitlines()]
    return lines


def _schema(asked: CompletionRequested) -> str:
    return msgspec.json.encode(asked.schema, order="deterministic").decode()


def miss(asked: CompletionRequested, recording: Recording) -> str:
    """Why there is no reply: the nearest recorded request of the same call, and where the two part."""
    same = [r for r in recording.requests.values() if r.name == asked.name][:COMPARED]
    if not same:
        names = ", ".join(sorted({r.name for r in recording.requests.values()}))
        return f"run {recording.run} recorded no call {asked.name} (it has {names})"
    ours = text_of(asked)

    def likeness(other: CompletionRequested) -> float:
        return difflib.SequenceMatcher(None, ours, text_of(other), autojunk=False).ratio()

    nearest = max(same, key=likeness)
    for number, (mine, theirs) in enumerate(zip_longest(ours, text_of(nearest)), 1):
        if mine != theirs:
            return (
                f"run {recording.run} has no reply to this {asked.name} request; the nearest one, of attempt "
                f"{nearest.attempt or 'none'}, differs first in line {number}: {_parted(theirs, mine)}"
            )
    return f"run {recording.run} asked the same {asked.name} request but has no reply to it"


def _parted(recorded: str | None, now: str | None) -> str:
    """Both lines from shortly before the place where they part."""
    one, two = recorded or "", now or ""
    same = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    start = max(0, same - 40)

    def shown(line: str | None) -> str:
        if line is None:
            return "nothing"
        cut = line[start : start + 120]
        return repr(("…" if start else "") + cut + ("…" if len(line) > start + 120 else ""))

    return f"recorded {shown(recorded)}, asked now {shown(now)}"
