"""`gome runs`: what is in the log, newest last.

A row is a projection of one run. Rows are kept beside the log (`$GOME_HOME/runs.json`) under the hash of the head they
were folded to, so only runs that went on since are read again; the file is a cache and may be removed.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click
import msgspec

from gome.kernel.cli.opening import complete, json_option, nats_option, opened
from gome.kernel.cli.output import duration, emit, moment, say, table

if TYPE_CHECKING:
    from pathlib import Path

    from gome.kernel.connect import Connection
    from gome.kernel.state import RunState


class Row(msgspec.Struct, frozen=True):
    """A run as it is listed. `state` is done, stopped or failed once it is finished, else suspended or open; `owner`
    names the process that drives it right now, on this machine."""

    run: str
    task: str
    metric: str
    state: str
    best: float | None
    steps: int
    accepted: int
    events: int
    seconds: float
    started: float
    owner: str = ""


class _Kept(msgspec.Struct, frozen=True):
    hash: str
    row: Row


def row_of(run: str, state: RunState) -> Row:
    """The row of a folded run."""
    t = state.trajectory
    task = t.started.task if t.started else None
    best = t.best_attempt()
    return Row(
        run=run,
        task=task.name if task else "",
        metric=task.metric.name if task else "",
        state=t.finished.outcome if t.finished else ("suspended" if t.suspended else "open"),
        best=t.selected.score if t.selected else (best.score if best else None),
        steps=len(t.attempts),
        accepted=len(t.accepted_attempts()),
        events=state.events,
        seconds=round(t.active, 3),
        started=t.started_at,
    )


async def listing(connection: Connection) -> list[Row]:
    """Every run of the log in the order of their starts; those whose head has moved are folded again."""
    from gome.kernel.cli.opening import folded
    from gome.kernel.owner import owner_of

    path = connection.home / "runs.json"
    known, kept = _read(path), {}
    for run in await connection.log.runs():
        head = await connection.log.head(run)
        found = known.get(run)
        if found is None or found.hash != head.hash:
            state = await folded(connection, run)
            found = _Kept(state.head.hash, row_of(run, state))
        kept[run] = found
    if kept != known:
        _write(path, {**known, **kept})
    rows = [msgspec.structs.replace(k.row, owner=str(owner_of(connection.home, run) or "")) for run, k in kept.items()]
    return sorted(rows, key=lambda row: (row.started, row.run))


def _read(path: Path) -> dict[str, _Kept]:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Kept])
    return {}


def _write(path: Path, rows: dict[str, _Kept]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        temporary.write_bytes(msgspec.json.encode(rows))
        temporary.replace(path)


@click.command("runs")
@nats_option
@json_option
def runs(nats: str, as_json: bool) -> None:
    """List the runs in the log: what they work on, how far they are, their best validation score."""

    async def read() -> list[Row]:
        async with opened(nats) as connection:
            return await listing(connection)

    rows = complete(read)
    if as_json:
        for row in rows:
            emit(row)
    elif not rows:
        say("no run yet; `gome run ames` makes one")
    else:
        columns = ("run", "task", "state", "metric", "best", "steps", "accepted", "time", "started")
        cells = [
            (
                r.run,
                r.task,
                f"in {r.owner}" if r.owner else r.state,
                r.metric,
                r.best,
                r.steps,
                r.accepted,
                duration(r.seconds),
                moment(r.started),
            )
            for r in rows
        ]
        table(columns, cells, right=("best", "steps", "accepted", "time"))
