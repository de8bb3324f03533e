"""`gome trajectory`: attempts of one run, of several or of all as a table for people or programs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, folded, nats_option, reading, whole
from gome.kernel.cli.output import say, table
from gome.kernel.errors import GomeError, LogUnreachable, UsageError

if TYPE_CHECKING:
    from gome.events import Trajectory
    from gome.kernel.frames import Table

SHOWN = (
    *("attempt", "trace", "parent", "stage", "score", "gain", "noise", "decision", "failure", "seconds"),
    *("hypothesis", "reason"),
)
NUMBERS = ("trace", "score", "gain", "noise", "seconds")


@click.command("trajectory")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--all", "every", is_flag=True, help="Every run of the log (or of the archive RUN), one after the other.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    help="csv, json (an object per line) and parquet have every column.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there, not to stdout."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@nats_option
def trajectory(runs: tuple[str, ...], every: bool, form: str, out: Path | None, as_json: bool, nats: str) -> None:
    """Print the attempts of each RUN (an id or an archive), one row each (columns: gome.kernel.frames.COLUMNS)."""
    form = "json" if as_json else ("csv" if form == "table" and out is not None else form)
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("Parquet is no text; name a file with --out, or send stdout to one")
    if not runs and not every:
        raise UsageError("name a run (`gome runs` lists them), an archive, or --all")
    if every and len(runs) > 1:
        raise UsageError("--all means every run: leave out their names, or name one archive (FILE.gome)")
    complete(lambda: _write(runs, every, form, out, nats))


async def _write(runs: tuple[str, ...], every: bool, form: str, out: Path | None, nats: str) -> None:
    count = 0
    with _target(form, out) as target:
        found = _every(runs[0] if runs else "", nats) if every else _named(runs, nats)
        async for run, t in found:
            count += _print(run if every or len(runs) > 1 else "", t) if target is None else target.add(run, t)
    if out is not None:
        say(f"wrote {count} attempts to {out}")


async def _named(runs: tuple[str, ...], nats: str) -> AsyncIterator[tuple[str, Trajectory]]:
    """Runs by name. Those of the log share one connection."""
    from gome.kernel.archive import place_of

    async with AsyncExitStack() as stack:
        shared = None
        for given in runs:
            if place_of(given) is not None:
                async with reading(given, nats) as (connection, run):
                    yield run, (await folded(connection, run)).trajectory
                continue
            if shared is None:
                shared = await stack.enter_async_context(whole(nats=nats))
            yield given, (await folded(shared, given)).trajectory


async def _every(archive: str, nats: str) -> AsyncIterator[tuple[str, Trajectory]]:
    """All runs, none kept. One that cannot be read is said so and left out; at the end its error is raised."""
    first: GomeError | None = None
    left_out = 0
    async with whole(archive, nats) as connection:
        for run in await connection.log.runs():
            try:
                found = (await folded(connection, run)).trajectory
            except LogUnreachable:
                raise
            except GomeError as error:
                say(f"({run} is left out: {error})")
                first, left_out = first or error, left_out + 1
                continue
            yield run, found
    if first is not None:
        raise type(first)(f"{left_out} of the runs could not be read and are not in the table")


@contextmanager
def _target(form: str, out: Path | None) -> Iterator[Table | None]:
    """The file (or stdout) that rows go to; None where a table is printed for people."""
    from gome.kernel.frames import CsvTable, JsonTable, ParquetTable

    if form == "table":
        yield None
    elif form == "parquet":
        with closing(ParquetTable(out or sys.stdout.buffer)) as target:
            yield target
    else:
        kind = JsonTable if form == "json" else CsvTable
        if out is None:
            yield kind(sys.stdout)
            sys.stdout.flush()
            return
        try:
            file = out.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from error
        with file:
            yield kind(file)


def _print(run: str, found: Trajectory) -> int:
    """A table for people, under the run's name where there are several."""
    from gome.kernel.frames import rows
    from gome.kernel.results import origin_of

    if run:
        print(f"{run}:")
    if origin := origin_of(found):
        print(origin)
    made = [[row[name] for name in SHOWN] for row in rows(found)]
    table(SHOWN, made, right=NUMBERS)
    if run:
        print()
    return len(made)
