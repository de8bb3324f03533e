"""Playing many cells: one after the other, or by several processes that share a folder and fill it for each other.

Rows are handed out as they are made, in no order; `play_all` of a world that has everything executes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import anyio
from msgspec import Struct

from gome.plugins.bench.table import Row
from gome.plugins.bench.world.cells import Stage, surroundings
from gome.plugins.bench.world.measuring import row_of
from gome.plugins.bench.world.store import Store
from gome.plugins.bench.world.suite import Cell


class Place(Struct, frozen=True):
    """Where a world is: a folder below `home` that is added to ("": none, nothing is executed), and a file ("": none)
    that is read before."""

    home: str = ""
    file: str = ""

    def stage(self, cores: int = 1) -> Stage:
        """Open it."""
        live = bool(self.home)
        home = Path(self.home) if live else Path(tempfile.mkdtemp(prefix="gome-world-"))
        store = Store(home / "world" if live else None, surroundings())
        if self.file:
            store.load(Path(self.file))
        return Stage(store, home, cores, live)


class Played(Struct, frozen=True):
    """A row, the keys of the answers that its run asked for, and how many of them had to be performed."""

    row: Row
    keys: frozenset[str]
    performed: int


def play_one(stage: Stage, cell: Cell) -> Played:
    """Play one cell and measure it."""
    stage.store.used.clear()
    before = stage.hands.performed

    async def work() -> Row:
        return await row_of(cell, await stage.play(cell.part))

    return Played(anyio.run(work), frozenset(stage.store.used), stage.hands.performed - before)


def play_all(place: Place, cells: Sequence[Cell], processes: int = 1) -> Iterator[Played]:
    """Play cells, over so many processes, and yield what came of each as it comes."""
    if processes <= 1:
        stage = place.stage(len(os.sched_getaffinity(0)))
        for cell in cells:
            yield play_one(stage, cell)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_open, initargs=(place,)) as pool:
        try:
            for done in as_completed([pool.submit(_played, cell) for cell in cells]):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_stage: list[Stage] = []


def _open(place: Place) -> None:
    """Open the world once in a process that plays cells."""
    _stage[:] = [place.stage()]


def _played(cell: Cell) -> Played:
    return play_one(_stage[0], cell)
