"""Recovery of many open runs after kill -9 of the server and of the process that drives them, against its limit of 5 s.

What is timed: the start of the server, and every open run at its head with its deciders' states, ready to go on. Then
all runs are driven to their ends, to see that nothing was lost or is done twice. `GOME_BENCH_RUNS` (default 1,000).
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest

from gome.events import RunStarted, StepPlanned
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for
from gome.kernel.index import RunIndex, key_of
from gome.kernel.recovery import Opened, recover
from gome.kernel.replay import Verifier
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.state import RunState
from gome.kernel.supervisor import finding
from tests.bench.recovery import STEPS, at_once, live_run, performing, workshop

pytestmark = pytest.mark.bench
ROOT = Path(__file__).parents[2]
LIMIT = 5.0
RUNS = int(os.environ.get("GOME_BENCH_RUNS", "1000"))  # read before tests are cut off from the environment
Known = dict[str, tuple[int, str, list[str]]]


def kill_all(home: Path, runs: int) -> Known:
    """Drive so many runs in another process, kill it and the server, return where the runs were."""
    command = [sys.executable, "-m", "tests.bench.recovery", str(home), str(runs)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            said = json.loads(child.stdout.readline())
            address = finding.read_address(str(home))
            assert address is not None
            os.kill(int(address["server"]["pid"]), signal.SIGKILL)
        finally:
            child.kill()
    return {run: (seq, digest, intents) for run, (seq, digest, intents) in said.items()}


async def recovered(home: Path, known: Known) -> None:
    """Recover and print the figures, then drive everything to its end and look."""
    plugins = performing(forever=False)
    codec = codec_for(plugins)
    began = time.perf_counter()
    async with connect(Settings(home=home)) as c:
        await c.log.sizes()
        server = time.perf_counter() - began

        def everyone(run: str, started: RunStarted) -> Opened:
            return RunState(run, codec, plugins, c.artifacts.text), list(plugins)

        states = await recover(c, everyone)
        due = [state.answer() for state in states.values()]
        taken = time.perf_counter() - began
        events = sum(state.events for state in states.values())
        print(f"\n{len(states)} open runs, {events} events; server back after {server:.2f} s, all after {taken:.2f} s")
        print(f"recovery: ratio {taken / LIMIT:.2f} to the limit of {LIMIT:.0f} s")
        assert {run: (s.head.seq, s.head.hash, sorted(s.open)) for run, s in states.items()} == known
        assert not any(due), "what was decided before the crash is in the log"

        began = time.perf_counter()
        with RunIndex(home / "index.sqlite", c.log) as index:
            rows = await index.rows(key_of(c))
        print(f"the index of {len(rows)} runs, from nothing: {time.perf_counter() - began:.2f} s")
        shop = workshop(c, plugins, len(states))
        sessions = [Session(live_run(c, state), shop) for state in states.values()]
        await at_once([lambda s=s: s.drive(lambda: secrets.token_hex(8), resume=True) for s in sessions])  # type: ignore[misc]
        for run in known:
            await check(c, run)
        marks = [path.read_text() for path in (home / "work").glob("*/*/performed")]
        assert marks == ["x"] * (STEPS * len(known)), "no effect was performed to its end twice"
        assert c.spool.runs() == []


async def check(c: Connection, run: str) -> None:
    """The run verifies, is finished, no step was planned twice and every intent has one result."""
    plugins = performing(forever=False)
    codec = codec_for(plugins)
    verdict = await Verifier(run, codec, plugins, c.artifacts.text, c.artifacts).run(c.log.read(run))
    assert verdict.ok and verdict.finished, [d.sentence(run) for d in verdict.divergences]
    events = [e async for s in c.log.read(run) for e in codec.commit(s).events]
    steps = Counter(e.payload.attempt for e in events if isinstance(e.payload, StepPlanned))
    assert len(steps) == STEPS and set(steps.values()) == {1}
    intents = [e.id for e in events if e.type in ("ExecutionRequested", "ScoreRequested")]
    assert Counter(e.cause for e in events if e.type in ("ExecutionFinished", "SubmissionScored")) == Counter(intents)


def test_a_thousand_open_runs_are_recovered_after_a_crash(tmp_path: Path) -> None:
    gc.set_threshold(50_000, 20, 100)  # as the command line does
    known = kill_all(tmp_path, RUNS)
    anyio.run(recovered, tmp_path, known)
