"""What is read off a played run: its row in the table of the bench. Nothing here is seen by the run itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from gome.events import SubmissionGraded
from gome.kernel.errors import GomeError
from gome.plugins.bench.planning import code_version
from gome.plugins.bench.rows import Told, filled
from gome.plugins.bench.table import Row
from gome.plugins.bench.world.cells import records
from gome.plugins.bench.world.playing import Player
from gome.plugins.bench.world.suite import Cell, Value


async def row_of(cell: Cell, player: Player) -> Row:
    """The row of a cell that has been played, whose seconds are virtual. `reference` is left open: it is known when all
    cells are (`referenced`)."""
    state = player.state
    if state.started is None or state.finished is None:
        raise GomeError(f"run {player.live.run} has not been played to its end")
    told = Told()
    for sealed in await records(player):
        for event in state.codec.commit(sealed, state.resolve).events:
            told.apply(event)
    graded = {name: SubmissionGraded(name, score, se) for name, (score, se) in player.grades.items()}
    bare = Row(
        bench=cell.suite,
        cell=cell.part.digest.removeprefix("sha256-"),
        run=player.live.run,
        suite=cell.suite,
        task=cell.part.task,
        split=cell.split,
        search=state.started.roles.get("search", ""),
        factors={name: spelt(value) for name, value in cell.factors.items()},
        seed=cell.part.seed,
        split_seed=cell.part.split_seed,
        outcome=state.finished.outcome,
        commit=code_version(),
    )
    return filled(bare, told, graded)


def spelt(value: Value) -> str | float:
    """A level of a factor as tables name it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


def referenced(rows: Sequence[Row]) -> list[Row]:
    """The rows with the best hidden score known for their task and split: of any attempt of any run of the table. What
    a share of the way is measured against is then the same for all, and no run can be beyond it."""
    known: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        known[row.task, row.split_seed] += [v for v in (row.best_hidden, row.hidden, row.baseline) if v is not None]
    found = []
    for row in rows:
        scores = known[row.task, row.split_seed]
        best = (max(scores) if row.greater_is_better else min(scores)) if scores else None
        found.append(msgspec.structs.replace(row, reference=best))
    return found
