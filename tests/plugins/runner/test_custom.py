"""A runner from one function: everything about an execution but its start, as packages of others use it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gome.events import ExecutionFinished, ExecutionRequested, RunStarted, Text
from gome.kernel.errors import SandboxUnavailable
from gome.kernel.plugin import Plugin, Result
from gome.kernel.rehearsal import recorded
from gome.kernel.testing import conform
from gome.plugins.runner.sandbox import decide
from gome.plugins.runner.sandbox.custom import Ended, Job, Ran, runner
from tests.architecture.tree import ROOT

pytestmark = pytest.mark.anyio


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of another runner: a few of the sandbox's, with a default of its own, and one more."""

    memory_mb: int = 99
    seconds: float = 5.0
    planet: str = "earth"


class Plain:
    """Starts programs as they are, and remembers what it was asked."""

    def __init__(self, stop: Any = "") -> None:
        self.stop = stop
        self.asked: list[tuple[str, Job]] = []

    async def clear(self, job: Job) -> None:
        self.asked.append(("clear", job))

    async def run(self, job: Job) -> Ran:
        self.asked.append(("run", job))
        found = sorted(str(path.relative_to(job.folder)) for path in job.folder.rglob("*") if path.is_file())
        (job.folder / "found").write_text("\n".join(found))
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=job.box, env=dict(job.env), capture_output=True, text=True, check=False
        )
        ended = Ended(done.returncode, 0, 1.5, 0.5, 10.0, self.stop, done.stdout, done.stderr)
        return Ran(ended, {"planet": job.settings["planet"]})

    def plugin(self) -> Plugin:
        return runner("plain", self.run, clear=self.clear, settings=Table)


@pytest.fixture
def perform(bench: Any, make_event: Any) -> Any:
    """Performs an execution with a runner."""

    async def performed(plain: Plain, program: str, deadline: float | None = None, **fields: Any) -> ExecutionFinished:
        wanted = {"attempt": "a1", "purpose": "full", "seed": 7, "partition": 2, "limits": bench.limits}
        intent = ExecutionRequested(program=Text.of(program), inputs=bench.inputs, **{**wanted, **fields})
        event = make_event(intent, "c" * 32)
        context = replace(bench.context(event), settings={"planet": "mars"}, deadline=deadline)
        plugin = plain.plugin()
        assert plugin.perform is not None
        result = await plugin.perform(event, context)
        assert isinstance(result, Result) and isinstance(result.payload, ExecutionFinished)
        assert result.cost is not None and result.cost.seconds == 1.5
        return result.payload

    return performed


async def test_a_program_finds_its_folder_and_what_it_leaves_is_collected(perform: Any, outputs: str) -> None:
    plain = Plain()
    done = await perform(plain, f"{outputs}\nimport os\nprint(os.environ['GOME_SEED'], os.environ['HOME'])")
    assert done.ok, done.error
    assert str(done.stdout).split() == ["7", "/work"]
    assert set(done.outputs) == {"oof.csv", "submission.csv"}
    assert (done.versions, done.device, done.peak_mb) == ({"planet": "mars"}, "cpu", 10.0)
    assert [what for what, _ in plain.asked] == ["clear", "run"]
    job = plain.asked[-1][1]
    assert (job.folder / "found").read_text().splitlines() == [
        "box/program.py",
        "input/folds.csv",
        "input/sample_submission.csv",
        "input/test.csv",
        "input/train.csv",
    ]
    assert "PATH" not in job.env and job.settings == {"planet": "mars"}


async def test_a_finished_execution_is_collected_without_asking_the_runner(perform: Any, outputs: str) -> None:
    plain = Plain()
    program = f"{outputs}\nimport os\nprint(os.urandom(8))"
    first = await perform(plain, program)
    assert await perform(plain, program) == first
    assert len(plain.asked) == 2


async def test_one_that_was_called_off_is_run_again(perform: Any, outputs: str) -> None:
    assert (await perform(Plain(stop="cancelled"), outputs)).failure == "cancelled"
    assert (await perform(Plain(), outputs)).ok


async def test_how_it_ended_is_classified_as_the_sandbox_does(perform: Any) -> None:
    done = await perform(Plain(), "import nothing_of_that_name")
    assert (done.failure, done.exit_code) == ("import", 1)


async def test_the_time_that_the_run_has_left_is_the_limit(perform: Any, outputs: str) -> None:
    plain = Plain()
    await perform(plain, outputs, deadline=2.5)
    assert plain.asked[-1][1].limits.seconds == 2.5


async def test_what_the_runner_raises_is_raised(bench: Any, perform: Any, outputs: str) -> None:
    plain = Plain()

    async def refuse(job: Job) -> Ran:
        raise SandboxUnavailable("no planet here")

    plain.run = refuse  # type: ignore[method-assign]
    with pytest.raises(SandboxUnavailable, match="no planet"):
        await perform(plain, outputs)


def test_it_decides_as_the_sandbox_does_by_its_own_table(bench: Any, make_event: Any) -> None:
    plugin = Plain().plugin()
    history = recorded(str(ROOT / "tests" / "recorded" / "ames-0.1.0" / "run.jsonl"))
    assert conform(plugin, history) > 0
    started = RunStarted(task=bench.task, seed=1, plugins=(), settings={"plain": {"seconds": 3.0}, "sandbox": {}})
    state: decide.State = plugin.evolve(plugin.initial(), make_event(started))
    assert (state.settings.memory_mb, state.settings.seconds, state.settings.debug_seconds) == (99, 3.0, 120.0)


def test_its_pin_covers_the_decider_and_the_package_of_its_author() -> None:
    assert Plain().plugin().modules == (Plain.run.__module__.partition(".")[0], "gome.plugins.runner.sandbox")
