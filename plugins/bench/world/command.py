"""`gome bench world SUITE`: play a suite in the recorded world and keep the table, which `gome report` reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gome.kernel.errors import PluginError, UsageError

if TYPE_CHECKING:
    from gome.plugins.bench.world.suite import Cell


@click.command("world", epilog="Then: gome report TABLE.jsonl")
@click.argument("suite")
@click.option(
    "--split", type=click.Choice(["dev", "held-out", "both"]), default="dev", help="Which tasks (default dev)."
)
@click.option("--world", type=click.Path(path_type=Path), metavar="FILE", help="Play from this file; execute nothing.")
@click.option("--recorded", is_flag=True, help="Play from the world that ships; execute nothing.")
@click.option("--table", type=click.Path(path_type=Path), metavar="FILE", help="Write the rows (.jsonl or .parquet).")
@click.option(
    "--write", type=click.Path(path_type=Path), metavar="FILE", help="Write the world that was used (.world)."
)
@click.option("--parallel", type=click.IntRange(1, 256), default=1, metavar="N", help="Processes (default 1).")
@click.option("--dry-run", is_flag=True, help="Say what would be played.")
@click.option("--json", "as_json", is_flag=True, help="Lines for machines.")
def world(**flags: Any) -> None:
    """Play SUITE (a name or a file) on a virtual clock: programs are executed once, then their results are used.

    Without --world, what no run has asked for before is executed here and kept under the home folder.
    """
    from gome.kernel.settings import load
    from gome.plugins.bench.table import check_place, write_table
    from gome.plugins.bench.world.measuring import referenced
    from gome.plugins.bench.world.suite import WORLD, cells, read_suite
    from gome.plugins.bench.world.troupe import Place, Played, play_all

    suite = read_suite(flags["suite"])
    splits: Any = ("dev", "held-out") if flags["split"] == "both" else (flags["split"],)
    wanted = cells(suite, splits)
    if not wanted:
        other = "dev" if flags["split"] == "held-out" else "held-out"
        raise UsageError(f"suite {suite.name} has no {flags['split']} tasks; play the others with --split {other}")
    if flags["recorded"]:
        flags["world"] = flags["world"] or WORLD
    if flags["world"] and flags["write"]:
        raise UsageError("what is played from a file executes nothing, so there is nothing new to --write")
    if flags["table"]:
        check_place(flags["table"])
    check(wanted)
    seconds = sum(cell.part.budget.seconds or 0.0 for cell in wanted)
    said = f"{suite.name}: {len(wanted)} runs, at most {seconds * suite.slots:.0f} CPU seconds if nothing is recorded"
    print(said, file=sys.stderr)
    if flags["dry_run"]:
        return
    place = Place(file=str(flags["world"])) if flags["world"] else Place(home=str(load().home))
    rows, keys, performed = [], set[str](), 0
    played: Played
    for number, played in enumerate(play_all(place, wanted, flags["parallel"]), 1):
        rows.append(played.row)
        keys |= played.keys
        performed += played.performed
        if flags["as_json"]:
            print(msgspec.json.encode(played.row).decode(), flush=True)
        else:
            print(f"{number}/{len(wanted)} {_line(played)}", file=sys.stderr, flush=True)
        if flags["table"]:
            write_table(flags["table"], _in_order(referenced(rows), wanted))
    if flags["write"]:
        about = {(cell.part.task, cell.part.split_seed) for cell in wanted}
        size = place.stage().store.write(flags["write"], keys, about)
        print(f"{flags['write']}: {len(keys)} answers, {size / 1e6:.2f} MB", file=sys.stderr)
    print(f"{len(keys)} different answers; {performed} times one was missing and was performed", file=sys.stderr)
    if flags["table"]:
        print(f"gome report {flags['table']}", file=sys.stderr)


def check(wanted: Sequence[Cell]) -> None:
    """Raise `UsageError` or `PluginError` for settings that mean nothing, naming the cell, before anything plays."""
    from gome.kernel.discovery import discover
    from gome.plugins.bench.world.cells import resolved

    found = list(discover())
    told = {msgspec.json.encode(cell.part.settings, order="sorted"): cell for cell in wanted}
    for cell in told.values():
        try:
            resolved(cell.part, found, Path.cwd())
        except (UsageError, PluginError) as error:
            levels = ", ".join(f"{name} {level}" for name, level in cell.factors.items())
            raise type(error)(f"suite {cell.suite}{', ' + levels if levels else ''}: {error}") from error


def _in_order(rows: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    """Rows in the order of their cells: of several processes, whoever was faster must not show."""
    order = {cell.part.digest.removeprefix("sha256-"): i for i, cell in enumerate(wanted)}
    return sorted(rows, key=lambda row: order[row.cell])


def _line(played: Any) -> str:
    row = played.row
    hidden = "nothing" if row.hidden is None else f"{row.hidden:.5g}"
    levels = " ".join(f"{name}={value}" for name, value in row.factors.items())
    what = f"{row.task} {row.search} {levels} seed {row.seed}"
    return f"{what}: {hidden}, {row.executions} executions, {played.performed} answers new"
