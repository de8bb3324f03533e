"""Runs on the virtual clock: the same whether executed or recorded, charged what was recorded, within slots and
budget."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest

from gome.events import ExecutionFinished, ExecutionRequested
from gome.kernel.errors import UsageError
from gome.plugins.bench.world.cells import Part, Stage, records, surroundings, verified
from gome.plugins.bench.world.performing import Missing
from gome.plugins.bench.world.playing import Player
from gome.plugins.bench.world.store import Store

Parts = Callable[..., Part]


async def log_of(player: Player) -> list[bytes]:
    """The stored bytes of a played run."""
    return [sealed.stored for sealed in await records(player)]


async def executions(player: Player) -> list[tuple[float, float, ExecutionFinished]]:
    """Every execution of a run: when it began (its end less its seconds) and ended, and its result."""
    found = []
    for sealed in await records(player):
        for event in player.state.codec.commit(sealed).events:
            if isinstance(event.payload, ExecutionFinished):
                found.append((event.ts - event.payload.seconds, event.ts, event.payload))
    return found


def test_a_run_played_from_records_is_the_run_that_was_executed_byte_by_byte(
    stage: Stage, part: Parts, tmp_path: Path
) -> None:
    async def work() -> None:
        asked = part(seed=3)  # nobody else's
        before = stage.hands.performed
        executed = await stage.play(asked)
        assert stage.hands.performed > before, "the first run has to execute something"
        performed = stage.hands.performed
        again = await stage.play(asked)
        assert stage.hands.performed == performed, "the second one must not"
        stage.store.write(tmp_path / "w.world", stage.store.used, [(asked.task, 0)])
        store = Store(None, {})
        store.load(tmp_path / "w.world")
        alone = await Stage(store, tmp_path / "elsewhere", live=False).play(asked)
        assert await log_of(executed) == await log_of(again) == await log_of(alone)
        assert executed.grades == again.grades == alone.grades != {}

    anyio.run(work)


def test_a_played_run_verifies_and_ends_like_any_other(stage: Stage, part: Parts) -> None:
    async def work() -> None:
        player = await stage.play(part())
        verdict = await verified(player)
        assert verdict.divergences == ()
        assert verdict.finished
        assert player.state.finished is not None and player.state.finished.outcome == "done"
        assert {"baseline", "final"} < set(player.grades)
        assert len(player.state.trajectory.attempts) == 4

    anyio.run(work)


@pytest.mark.parametrize("slots", [1, 2])
def test_slots_are_respected_and_the_clock_is_charged_the_recorded_seconds(
    stage: Stage, part: Parts, slots: int
) -> None:
    async def work() -> None:
        player = await stage.play(part(slots=slots))
        ran = await executions(player)
        for begin, _, _ in ran:
            assert sum(b <= begin + 1e-9 < e - 1e-9 for b, e, _ in ran) <= slots
        charged = sum(done.cpu_seconds for _, _, done in ran)
        assert player.state.ledger.execution_seconds == pytest.approx(charged)
        assert player.state.ledger.executions == len(ran) >= 5
        assert player.clock.current - 1_700_000_000.0 >= charged / slots

    anyio.run(work)


def test_a_budget_of_virtual_seconds_ends_a_run_and_cuts_what_would_take_longer(stage: Stage, part: Parts) -> None:
    async def work() -> None:
        whole = await executions(await stage.play(part()))
        first = min(done.seconds for _, _, done in whole)
        player = await stage.play(part(steps=50, seconds=round(2.5 * first, 3)))
        assert player.state.trajectory.active <= 2.5 * first + 60.0
        assert all(end - 1_700_000_000.0 <= 2.5 * first + 0.1 for _, end, _ in await executions(player))
        assert len(player.state.trajectory.attempts) < 50
        assert (await verified(player)).divergences == ()

    anyio.run(work)


def test_an_execution_that_may_take_less_than_it_took_is_one_stopped_by_its_time(stage: Stage, part: Parts) -> None:
    async def work() -> None:
        from gome.plugins.bench.world.asking import answered, key_of

        player = await stage.play(part())
        codec, started = player.state.codec, player.state.started
        assert started is not None
        asked = [
            event.payload
            for sealed in await records(player)
            for event in codec.commit(sealed).events
            if isinstance(event.payload, ExecutionRequested)
        ]
        found = stage.store.find(key_of(codec, asked[0], started.task))
        assert found is not None
        limits = msgspec.structs.replace(asked[0].limits, seconds=found.seconds / 2)
        short = msgspec.structs.replace(asked[0], limits=limits)
        assert key_of(codec, short, started.task) == found.key
        done = answered(codec, found, short).payload
        assert isinstance(done, ExecutionFinished)
        assert (done.ok, done.failure, done.seconds) == (False, "time", found.seconds / 2)

    anyio.run(work)


def test_two_searches_share_what_both_execute(stage: Stage, part: Parts) -> None:
    async def work() -> None:
        await stage.play(part())
        before = stage.hands.performed
        other = await stage.play(part(gradient={"scheduler": "puct"}))
        assert stage.hands.performed - before < other.state.ledger.executions

    anyio.run(work)


def test_a_world_of_a_file_says_what_it_does_not_hold(stage: Stage, part: Parts, tmp_path: Path) -> None:
    async def work() -> None:
        await stage.play(part())
        stage.store.write(tmp_path / "w.world", stage.store.used, [(part().task, 0)])
        store = Store(None, {})
        store.load(tmp_path / "w.world")
        alone = Stage(store, tmp_path / "elsewhere", live=False)
        with pytest.raises(Missing, match="does not hold"):
            await alone.play(part(seed=99))
        with pytest.raises(Missing, match="split seed 5"):
            await alone.play(msgspec.structs.replace(part(), split_seed=5))

    anyio.run(work)


def test_stopping_early_is_refused_since_an_answer_must_hold_for_every_run(stage: Stage, part: Parts) -> None:
    async def work() -> None:
        with pytest.raises((UsageError, ExceptionGroup)) as caught:
            await stage.play(part(steps=6, seed=2, sandbox={"stop_early": True}))
        error = caught.value
        assert isinstance(error, UsageError) or error.subgroup(UsageError) is not None

    anyio.run(work)


def test_answers_of_other_libraries_are_not_mixed(tmp_path: Path) -> None:
    Store(tmp_path / "w", surroundings())
    with pytest.raises(UsageError, match="another lightgbm"):
        Store(tmp_path / "w", {**surroundings(), "lightgbm": "0.1"})


def test_what_is_no_world_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x.world").write_text("nothing of the kind")
    with pytest.raises(UsageError, match="no file of a recorded world"):
        Store(None, {}).load(tmp_path / "x.world")
    (tmp_path / "x.world").write_bytes(lzma.compress(b'{"format":1,"environment":{}}\n' * 9)[:-9])
    with pytest.raises(UsageError, match="it is cut short"):
        Store(None, {}).load(tmp_path / "x.world")
    with pytest.raises(UsageError, match=r"cannot read the world .*: No such file or directory$"):
        Store(None, {}).load(tmp_path / "y.world")
