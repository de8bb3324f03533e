"""`gome runs`: what is in the log, newest last, from the run index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gome.kernel.cli.opening import complete, json_option, nats_option, whole
from gome.kernel.cli.output import duration, emit, moment, say, table

if TYPE_CHECKING:
    from gome.kernel.connect import Connection

COLUMNS = ("run", "task", "state", "metric", "best", "steps", "accepted", "time", "started", "origin")
NUMBERS = ("best", "steps", "accepted", "time")


@click.command("runs")
@click.argument("archive", required=False, default="", metavar="[ARCHIVE]")
@nats_option
@json_option
def runs(archive: str, nats: str, as_json: bool) -> None:
    """List the runs in the log, or in an archive (FILE.gome): what they work on, how far they are, their best
    validation score."""

    async def read() -> list[dict[str, Any]]:
        async with whole(archive, nats) as connection:
            return await listing(connection)

    rows = complete(read)
    if as_json:
        for row in rows:
            emit(row)
    elif not rows and archive:
        say(f"there is no run in {archive}")
    elif not rows:
        say("no run yet; `gome run ames` makes one")
    else:
        columns = [c for c in COLUMNS if c != "origin" or any(row["parent"] for row in rows)]
        table(columns, [[cells[c] for c in columns] for cells in map(_cells, rows)], right=NUMBERS)


async def listing(connection: Connection) -> list[dict[str, Any]]:
    """A dict per run, in the order of their starts. `state` is done, stopped or failed for a finished run, else
    suspended or open; `owner` names the process that drives it right now, as far as this home knows ("": nobody);
    `seconds` are active ones; `parent` and `forked_at` say where a fork comes from."""
    from gome.kernel.index import RunIndex, key_of
    from gome.kernel.owner import owner_of

    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        rows = await index.rows(key_of(connection))
    return [
        {
            "run": row.run,
            "task": row.task,
            "state": row.state,
            "metric": row.metric,
            "best": row.best,
            "steps": row.steps,
            "accepted": row.accepted,
            "events": row.events,
            "seconds": row.head.active,
            "started": row.started,
            "parent": row.origin.parent if row.origin else "",
            "forked_at": row.origin.seq if row.origin else None,
            "owner": str(owner_of(connection.home, row.run) or ""),
        }
        for row in rows
    ]


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "state": f"in {row['owner']}" if row["owner"] else row["state"],
        "time": duration(row["seconds"]),
        "started": moment(row["started"]),
        "origin": f"{row['parent']} at {row['forked_at']}" if row["parent"] else "",
    }
