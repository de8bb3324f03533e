"""Real processes, really killed: a run on the embedded server that dies after any commit goes on and verifies."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from gome.events import StepPlanned
from gome.kernel.connect import connect
from gome.kernel.discovery import codec_for
from gome.kernel.replay import Verifier
from gome.kernel.settings import Settings
from tests.crash.driver import PLUGINS

ROOT = Path(__file__).parents[2]


def drive(home: Path, run: str, *how: str) -> int:
    """Run the driver and return how it ended."""
    command = [sys.executable, "-m", "tests.crash.driver", str(home), run, *how]
    return subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode


def check(home: Path, run: str) -> None:
    """The log verifies, each intent has one result, no step was planned twice, nothing is left in the spool."""

    async def look() -> None:
        async with connect(Settings(home=home)) as connection:
            codec = codec_for(PLUGINS)
            verifier = Verifier(run, codec, PLUGINS, connection.artifacts.text, connection.artifacts)
            verdict = await verifier.run(connection.log.read(run))
            assert verdict.ok, [d.sentence(run) for d in verdict.divergences]
            assert verdict.finished
            events = [e async for s in connection.log.read(run) for e in codec.commit(s).events]
            results = ("ExecutionFinished", "SubmissionScored", "EffectFailed")
            intents = [e.id for e in events if e.type in ("ExecutionRequested", "ScoreRequested")]
            assert Counter(e.cause for e in events if e.type in results) == Counter(intents)
            steps = [e.payload.attempt for e in events if isinstance(e.payload, StepPlanned)]
            assert len(steps) == len(set(steps)) == 4
            assert connection.spool.runs() == []

    anyio.run(look)


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8, 12, 17, 21])
def test_a_run_killed_after_a_commit_and_resumed_answers_each_intent_once(after: int, tmp_path: Path) -> None:
    assert drive(tmp_path, "r", str(after)) == -signal.SIGKILL
    assert drive(tmp_path, "r") == 0
    check(tmp_path, "r")


def test_a_run_killed_again_and_again_still_ends(tmp_path: Path) -> None:
    ends = []
    while not ends or ends[-1] == -signal.SIGKILL:
        ends.append(drive(tmp_path, "r", "6"))
    assert ends[-1] == 0 and len(ends) > 3
    check(tmp_path, "r")


def test_a_result_that_was_spooled_before_the_crash_is_not_worked_for_again(tmp_path: Path) -> None:
    assert drive(tmp_path, "r", "2", "performed") == -signal.SIGKILL
    assert drive(tmp_path, "r") == 0
    check(tmp_path, "r")
    performed = [f.read_text() for f in (tmp_path / "work" / "r").glob("*/performed")]
    assert len(performed) == 4 and "x" in performed
    assert sum(map(len, performed)) <= 5, "at most the effect that was in flight beside the spooled one is repeated"
