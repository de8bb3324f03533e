"""`gome compare`: where runs part, and what it cost or gained."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gome.kernel.cli.opening import complete, folded, json_option, nats_option, opened, reading
from gome.kernel.cli.output import cell, duration, emit, say, table
from gome.kernel.errors import Forbidden, UsageError

if TYPE_CHECKING:
    from gome.events import SubmissionGraded, Trajectory
    from gome.kernel.comparing import Parting
    from gome.kernel.connect import Connection
    from gome.kernel.results import Summary

COLUMNS = (
    *("run", "outcome", "attempt", "validation", "better", "paired", "hidden", "better_hidden", "steps", "accepted"),
    *("executions", "seconds", "tokens", "money"),
)
NUMBERS = COLUMNS[3:]


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@nats_option
@json_option
def compare(runs: tuple[str, ...], nats: str, as_json: bool) -> None:
    """Compare RUNs (ids or archives) with the first one: where they part, what each came to, and what it took.

    Scores are compared on one task, split and metric only; hidden ones of finished runs only. `paired` is the
    difference of the two best attempts over the same folds, with its standard error.
    """
    if len(set(runs)) < 2 or len(set(runs)) < len(runs):
        raise UsageError("name two runs or more, each once; `gome runs` lists them")

    async def read() -> tuple[list[tuple[Summary, Trajectory]], list[Parting]]:
        from gome.kernel.archive import place_of
        from gome.kernel.comparing import Side, parting
        from gome.kernel.discovery import codec_for, discover

        async with AsyncExitStack() as stack:
            archives = [run for run in runs if place_of(run) is not None]
            ours = await stack.enter_async_context(opened(nats)) if len(archives) < len(runs) else None
            found, sides = [], []
            for run in runs:
                name, connection = run, ours
                if run in archives:
                    connection, name = await stack.enter_async_context(reading(run))
                assert connection is not None
                found.append(await _one(connection, name, run))
                sides.append(Side(name, connection.log, connection.artifacts.text))
            codec = codec_for([f.plugin for f in discover() if f.plugin is not None and f.plugin.emits])
            partings = [await parting(codec, sides[0], other) for other in sides[1:]]
            named = zip(partings, runs[1:], strict=True)
            return found, [msgspec.structs.replace(p, run=runs[0], other=other) for p, other in named]

    found, partings = complete(read)
    notes = _notes(found)
    if as_json:
        for row in _rows(found, notes):
            emit({**row, "incomparable": notes.get(row["run"], "")})
        for parting in partings:
            emit(_told(parting))
        return
    rows = _rows(found, notes)
    columns = [c for c in COLUMNS if any(row[c] not in (None, "", 0) for row in rows)]
    names = {"better_hidden": "better", "attempt": "best"}
    shown = [[_cell(c, row) for c in columns] for row in rows]
    table([names.get(c, c) for c in columns], shown, right=[names.get(c, c) for c in NUMBERS])
    for summary, _ in found:
        if summary.origin:
            print(f"{summary.run}: {summary.origin}")
    for parting, (_, theirs) in zip(partings, found[1:], strict=True):
        print()
        for line in _words(parting, found[0][1], theirs):
            print(line)
        if parting.other in notes:
            print(f"  scores cannot be compared: {notes[parting.other]}")


async def _one(connection: Connection, run: str, called: str) -> tuple[Summary, Trajectory]:
    from gome.kernel.connect import grades
    from gome.kernel.results import summarise

    state = await folded(connection, run)
    hidden: dict[str, SubmissionGraded] = {}
    if state.finished is not None:
        try:
            hidden = await grades(connection, run)
        except Forbidden:
            say(f"(hidden scores of {run} are not shown: these credentials may not read the vault)")
    if state.trajectory.started is None:
        raise UsageError(f"run {run} has no beginning that says what it works on")
    return summarise(called, state.trajectory, hidden, state.ledger), state.trajectory


def _notes(found: list[tuple[Summary, Trajectory]]) -> dict[str, str]:
    """Why the scores of a run cannot be compared with the first one's, by run."""
    from gome.kernel.comparing import incomparable

    first = found[0][1].started
    assert first is not None
    told = {s.run: incomparable(first.task, t.started.task) for s, t in found[1:] if t.started is not None}
    return {run: why for run, why in told.items() if why}


def _rows(found: list[tuple[Summary, Trajectory]], notes: dict[str, str]) -> list[dict[str, Any]]:
    from gome.kernel.comparing import advantage, paired

    first = found[0][0]
    rows = []
    for summary, t in found:
        beside = summary is not first and summary.run not in notes
        pair = paired(found[0][1], t, (first.attempt, summary.attempt)) if beside else None
        rows.append(
            {
                "run": summary.run,
                "outcome": summary.outcome,
                "attempt": summary.attempt,
                "metric": summary.metric,
                "validation": summary.score,
                "better": advantage(first, summary, hidden=False) if beside else None,
                "paired": None if pair is None else pair.difference,
                "paired_se": None if pair is None else pair.se,
                "paired_folds": None if pair is None else pair.folds,
                "hidden": summary.hidden,
                "better_hidden": advantage(first, summary, hidden=True) if beside else None,
                "steps": summary.steps,
                "accepted": summary.accepted,
                "executions": summary.executions,
                "seconds": summary.seconds,
                "tokens": summary.tokens_in + summary.tokens_out,
                "money": summary.money,
                "origin": summary.origin,
            }
        )
    return rows


def _cell(column: str, row: dict[str, Any]) -> Any:
    value = row[column]
    if column == "paired":
        return "" if value is None else f"{value:+.5f} ± {row['paired_se']:.5f}"
    if column == "seconds":
        return duration(value)
    if column == "money":
        return "unknown" if value is None else value
    if column in ("better", "better_hidden"):
        return "" if value is None else f"{value:+.5f}"
    return cell(value)


def _told(parting: Parting) -> dict[str, Any]:
    from gome.kernel.cli.tail import as_line

    return {
        "run": parting.run,
        "other": parting.other,
        "shared": parting.shared,
        "same": parting.same,
        "first": [None if e is None else as_line(r, e) for r, e in _sides(parting)],
    }


def _sides(parting: Parting) -> list[tuple[str, Any]]:
    return [(parting.run, parting.mine), (parting.other, parting.theirs)]


def _words(parting: Parting, first: Trajectory, other: Trajectory) -> list[str]:
    from gome.kernel.cli.tail import in_words
    from gome.kernel.comparing import apart_from_the_start

    if parting.same:
        return [f"{parting.other} took the same course as {parting.run}: {parting.shared} events"]
    assert first.started is not None and other.started is not None
    began = apart_from_the_start(first.started, other.started)
    what = f"; what they go by differs in {'; '.join(began)}" if began else ""
    if not parting.shared:
        return [f"{parting.run} and {parting.other} share nothing{what}"]
    lines = [f"{parting.run} and {parting.other} share {parting.shared} events, then part{what}"]
    width = max(len(run) for run, _ in _sides(parting))
    for run, event in _sides(parting):
        lines.append(f"  {run:{width}}  {'(ends here)' if event is None else in_words(event).strip()[:160]}")
    return lines
