"""Imported runs read from the log for `figures`: which there are, by trace, and what their test reports say."""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import CODEC, IMPORTED, ReportImported, RunStarted, Trajectory
from gome.kernel.connect import Connection
from gome.kernel.errors import UsageError
from gome.kernel.importing.figures import Played, TraceFigures, figures, play


async def reports(connection: Connection, run: str) -> dict[str, ReportImported]:
    """The test reports of an imported run, by attempt, from the vault."""
    found: dict[str, ReportImported] = {}
    if (await connection.vault.head(run)).seq:
        async for sealed in connection.vault.read(run):
            for event in CODEC.commit(sealed).events:
                if isinstance(event.payload, ReportImported):
                    found.setdefault(event.payload.attempt, event.payload)
    return found


async def traces(connection: Connection, runs: Sequence[str] = ()) -> list[TraceFigures]:
    """The figures of every trace among some runs (none named: all imported ones), by trace name, and last those of all
    together where there are several. Raises `UsageError` where there is nothing to show."""
    played: dict[str, list[Played]] = {}
    for run in runs or await connection.log.runs():
        t = Trajectory()
        trace = ""
        async for sealed in connection.log.read(run):
            for event in CODEC.commit(sealed).events:
                if event.seq == 1:
                    if not isinstance(event.payload, RunStarted) or event.payload.profile != IMPORTED:
                        break
                    trace = str(event.payload.settings.get("import", {}).get("trace", "imported"))
                t.apply(event)
            if not trace:
                break
        if trace:
            played.setdefault(trace, []).append(play(t, await reports(connection, run)))
        elif runs:
            raise UsageError(f"run {run} was not imported, so it belongs to no trace; leave it out")
    if not played:
        raise UsageError("the log has no imported trace; `gome import Trace_1.json` takes one in")
    found = [figures(trace, competitions) for trace, competitions in sorted(played.items())]
    if len(found) > 1:
        found.append(figures("all", [p for competitions in played.values() for p in competitions]))
    return found
