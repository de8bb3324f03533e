"""From suites to cells, and the decider that begins them: order, digests, slots, ends."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gome.events import (
    CancelRequested,
    EffectCancelled,
    EffectFailed,
    RunFinished,
    StopRequested,
)
from gome.plugins.bench import plugin
from gome.plugins.bench.cells import Treatment, cells, plan_digest
from gome.plugins.bench.events import BenchFinished, BenchStarted, CellFinished, CellRequested, ParallelChanged
from gome.plugins.bench.suite import BudgetChoice, SearchChoice, Suite, TaskChoice
from tests.plugins.driver import Driver

TREATMENTS = tuple(Treatment(search=name) for name in ("one", "two", "three"))


def suite(tasks: int = 2, seeds: int = 2, splits: tuple[int, ...] = ()) -> Suite:
    return Suite(
        name="s",
        dev=tuple(TaskChoice(spec=f"t{i}") for i in range(tasks)),
        held_out=(TaskChoice(spec="h"),),
        searches=tuple(SearchChoice(name=t.search) for t in TREATMENTS),
        seeds=tuple(range(seeds)),
        split_seeds=splits,
        budget=BudgetChoice(currency="steps", amount=5),
    )


def test_cells_are_the_whole_product_each_once() -> None:
    found = cells(suite(2, 2, (7, 8)), TREATMENTS)
    keys = {(c.task.spec, c.treatment.search, c.seed, c.split_seed) for c in found}
    assert len(found) == len(keys) == 3 * 3 * 2 * 2 == len({c.digest for c in found})
    assert {c.task.spec: c.split for c in found} == {"t0": "dev", "t1": "dev", "h": "held-out"}


def test_cells_that_are_compared_stand_side_by_side_and_no_treatment_is_always_first() -> None:
    found = cells(suite(), TREATMENTS)
    blocks = [found[i : i + 3] for i in range(0, len(found), 3)]
    for block in blocks:
        assert len({(c.task, c.seed, c.split_seed) for c in block}) == 1
        assert {c.treatment.search for c in block} == {"one", "two", "three"}
    assert {block[0].treatment.search for block in blocks} == {"one", "two", "three"}


def test_a_digest_says_what_is_asked_and_nothing_else() -> None:
    one = cells(suite(), TREATMENTS)
    assert plan_digest(one) == plan_digest(cells(replace(suite(), name="other", about="else"), TREATMENTS))
    dearer = replace(suite(), budget=BudgetChoice(currency="steps", amount=6))
    for other in (
        cells(dearer, TREATMENTS),
        cells(replace(suite(), capacity=2), TREATMENTS),
        cells(suite(), tuple(replace(t, settings={"guard": {"enabled": False}}) for t in TREATMENTS)),
    ):
        assert not {c.digest for c in one} & {c.digest for c in other}


def begun(parallel: int = 2) -> BenchStarted:
    found = cells(suite(), TREATMENTS)
    return BenchStarted(suite(), TREATMENTS, plan_digest(found), len(found), parallel)


def done(cell: str, outcome: str = "done") -> CellFinished:
    return CellFinished(cell=cell, run=f"r-{cell}", outcome=outcome)  # type: ignore[arg-type]


def intent(run: Driver, cell: CellRequested) -> str:
    return next(e.id for e in run.log if e.payload is cell)


@given(st.integers(1, 25), st.randoms(use_true_random=False))
def test_every_cell_is_asked_for_once_in_order_and_never_more_are_open_than_may(parallel: int, luck: Random) -> None:
    run = Driver(plugin)
    run.say(begun(parallel))
    answered: set[str] = set()
    while pending := [c for c in run.all(CellRequested) if c.cell not in answered]:
        assert len(pending) == min(parallel, 18 - len(answered))
        chosen = luck.choice(pending)
        answered.add(chosen.cell)
        run.answer(chosen, done(chosen.cell))
    assert [c.cell for c in run.all(CellRequested)] == [c.digest for c in cells(suite(), TREATMENTS)]
    assert run.all(BenchFinished) == [BenchFinished(done=18, stopped=0, failed=0, lost=0)]
    assert run.all(RunFinished) == [RunFinished(outcome="done")]


def test_a_cell_that_fails_or_cannot_be_run_is_a_result_and_the_next_begins() -> None:
    run = Driver(plugin)
    run.say(begun(1))
    for number in range(18):
        cell = run.last(CellRequested)
        if number == 0:
            run.answer(cell, EffectFailed(intent(run, cell), "CellRequested", 100, "killed again and again"))
        else:
            run.answer(cell, done(cell.cell, "failed" if number % 2 else "lost"))
    assert run.all(BenchFinished) == [BenchFinished(done=0, stopped=0, failed=9, lost=9)]
    assert run.all(RunFinished) == [RunFinished(outcome="failed", reason="no cell has come to a result")]


def test_a_bench_asked_to_stop_calls_off_what_is_open_and_begins_nothing_more() -> None:
    run = Driver(plugin)
    run.say(begun(2))
    run.say(StopRequested(reason="enough"))
    first, second = run.all(CellRequested)
    assert {c.intent for c in run.all(CancelRequested)} == {intent(run, first), intent(run, second)}
    run.answer(first, done(first.cell))
    assert not run.all(RunFinished)
    run.answer(second, EffectCancelled(intent(run, second), "CellRequested", "enough"))
    assert len(run.all(CellRequested)) == 2
    assert run.all(BenchFinished) == [BenchFinished(done=1, stopped=0, failed=0, lost=0, left=17)]
    assert run.all(RunFinished) == [RunFinished(outcome="stopped", reason="enough")]


def test_more_slots_are_filled_at_once_and_fewer_as_cells_end() -> None:
    run = Driver(plugin)
    run.say(begun(1))
    run.say(ParallelChanged(parallel=4))
    asked = run.all(CellRequested)
    assert len(asked) == 4
    run.say(ParallelChanged(parallel=3))
    run.answer(asked[0], done(asked[0].cell))
    assert len(run.all(CellRequested)) == 4, "three are open"
    run.answer(asked[1], done(asked[1].cell))
    assert len(run.all(CellRequested)) == 5
