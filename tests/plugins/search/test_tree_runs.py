"""Whole runs of the tree searches with the other default plugins in a recorded world: they end, they verify, their
deciders are pure, and they go on after a crash as if nothing had been."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gome.events import Budget, RunForked, RunStarted, Sealed, StepPlanned
from gome.kernel.appender import Scribe
from gome.kernel.discovery import choose, codec_for, discover, pin, plugin_of
from gome.kernel.fork import WholeLog, descent
from gome.kernel.forking import begin, place
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.profiles import find_profile
from gome.kernel.replay import Verifier
from gome.kernel.settings_plugins import plugin_settings
from gome.kernel.snapshot import Snapshots
from gome.kernel.state import RunState
from gome.kernel.testing import Killed, MemoryArtifacts, conform, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from gome.kernel.whatif import points
from gome.plugins.search.tree import PLUGINS
from tests.plugins.reasoner.playbook.playing import task_of
from tests.plugins.test_steps_of_trees import FAILURES, Rough
from tests.plugins.whole import World
from tests.recorded import corpus

pytestmark = pytest.mark.anyio

NAMES = [plugin.name for plugin in PLUGINS]
KINDS = ("draft", "improve", "debug", "evolution", "fusion")


def chosen(search: str) -> list[Plugin]:
    """The default plugins with another search."""
    return list(choose(discover(), {"search": search}, extra=["baseline"]))


async def played(search: str, *, steps: int, stops: int | None = None) -> tuple[RunState, list[Sealed]]:
    """Play a run in which some programs fail to its end, killed after so many commits of each life; asserts that its
    log verifies."""
    plugins, log, artifacts, time = chosen(search), MemoryLog(), MemoryArtifacts(), VirtualTime()
    started = RunStarted(
        task=task_of(),
        seed=7,
        budget=Budget(steps=steps),
        capacity=2,
        plugins=tuple(map(pin, plugins)),
        settings={search: {}},
    )
    world = Rough(started)
    live = await open_run(log, "r", plugins, artifacts, time)
    await start(live, started)
    while True:
        try:
            await drive(live, world, time, stop_after=stops)
            break
        except Killed:
            live = await open_run(log, "r", plugins, artifacts, time)
    records = [sealed async for sealed in log.read("r")]
    verifier = Verifier("r", live.state.codec, plugins, artifacts.text)
    for sealed in records:
        verifier.take(sealed)
    assert verifier.verdict().ok, verifier.verdict().divergences
    return live.state, records


@pytest.mark.parametrize("search", NAMES)
async def test_a_run_ends_with_its_budget_verifies_and_can_be_kept_in_a_snapshot(search: str, tmp_path: Path) -> None:
    state, records = await played(search, steps=10)
    assert state.finished is not None and state.finished.outcome == "done"
    assert len(state.trajectory.attempts) == 10 and not state.trajectory.undecided
    for attempt in state.trajectory.attempts.values():
        assert attempt.kind != "debug" or state.trajectory.attempts[attempt.parent].failure
        assert attempt.failure in ("", *FAILURES), attempt.reason
    plugin = plugin_of(discover(), "search", search)
    assert conform(plugin, records) >= 9
    snapshots, again = Snapshots(tmp_path), RunState("r", state.codec, chosen(search))
    snapshots.put("r", snapshots.take(state))
    assert snapshots.restore(again, chosen(search))
    before, after = (next(c.state for c in s.cursors if c.plugin.name == search) for s in (state, again))
    assert before == after and before is not after


async def test_a_run_that_is_killed_again_and_again_comes_out_the_same() -> None:
    whole, _ = await played("mlevolve", steps=10)
    pieces, _ = await played("mlevolve", steps=10, stops=40)
    assert state_digest(whole) == state_digest(pieces)


async def test_improvements_and_repairs_of_mlevolve_are_told_of_a_few_attempts_by_fused_rank() -> None:
    state, _ = await played("mlevolve", steps=16)
    told = {kind: [a.recollections for a in state.trajectory.attempts.values() if a.kind == kind] for kind in KINDS}
    assert not any(told["draft"]) and not any(told["evolution"])
    assert max(map(len, told["improve"])) in (3, 4) and max(map(len, told["debug"])) in (1, 2)
    weights = [r.weight for found in (*told["improve"], *told["debug"]) for r in found]
    assert max(weights) == pytest.approx(1 / 61, abs=1e-9) and min(weights) > 1 / 80


@pytest.mark.parametrize("name", corpus.names())
async def test_deciders_are_pure_on_recorded_runs_of_another_search(name: str) -> None:
    found = await corpus.load(name)
    for plugin in PLUGINS:
        assert conform(plugin, found.records) > 0


@pytest.mark.parametrize("search", NAMES)
def test_each_search_has_a_profile_of_its_released_and_one_of_its_repaired_form(search: str) -> None:
    plugin = plugin_of(discover(), "search", search)
    assert plugin.settings is not None
    for variant in ("released", "repaired"):
        profile: dict[str, Any] = find_profile(f"{search}-{variant}")
        assert profile["search"] == search and set(profile) <= {"search", search}
        table = plugin_settings(search, plugin.settings, profile.get(search, {}))
        assert getattr(table, "scaled", variant == "repaired") is (variant == "repaired")
        assert getattr(table, "variant", variant) == variant
        assert (table == plugin.settings()) is (variant == "repaired" or search == "random")


async def test_steps_name_the_scope_that_they_are_shown() -> None:
    _, records = await played("aira-evo", steps=16)
    codec = (await played("aira-greedy", steps=3))[0].codec
    contexts = {
        e.payload.context for s in records for e in codec.commit(s).events if isinstance(e.payload, StepPlanned)
    }
    assert "aira.draft" in contexts and contexts <= {"aira.draft", "aira.improve", "aira.crossover", "aira.debug"}


@pytest.mark.parametrize("search", ["aide", "aira-evo", "mlevolve"])
async def test_what_would_have_been_picked_at_an_event_is_what_a_fork_there_begins_with(search: str) -> None:
    time, artifacts = VirtualTime(), MemoryArtifacts()
    log = WholeLog(MemoryLog(clock=time.now))
    started = RunStarted(task=task_of(), seed=7, budget=Budget(steps=6), traces=2, capacity=2)
    live = await open_run(log, "parent", chosen("gradient"), artifacts, time)
    await start(live, started)
    await drive(live, World(started), time)
    verdicts = ("AttemptAccepted", "AttemptRejected")
    judged = [s.last async for s in log.read("parent") if s.body.events[0].type in verdicts]
    plugins = chosen(search)
    codec, plugin = codec_for(plugins), plugin_of(discover(), "search", search)
    for number, at in enumerate(judged[:3]):
        where = await place(log, "parent", at)
        pins = tuple(map(pin, plugins))
        forked = RunForked("parent", at, where.head.hash, replaced=(search,), settings={search: {}}, plugins=pins)
        child = f"child{number}"
        await begin(log, child, where, forked, codec, artifacts)
        state = RunState(child, codec, plugins, artifacts.text, joined=(await descent(log, child)).joined)
        forking = LiveRun(log, state, Scribe(child, codec, artifacts, "test"), time)
        await forking.load()
        with suppress(Killed):
            await drive(forking, World(started), time, stop_after=3)
        steps = [e.payload async for s in log.read(child) if s.body.seq > at for e in codec.commit(s).events]
        planned = [p for p in steps if isinstance(p, StepPlanned)]
        (point,) = [p async for p in points(log, "parent", plugin, {}, artifacts.text, codec, at=at)]
        assert planned == list(point.would) != []
