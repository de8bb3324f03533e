"""Behaviour flags: a decider that has changed decides old runs as it did, new ones as it does, and says which."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gome.events import AttemptAccepted, Draw, Event, Payload, PluginPin, RunStarted
from gome.kernel.discovery import codec_for, pin
from gome.kernel.lifecycle import lifecycle
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.substitute import substitute
from gome.kernel.testing import Killed, MemoryArtifacts, conform, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Judge:
    inner: Any
    louder: bool = False


def _evolve(state: Judge, event: Event) -> Judge:
    if isinstance(event.payload, RunStarted):
        state.louder = "louder" in event.payload.flags_of("toy-judge")
    else:
        state.inner = toy.judge.evolve(state.inner, event)
    return state


def _decide(state: Judge, event: Event, draw: Draw) -> list[Payload]:
    said = toy.judge.decide(state.inner, event, draw)
    if not state.louder:
        return list(said)
    return [msgspec.structs.replace(p, reason="IT RAN") if isinstance(p, AttemptAccepted) else p for p in said]


newer = dataclasses.replace(
    toy.judge,
    version="2",
    flags=("louder",),
    reads=(RunStarted, *toy.judge.reads),
    answers=toy.judge.reads,
    initial=lambda: Judge(toy.judge.initial()),
    evolve=_evolve,
    decide=_decide,
)
OLD = toy.PLUGINS
NEW = tuple(newer if p.name == "toy-judge" else p for p in OLD)
# As a newer version that has forgotten what it did before.
FORGETFUL = tuple(
    dataclasses.replace(newer, evolve=lambda s, e: Judge(_evolve(s, e).inner, True)) if p is newer else p for p in NEW
)


class Bench:
    """A log in memory with what belongs to it."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.artifacts = MemoryArtifacts()
        self.log = MemoryLog(clock=self.time.now)

    async def go(self, plugins: tuple[Plugin, ...], stop_after: int | None = None) -> list[str]:
        """Start the run, or go on with it; returns the judge's reasons."""
        live = await open_run(self.log, "r", plugins, self.artifacts, self.time)
        pins: tuple[PluginPin, ...] = tuple(pin(p) for p in plugins)
        await start(live, replace(toy.started(), plugins=pins))
        await drive(live, toy.world, self.time, stop_after=stop_after)
        return [a.reason for a in live.state.trajectory.accepted_attempts()]

    async def verify(self, plugins: tuple[Plugin, ...], log: MemoryLog | None = None) -> Verdict:
        records = (log or self.log).read("r")
        return await Verifier("r", codec_for(plugins), plugins, self.artifacts.text).run(records)

    async def flags(self) -> dict[str, set[tuple[str, ...]]]:
        """The flags in the records, by who decided or performed."""
        found: dict[str, set[tuple[str, ...]]] = {}
        async for sealed in self.log.read("r"):
            found.setdefault(sealed.body.decider, set()).add(sealed.body.flags)
        return found


async def test_a_run_of_an_older_version_verifies_with_a_newer_one_that_keeps_the_old_behaviour() -> None:
    bench = Bench()
    assert set(await bench.go(OLD)) == {"it ran"}
    assert (await bench.verify(NEW)).ok
    (found,) = (await bench.verify(FORGETFUL)).divergences
    assert found.decider == "toy-judge" and found.computed == "IT RAN"


async def test_a_run_of_the_newer_version_records_its_flag_and_verifies_with_the_new_behaviour() -> None:
    bench = Bench()
    assert set(await bench.go(NEW)) == {"IT RAN"}
    wanted = {"toy-judge": ("louder",), "lifecycle": lifecycle.flags}
    assert await bench.flags() == {name: {wanted.get(name, ())} for name in await bench.flags()}
    verdict = await bench.verify(NEW)
    assert verdict.ok and verdict.finished
    assert not (await bench.verify(OLD)).ok


async def test_a_run_that_is_taken_up_by_a_newer_version_goes_on_as_it_began() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(OLD, stop_after=12)
    assert set(await bench.go(NEW)) == {"it ran"}
    assert (await bench.flags())["toy-judge"] == {()}
    assert (await bench.verify(NEW)).ok and (await bench.verify(OLD)).ok


async def test_flags_that_were_not_in_force_are_a_divergence() -> None:
    bench = Bench()
    await bench.go(NEW)
    forged = MemoryLog(clock=bench.time.now)
    live = await open_run(forged, "r", (), bench.artifacts, bench.time)
    async for sealed in bench.log.read("r"):
        body = sealed.body
        said = [
            live.state.codec.saying(e.id, e.payload, cause=e.cause, corr=e.corr)  # type: ignore[arg-type]
            for e in live.state.codec.commit(sealed, bench.artifacts.text).events
        ]
        draft = live.scribe.draft(body.lane, body.decider, body.answers, said, seen=body.seen)
        await live.commit(replace(draft, role=body.role))
    (found,) = (await bench.verify(NEW, forged)).divergences
    assert (found.decider, found.path, found.recorded, found.computed) == ("toy-judge", "flags", [], ["louder"])


async def test_what_is_written_again_carries_the_same_flags() -> None:
    bench = Bench()
    await bench.go(NEW)
    done = await substitute(bench.log.read("r"), "r", codec_for(NEW), NEW, bench.artifacts.text)
    assert done.state.head.hash == (await bench.log.head("r")).hash


@pytest.mark.parametrize("plugins", [OLD, NEW], ids=["old", "new"])
async def test_the_conformance_kit_gives_a_decider_its_flags(plugins: tuple[Plugin, ...]) -> None:
    bench = Bench()
    await bench.go(plugins)
    assert conform(newer, [s async for s in bench.log.read("r")]) > 0
