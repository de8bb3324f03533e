"""The default plugins in forks: each takes up what it finds open when it is replaced, wherever the fork was made."""

from __future__ import annotations

import pytest

from gome.events import Budget, RunForked, RunStarted
from gome.kernel.appender import Scribe
from gome.kernel.discovery import codec_for
from gome.kernel.fork import WholeLog, descent
from gome.kernel.forking import begin, place
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.replay import Verifier
from gome.kernel.state import RunState
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from tests.plugins.reasoner.playbook.playing import task_of
from tests.plugins.whole import World, plugins

pytestmark = pytest.mark.anyio

STARTED = RunStarted(task=task_of(), seed=7, budget=Budget(steps=5, seconds=900.0), traces=2, capacity=2)


class Runs:
    """A finished run `parent`, and forks of it."""

    def __init__(self) -> None:
        self.time, self.artifacts = VirtualTime(), MemoryArtifacts()
        self.log = WholeLog(MemoryLog(clock=self.time.now))

    async def record(self) -> RunState:
        live = await open_run(self.log, "parent", plugins(), self.artifacts, self.time)
        await start(live, STARTED)
        await drive(live, World(STARTED), self.time)
        assert live.state.finished is not None
        return live.state

    async def fork(self, at: int, run: str, replaced: tuple[str, ...] = (), budget: Budget | None = None) -> RunState:
        where = await place(self.log, "parent", at)
        codec, text = codec_for(plugins()), self.artifacts.text
        forked = RunForked("parent", at, where.head.hash, replaced=replaced, budget=budget)
        self.time.current = where.head.ts
        await begin(self.log, run, where, forked, codec, self.artifacts)
        joined = (await descent(self.log, run)).joined
        state = RunState(run, codec, plugins(), text, joined=joined)
        live = LiveRun(self.log, state, Scribe(run, codec, self.artifacts, "test"), self.time)
        await live.load()
        await drive(live, World(forked.amended(STARTED)), self.time)
        ancestor = Verifier("parent", codec, plugins(), text)
        verifier = Verifier(run, codec, plugins(), text, joined=joined, ancestor=ancestor if joined else None)
        verdict = await verifier.run(self.log.read(run))
        assert verdict.ok, verdict.divergences
        return state

    async def ends(self) -> list[tuple[int, set[str]]]:
        """Ends of commits, and what each commit says."""
        return [(s.last, {w.type for w in s.body.events}) async for s in self.log.read("parent")]


async def test_each_plugin_takes_up_every_step_left_open_wherever_it_is_replaced() -> None:
    runs = Runs()
    parent = await runs.record()
    ends = await runs.ends()
    planning = next(i for i, (_, said) in enumerate(ends) if "SelectionStarted" in said)
    every = tuple(p.name for p in plugins())
    for number, (at, _) in enumerate(ends[:planning:2]):
        # One plugin after the other, and now and then all of them at once.
        replaced = every if number % 4 == 0 else (every[number % len(every)],)
        state = await runs.fork(at, f"child{at}", replaced)
        what = f"forked at event {at} with other {', '.join(replaced)}"
        assert state.finished is not None and state.finished.outcome == "done", what
        assert not state.trajectory.undecided, what
        assert len(state.trajectory.attempts) == len(parent.trajectory.attempts), what


async def test_an_unchanged_fork_of_the_default_plugins_ends_as_its_parent() -> None:
    runs = Runs()
    digest = state_digest(await runs.record())
    for at, _ in (await runs.ends())[:-1:5]:
        assert state_digest(await runs.fork(at, f"child{at}")) == digest, f"forked at event {at}"


async def test_a_larger_budget_plans_more_steps_and_rings_at_its_own_time() -> None:
    runs = Runs()
    await runs.record()
    at = next(last for last, said in await runs.ends() if "AttemptAccepted" in said)
    more = Budget(steps=8, seconds=1800.0)
    state = await runs.fork(at, "more", tuple(p.name for p in plugins()), more)
    assert state.finished is not None and len(state.trajectory.attempts) == 8
    assert state.ledger.budget == more and state.trajectory.started is not None
    assert state.trajectory.started.budget == more
