"""`gome tail`: a run as it happens (or happened), one line per event, from its first event to its last."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gome.events import Event, RunFinished, RunSuspended
from gome.kernel.cli.opening import complete, must_exist, over_run, reading
from gome.kernel.cli.output import emit, say

TELLING = (
    "attempt",
    "purpose",
    "trace",
    "kind",
    "stage",
    "parent",
    "score",
    "gain",
    "failure",
    "limit",
    "outcome",
    "text",
)
"""Fields that make a line, in this order, where a payload has them."""
WORDS = ("reason", "error", "statement")


@click.command("tail")
@over_run
@click.option("--last", type=click.IntRange(0), metavar="N", help="Begin with the last N events of what there is.")
def tail(run: str, last: int | None, nats: str, as_json: bool) -> None:
    """Follow RUN, one line per event, until it is finished."""
    complete(lambda: _follow(run, last, nats, as_json))


async def _follow(run: str, last: int | None, nats: str, as_json: bool) -> None:
    from contextlib import aclosing

    from gome.kernel.discovery import codec_for, discover
    from gome.kernel.state import RunState

    async with reading(run, nats) as (connection, run):
        await must_exist(connection, run)
        head = await connection.log.head(run)
        codec = codec_for([f.plugin for f in discover() if f.plugin is not None and f.plugin.emits])
        state = RunState(run, codec, (), connection.artifacts.text, views=False)
        async with aclosing(connection.log.follow(run)) as records:  # type: ignore[type-var]
            async for sealed in records:
                commit, _ = state.apply(sealed)
                for event in commit.events:
                    if last is None or event.seq > head.seq - last:
                        if as_json:
                            emit(as_line(run, event))
                        else:
                            print(in_words(event), flush=True)
                if any(isinstance(e.payload, RunFinished) for e in commit.events):
                    return
                resting = isinstance(commit.events[-1].payload, RunSuspended) and sealed.last >= head.seq
                if resting and not as_json:
                    say(f"(the run rests; `gome run --resume {run}` goes on with it, Ctrl-C ends this)")


def as_line(run: str, event: Event) -> dict[str, Any]:
    """An event for machines: its envelope, and its payload as it is stored."""
    return {
        "run": run,
        "seq": event.seq,
        "id": event.id,
        "type": event.type,
        "ts": event.ts,
        "active": event.active,
        "by": event.by,
        "cause": event.cause,
        "corr": event.corr,
        "payload": msgspec.Raw(event.raw),
    }


def in_words(event: Event) -> str:
    """An event for people: position, active seconds, who, what, and the fields that tell most."""
    payload = event.payload
    said = []
    for name in TELLING:
        value = getattr(payload, name, None)
        if value not in (None, ""):
            said.append(f"{value:.6g}" if isinstance(value, float) else str(value))
    words = next((str(w) for name in WORDS if (w := getattr(payload, name, ""))), "")
    if (hypothesis := getattr(payload, "hypothesis", None)) is not None:
        words = hypothesis.statement
    text = " ".join(said) + (f": {words}" if words and said else words)
    return f"{event.seq:5d} {event.active:8.1f} s  {event.by:<10} {event.type:<20} {' '.join(text.split())}".rstrip()
