"""The tables and worlds that ship: what was recorded is what comes out when it is played again."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from gome.plugins.bench.rows import playbook_digest
from gome.plugins.bench.suite import played
from gome.plugins.bench.table import read_table
from gome.plugins.bench.world.measuring import row_of
from gome.plugins.bench.world.performing import Missing
from gome.plugins.bench.world.suite import RECORDED, WORLD, cells, read_suite
from gome.plugins.bench.world.troupe import Place

TABLES = sorted(RECORDED.glob("*.jsonl"))
SOME = 2
"""Runs of each table that are played again here; `gome bench world SUITE --recorded` plays all."""


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_a_shipped_table_has_a_row_for_every_run_of_its_suite(table: Path) -> None:
    rows, suite = read_table(table), read_suite(table.stem)
    splits = {row.split for row in rows}
    wanted = [cell for cell in cells(suite) if cell.split in splits]
    assert [row.cell for row in rows] == [cell.part.digest.removeprefix("sha256-") for cell in wanted]
    assert all(row.hidden is not None and row.baseline is not None and row.reference is not None for row in rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_the_shipped_world_gives_the_rows_that_were_recorded(table: Path) -> None:
    rows = {row.cell: row for row in read_table(table)}
    stage = Place(file=str(WORLD)).stage()

    async def work() -> None:
        for cell in cells(read_suite(table.stem))[:SOME]:
            recorded = rows[cell.part.digest.removeprefix("sha256-")]
            player = await stage.begin(cell.part)
            started = player.state.started
            assert started is not None
            if playbook_digest(started) != recorded.playbook:
                pytest.skip("the playbook has changed since the world was recorded")
            try:
                await player.play()
            except Missing:
                pytest.skip("a search or the kernel decides otherwise than when the world was recorded")
            found = await row_of(cell, player)
            same = msgspec.structs.replace(found, commit=recorded.commit, reference=recorded.reference)
            assert same == recorded

    anyio.run(work)


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_the_shipped_world_holds_every_task_and_split_of_a_shipped_table(table: Path) -> None:
    store = Place(file=str(WORLD)).stage().store
    assert all(store.subject(row.task, row.split_seed) is not None for row in read_table(table))


def test_every_shipped_table_has_its_suite_and_there_is_one_for_each() -> None:
    assert {path.stem for path in TABLES} == set(played())
