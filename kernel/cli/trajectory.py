"""`gome trajectory`: a run's attempts as a table for people or programs."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click

from gome.events import Trajectory
from gome.kernel.cli.opening import complete, folded, nats_option, opened
from gome.kernel.cli.output import say, table
from gome.kernel.errors import UsageError

SHOWN = (
    *("attempt", "trace", "parent", "stage", "score", "gain", "noise", "accepted", "failure", "seconds"),
    *("statement", "reason"),
)
NUMBERS = ("trace", "score", "gain", "noise", "seconds")


@click.command("trajectory")
@click.argument("run")
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
def trajectory(run: str, form: str, out: Path | None, as_json: bool, nats: str) -> None:
    """Print RUN's attempts, one row each (columns: gome.kernel.frames.COLUMNS)."""
    from gome.kernel.results import origin_of

    form = "json" if as_json else form
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("Parquet is no text; name a file with --out, or send stdout to one")

    async def read() -> Trajectory:
        async with opened(nats) as connection:
            return (await folded(connection, run)).trajectory

    found = complete(read)
    if form == "table" and out is None:
        if origin := origin_of(found):
            print(f"{run}: {origin}")
        _table(found)
    elif form == "parquet":
        _parquet(found, run, out)
    else:
        _text(found, run, form, out)
    if out is not None:
        say(f"wrote {len(found.attempts)} attempts to {out}")


def _table(found: Trajectory) -> None:
    from gome.kernel.frames import rows

    table(SHOWN, [[row[name] for name in SHOWN] for row in rows(found)], right=NUMBERS)


def _text(found: Trajectory, run: str, form: str, out: Path | None) -> None:
    from gome.kernel.frames import write_csv, write_json

    text = io.StringIO()
    (write_json if form == "json" else write_csv)(found, run, text)
    if out is None:
        print(text.getvalue(), end="", flush=True)
        return
    try:
        out.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def _parquet(found: Trajectory, run: str, out: Path | None) -> None:
    import tempfile

    from gome.kernel.frames import write_parquet

    if out is not None:
        write_parquet(found, run, out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trajectory.parquet"
        write_parquet(found, run, path)
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as stdout:
            stdout.write(path.read_bytes())
