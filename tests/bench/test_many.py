"""One run among many: `gome show` in a log of ten thousand runs, and what goes over all of them. Real processes.

`GOME_BENCH_RUNS` sets the number of runs (default 10,000): twenty are whole toy runs, all others have two records.
Figures are ratios to their limit: one second for `gome show`, and the rate of verifying for `gome verify --all`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from gome.events import ROOT, Head, RunStarted, StopRequested, command_id, event_id
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for
from gome.kernel.log import EventLog
from gome.kernel.settings import Settings
from tests.kernel import recorded

pytestmark = pytest.mark.bench
RUNS = int(os.environ.get("GOME_BENCH_RUNS", "10000"))  # read before tests are cut off from the environment
WHOLE = 20


async def fill(home: Path, runs: int) -> None:
    """Write so many runs into the home's log."""
    async with connect(Settings(home=home)) as c:
        for number in range(WHOLE):
            await recorded.record(c, f"whole-{number:02d}")
        limit, started = anyio.CapacityLimiter(64), recorded.first_event()
        async with anyio.create_task_group() as group:
            for number in range(runs - WHOLE):
                await limit.acquire_on_behalf_of(number)
                group.start_soon(_begin, c, f"small-{number:05d}", started, limit, number)


async def _begin(c: Connection, run: str, started: RunStarted, limit: anyio.CapacityLimiter, number: int) -> None:
    log: EventLog = c.log
    codec = codec_for(())
    scribe = Scribe(run, codec, c.artifacts, "bench")
    id = event_id(ROOT, "client", 0)
    first = scribe.draft("control", "client", ROOT, [codec.saying(id, started, corr=id)])
    head = (await log.append(first, Head(run))).head
    said = codec.saying(command_id("n"), StopRequested(reason="bench"))
    await log.append(scribe.draft("control", "client", "n", [said]), head)
    limit.release_on_behalf_of(number)


def timed(environment: dict[str, str], *arguments: str) -> float:
    """Seconds that a command takes in a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "gome.kernel.cli", *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def test_one_run_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    home = tmp_path / "home"
    began = time.perf_counter()
    anyio.run(fill, home, RUNS)
    print(f"\n{RUNS:,} runs written in {time.perf_counter() - began:.1f} s")
    path = f"{tmp_path / 'site'}:{Path.cwd()}"
    environment = {**os.environ, "GOME_HOME": str(home), "PYTHONPATH": path}

    async def alone() -> None:
        async with connect(Settings(home=home)):
            for verb in (("show", "whole-07"), ("replay", "whole-07", "--until", "20"), ("verify", "whole-07")):
                taken = sorted([await anyio.to_thread.run_sync(timed, environment, *verb) for _ in range(5)])
                print(f"gome {verb[0]} of one: median {taken[2]:.2f} s (limit 1.00: ratio {taken[2]:.2f})")
            tables = ("trajectory", "--all", "--format", "parquet", "--out", str(tmp_path / "t.parquet"))
            for verb in (("verify", "--all"), tables):
                seconds = await anyio.to_thread.run_sync(timed, environment, *verb)
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                print(f"gome {verb[0]} --all: {seconds:.1f} s, {RUNS / seconds:,.0f} runs/s, peak so far {peak:.0f} MB")

    anyio.run(alone)
