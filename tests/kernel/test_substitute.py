"""Substitute mode: a recorded run, run again without performing anything, writes the same log."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gome.events import Payload, Sealed, StepPlanned
from gome.kernel.discovery import codec_for
from gome.kernel.errors import Diverged
from gome.kernel.log_memory import MemoryLog
from gome.kernel.substitute import substitute
from gome.kernel.testing import MemoryArtifacts, drive, open_run, pure, start
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy
from tests.recorded import corpus

pytestmark = pytest.mark.anyio


async def recorded(steps: int = 5) -> tuple[list[Sealed], MemoryArtifacts]:
    """A toy run, driven to its end."""
    time, store = VirtualTime(), MemoryArtifacts()
    log = MemoryLog(clock=time.now)
    live = await open_run(log, "toy", toy.PLUGINS, store, time)
    await start(live, toy.started(steps=steps))
    await drive(live, toy.world, time)
    return [s async for s in log.read("toy")], store


async def stream(records: list[Sealed]):  # type: ignore[no-untyped-def]
    for sealed in records:
        yield sealed


async def test_a_run_that_is_run_again_writes_the_same_bytes() -> None:
    records, store = await recorded()
    written: list[bytes] = []
    plugins = toy.PLUGINS
    again = await substitute(
        stream(records), "toy", codec_for(plugins), plugins, store.text, lambda s: written.append(s.stored)
    )
    assert written == [s.stored for s in records]
    assert again.state.head.hash == records[-1].hash
    assert again.decisions > 0 and again.answers > 0


async def test_running_again_touches_no_file_socket_or_process() -> None:
    records, store = await recorded()
    plugins = toy.PLUGINS
    await substitute(stream(records), "toy", codec_for(plugins), plugins, store.text)  # imports happen here
    with pure():
        await substitute(stream(records), "toy", codec_for(plugins), plugins, store.text)


async def test_a_changed_decider_is_named_with_both_values() -> None:
    records, store = await recorded()

    def decide(state, event, draw):  # type: ignore[no-untyped-def]
        said: list[Payload] = list(toy.search.decide(state, event, draw))
        return [msgspec.structs.replace(p, trace=7) if isinstance(p, StepPlanned) else p for p in said]

    changed = replace(toy.search, decide=decide)
    plugins = [changed if p.name == toy.search.name else p for p in toy.PLUGINS]
    with pytest.raises(Diverged, match=r"decider toy-search: .*trace was recorded as 0, computed now 7"):
        await substitute(stream(records), "toy", codec_for(plugins), plugins, store.text)


@pytest.mark.parametrize("name", corpus.names())
async def test_recorded_runs_of_every_release_are_written_the_same_again(name: str) -> None:
    found = await corpus.load(name)
    plugins = found.plugins
    again = await substitute(stream(list(found.records)), found.run, codec_for(plugins), plugins, found.texts.get)  # type: ignore[arg-type]
    assert again.records == len(found.records)
    assert again.state.head.hash == found.records[-1].hash
