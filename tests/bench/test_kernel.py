"""Kernel overhead per step and verify rate, on the embedded server, as ratios to what the same server does bare.

Overhead per step = step time − commits × append p50 of the same run: what the kernel adds to the log's own time.
Effects are instant. `GOME_BENCH_STEPS` sets the number of steps (default 1,000; the issue's figure is taken at 5,000).
"""

from __future__ import annotations

import gc
import itertools
import os
import secrets
import statistics
import time
from pathlib import Path

import anyio
import pytest

from gome.events import AttemptAccepted, Commit, RunStarted, StepPlanned
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for
from gome.kernel.live import LiveRun
from gome.kernel.pools import CorePool
from gome.kernel.replay import Verifier
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.snapshot import Camera, Snapshots, restored
from gome.kernel.state import RunState
from gome.kernel.testing import start
from gome.kernel.workshop import Workshop
from tests.bench.steps import plugins
from tests.kernel.toy import TASK

pytestmark = pytest.mark.bench
STEPS = int(os.environ.get("GOME_BENCH_STEPS", "1000"))  # read before tests are cut off from the environment


class Timed:
    """A log that notes how long each append takes."""

    def __init__(self, log: object) -> None:
        self._log = log
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def append(self, draft: object, head: object) -> object:
        began = time.perf_counter()
        sealed = await self._log.append(draft, head)  # type: ignore[attr-defined]
        self.seconds.append(time.perf_counter() - began)
        return sealed


async def measure(home: Path, steps: int) -> None:
    """Drive one run of so many steps, print the figures, verify it and print the rate."""
    said = plugins(steps)
    codec = codec_for(said)
    async with connect(Settings(home=home)) as c:
        log = Timed(c.log)
        state = RunState("bench", codec, said, c.artifacts.text)
        live = LiveRun(log, state, Scribe("bench", codec, c.artifacts, "bench"), c.time)  # type: ignore[arg-type]
        began: list[tuple[float, int]] = []
        ends: list[tuple[float, int]] = []

        def watch(commit: Commit) -> None:
            for event in commit.events:
                if isinstance(event.payload, StepPlanned):
                    began.append((time.perf_counter(), len(log.seconds)))
                if isinstance(event.payload, AttemptAccepted):
                    ends.append((time.perf_counter(), len(log.seconds)))
                    if len(ends) == steps:
                        session.suspend("measured")

        live.observers.append(watch)
        await start(live, RunStarted(task=TASK, seed=1))
        shop = Workshop(said, c.artifacts, home, c.spool, CorePool(2), lambda r, i: None, "bench")  # type: ignore[arg-type, return-value]
        session = Session(live, shop)
        snapshots = Snapshots(home / "snapshots")
        session.camera = Camera(snapshots, state)
        await session.drive(lambda: secrets.token_hex(8))

        raw = [1000 * (b[0] - a[0]) for a, b in itertools.pairwise(began)]
        commits = [b[1] - a[1] for a, b in itertools.pairwise(began)]
        overhead = []
        for i, (ms, n) in enumerate(zip(raw, commits, strict=True)):
            near = log.seconds[max(0, began[i][1] - 300) : began[i][1] + 300]
            overhead.append(ms - n * 1000 * statistics.median(near))
        early, late = statistics.median(overhead[25:75]), statistics.median(overhead[-50:])
        early_raw, late_raw = statistics.median(raw[25:75]), statistics.median(raw[-50:])
        print(f"\nsteps {steps}, commits a step {statistics.median(commits):.0f}")
        print(f"append p50 {1000 * statistics.median(log.seconds):.3f} ms")
        print(
            f"raw step: median {statistics.median(raw):.2f} ms; near step 50 {early_raw:.2f}, at the end {late_raw:.2f}"
        )
        median = statistics.median(overhead)
        print(f"overhead: median {median:.2f} ms (limit 5.00: ratio {median / 5:.2f})")
        print(f"overhead near step 50 {early:.2f} ms, at the end {late:.2f} ms: ratio {late / early:.2f} (limit 1.20)")

        bare = time.perf_counter()
        events = sum([s.body.n async for s in c.log.read("bench")])
        bare = time.perf_counter() - bare
        # `gome verify` holds no run that it has driven: here the collector would walk through it time and again. How
        # often it walks is what the command line sets.
        gc.freeze()
        often = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)
        began_at = time.perf_counter()
        verdict = await Verifier("bench", codec, said, c.artifacts.text).run(c.log.read("bench"))
        taken = time.perf_counter() - began_at
        gc.unfreeze()
        gc.set_threshold(*often)
        assert verdict.ok, [d.sentence("bench") for d in verdict.divergences]
        rate, limit = verdict.events / taken, events / bare
        await measure_snapshot(c, snapshots, state, taken)
        print(f"verify {rate:,.0f} events/s of {limit:,.0f} events/s bare reading: ratio {rate / limit:.2f}")


async def measure_snapshot(c: Connection, snapshots: Snapshots, state: RunState, verify: float) -> None:
    """Print what a snapshot of the whole run costs, and what it saves beside verifying the run."""
    plugins = [cursor.plugin for cursor in state.cursors]
    began = time.perf_counter()
    content = snapshots.take(state)
    taken = time.perf_counter() - began
    snapshots.put(state.run, content)
    began = time.perf_counter()
    found = await restored(
        snapshots, c.log, plugins, lambda: RunState(state.run, state.codec, plugins, c.artifacts.text)
    )
    restoring = time.perf_counter() - began
    assert found.head == state.head
    print(f"snapshot: {len(content) / 1e6:.1f} MB, taken in {1000 * taken:.0f} ms")
    print(f"restored in {1000 * restoring:.0f} ms; ratio to verifying the run {restoring / verify:.2f}")


def test_overhead_per_step_and_verify_rate(tmp_path: Path) -> None:
    gc.set_threshold(50_000, 20, 100)  # as the command line does
    anyio.run(measure, tmp_path, STEPS)
