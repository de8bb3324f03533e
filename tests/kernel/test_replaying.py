"""A run as it stood at any event and time, from any log: the same fold, cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.events import Trajectory
from gome.kernel.errors import UnknownRun
from gome.kernel.frames import rows
from gome.kernel.log_file import FileLog
from gome.kernel.log_memory import MemoryLog
from gome.kernel.replaying import state_at, states
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


async def recorded(log: MemoryLog | FileLog, time: VirtualTime) -> MemoryArtifacts:
    artifacts = MemoryArtifacts()
    live = await open_run(log, "r", toy.PLUGINS, artifacts, time)
    await start(live, toy.started())
    await drive(live, toy.world, time)
    return artifacts


def shown(t: Trajectory) -> object:
    return list(rows(t)), t.best, t.finished, t.seq, t.active


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


async def test_every_moment_is_the_fold_of_what_came_before(time: VirtualTime) -> None:
    log = MemoryLog(clock=time.now)
    artifacts = await recorded(log, time)
    kept = [(m.position, m.active, m.trajectory()) async for m in states(log, "r", resolve=artifacts.text)]
    ends = [sealed.last async for sealed in log.read("r")]
    assert [position for position, _, _ in kept] == ends
    for position, active, view in kept:
        state = await state_at(log, "r", until=position, resolve=artifacts.text)
        assert shown(state.trajectory) == shown(view) and state.head.active == active
    assert kept[-1][2].finished is not None and all(view.finished is None for _, _, view in kept[:-1])


async def test_an_event_within_a_commit_is_rounded_down_and_one_behind_the_end_is_the_end(time: VirtualTime) -> None:
    log = MemoryLog(clock=time.now)
    await recorded(log, time)
    records = [sealed async for sealed in log.read("r")]
    wide = next(s for s in records if s.body.n > 1)
    assert (await state_at(log, "r", until=wide.last - 1)).head.seq == wide.body.seq - 1
    assert (await state_at(log, "r", until=10**6)).head.seq == records[-1].last


async def test_a_time_is_the_last_commit_up_to_it(time: VirtualTime) -> None:
    log = MemoryLog(clock=time.now)
    await recorded(log, time)
    records = [sealed async for sealed in log.read("r")]
    for at in sorted({s.body.active for s in records}):
        wanted = max(s.last for s in records if s.body.active <= at)
        assert (await state_at(log, "r", at=at)).head.seq == wanted
        assert (await state_at(log, "r", at=at + 1e-6)).head.seq == wanted


async def test_what_is_in_flight_at_an_event_has_no_result_yet(time: VirtualTime) -> None:
    log = MemoryLog(clock=time.now)
    await recorded(log, time)
    asked: set[str] = set()
    async for moment in states(log, "r"):
        asked |= {e.id for e in moment.commit.events if e.type.endswith("Requested") and e.id in moment.state.open}
        assert set(moment.state.open) <= asked
        assert not {e.cause for e in moment.commit.events} & set(moment.state.open)


async def test_a_log_in_a_file_gives_the_same_moments(time: VirtualTime, tmp_path: Path) -> None:
    memory = MemoryLog(clock=time.now)
    await recorded(memory, time)
    other = VirtualTime()
    file = FileLog(tmp_path / "runs", clock=other.now)
    await recorded(file, other)
    one, two = [[(m.position, shown(m.trajectory())) async for m in states(log, "r")] for log in (memory, file)]
    assert one == two


async def test_a_run_that_is_not_there_or_has_not_begun_is_named(time: VirtualTime) -> None:
    log = MemoryLog(clock=time.now)
    await recorded(log, time)
    with pytest.raises(UnknownRun, match="other"):
        await state_at(log, "other")
    with pytest.raises(UnknownRun, match="run r has no event up to there"):
        await state_at(log, "r", until=0)
