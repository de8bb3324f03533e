"""The row of a played run: what it handed in, what it was charged, and what the best known is."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import msgspec
import pytest

from gome.plugins.bench.table import Row
from gome.plugins.bench.world.cells import Part, Stage
from gome.plugins.bench.world.measuring import referenced, row_of
from gome.plugins.bench.world.suite import Cell


def row(hidden: float | None, **given: object) -> Row:
    """A row of a task where smaller is better, the baseline at 2."""
    facts = {"task": "t", "search": "x", "hidden": hidden, "baseline": 2.0, **given}
    return Row(bench="b", cell=f"{hidden}{given}", run="r", **facts)  # type: ignore[arg-type]


def test_the_best_known_score_is_the_best_of_all_runs_on_the_same_task_and_split() -> None:
    rows = referenced([row(1.6, best_hidden=1.4), row(1.5, best_hidden=1.5), row(0.1, split_seed=3)])
    assert [r.reference for r in rows] == [1.4, 1.4, 0.1]
    greater = referenced([row(1.6, greater_is_better=True, best_hidden=1.7), row(None, greater_is_better=True)])
    assert [r.reference for r in greater] == [2.0, 2.0], "nobody beat the baseline"


def test_a_row_says_what_the_run_was_charged_in_virtual_seconds(stage: Stage, part: Callable[..., Part]) -> None:
    async def work() -> None:
        cell = Cell(suite="s", split="dev", factors={"strength": 1.0, "guard": True}, part=part())
        player = await stage.play(cell.part)
        found = await row_of(cell, player)
        ledger = player.state.ledger
        assert found.factors == {"strength": 1.0, "guard": "on"}
        assert (found.search, found.reasoner, found.split, found.outcome) == ("gradient", "playbook", "dev", "done")
        assert found.execution_seconds == pytest.approx(ledger.execution_seconds, abs=1e-3)
        assert found.seconds == pytest.approx(player.clock.current - 1_700_000_000.0, abs=0.01)
        assert found.steps == len(found.curve) == 4
        assert (found.hidden, found.hidden_se) == player.grades["final"]
        assert found.baseline == player.grades["baseline"][0]
        assert found.best_hidden is not None and found.hidden is not None and found.best_hidden <= found.hidden
        assert found.playbook and found.task_digest and found.commit
        assert msgspec.structs.replace(await row_of(cell, await stage.play(cell.part))) == found

    anyio.run(work)
