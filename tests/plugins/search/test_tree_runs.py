"""Whole runs of the tree searches with the other default plugins in a recorded world: they end, they verify, their
deciders are pure, and they go on after a crash as if nothing had been."""

from __future__ import annotations

from typing import Any

import pytest

from gome.events import Budget, RunStarted, Sealed, StepPlanned
from gome.kernel.discovery import choose, discover, plugin_of
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.profiles import find_profile
from gome.kernel.replay import Verifier
from gome.kernel.settings_plugins import plugin_settings
from gome.kernel.state import RunState
from gome.kernel.testing import Killed, MemoryArtifacts, conform, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from gome.plugins.search.tree import PLUGINS
from tests.plugins.reasoner.playbook.playing import task_of
from tests.plugins.whole import World
from tests.recorded import corpus

pytestmark = pytest.mark.anyio

NAMES = [plugin.name for plugin in PLUGINS]


def chosen(search: str) -> list[Plugin]:
    """The default plugins with another search."""
    return list(choose(discover(), {"search": search}, extra=["baseline"]))


async def played(search: str, *, steps: int, stops: int | None = None) -> tuple[RunState, list[Sealed]]:
    """Play a run to its end, killed after so many commits of each life; asserts that its log verifies."""
    started = RunStarted(task=task_of(), seed=7, budget=Budget(steps=steps), capacity=2, settings={search: {}})
    plugins, log, artifacts, time = chosen(search), MemoryLog(), MemoryArtifacts(), VirtualTime()
    world = World(started)
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
async def test_a_run_ends_with_its_budget_and_verifies(search: str) -> None:
    state, records = await played(search, steps=10)
    assert state.finished is not None and state.finished.outcome == "done"
    assert len(state.trajectory.attempts) == 10 and not state.trajectory.undecided
    plugin = plugin_of(discover(), "search", search)
    assert conform(plugin, records) >= 9


async def test_a_run_that_is_killed_again_and_again_comes_out_the_same() -> None:
    whole, _ = await played("mlevolve", steps=10)
    pieces, _ = await played("mlevolve", steps=10, stops=11)
    assert state_digest(whole) == state_digest(pieces)


@pytest.mark.parametrize("name", corpus.names())
async def test_deciders_are_pure_on_recorded_runs_of_another_search(name: str) -> None:
    found = await corpus.load(name)
    for plugin in PLUGINS:
        assert conform(plugin, found.records) > 0


@pytest.mark.parametrize("search", [n for n in NAMES if n != "random"])
def test_each_published_search_has_a_profile_of_its_released_code(search: str) -> None:
    profile: dict[str, Any] = find_profile(f"{search}-released")
    plugin = plugin_of(discover(), "search", search)
    assert profile["search"] == search and plugin.settings is not None
    table = plugin_settings(search, plugin.settings, profile[search])
    assert table.scaled is False and getattr(table, "variant", "released") == "released"


async def test_steps_name_the_scope_that_they_are_shown() -> None:
    _, records = await played("aira-evo", steps=8)
    codec = (await played("aira-greedy", steps=3))[0].codec
    contexts = {
        e.payload.context for s in records for e in codec.commit(s).events if isinstance(e.payload, StepPlanned)
    }
    assert "aira.draft" in contexts and contexts <= {"aira.draft", "aira.improve", "aira.crossover", "aira.debug"}
