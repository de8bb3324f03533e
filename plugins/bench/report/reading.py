"""Rows for a report: from a table, from a bench in the log, or from every bench of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gome.kernel.archive import Archive, place_of
from gome.kernel.cli.opening import reading, whole
from gome.kernel.errors import UsageError
from gome.plugins.bench.reading import Recorded, begun, recorded
from gome.plugins.bench.rows import rows
from gome.plugins.bench.table import Row, read_table

if TYPE_CHECKING:
    from gome.kernel.connect import Connection

TABLES = (".parquet", ".jsonl")


async def gather(subjects: Sequence[str], nats: str = "") -> tuple[list[Row], list[str]]:
    """The rows of all subjects (tables, ids of benches, archives), and the names of cells that were planned and have
    not ended. Raises `UsageError` where there is nothing to report on, `UnknownRun` for a bench that is not there."""
    found: list[Row] = []
    left: list[str] = []
    for subject in dict.fromkeys(subjects):
        if subject.endswith(TABLES):
            found += read_table(Path(subject))
        elif (place := place_of(subject)) is not None and not place[1]:
            async with whole(subject) as connection:
                benches = [run for run in await connection.log.runs() if await begun(connection, run)]
                if not benches:
                    with Archive(place[0]) as archive:
                        damage = (
                            f" that can be read, for it is damaged ({archive.problems[0]})" if archive.problems else ""
                        )
                    raise UsageError(f"{subject} holds no bench{damage}; `gome show {subject}` shows what it holds")
                for bench in benches:
                    await _take(connection, bench, found, left)
        else:
            async with reading(subject, nats) as (connection, bench):
                await _take(connection, bench, found, left)
    if not found:
        raise UsageError(f"there is no finished cell in {', '.join(subjects)} to report on")
    return found, left


async def _take(connection: Connection, bench: str, found: list[Row], left: list[str]) -> None:
    told: Recorded = await recorded(connection, bench)
    found += await rows(connection, bench)
    left += [cell.name for cell in told.cells if cell.digest not in told.ended]
