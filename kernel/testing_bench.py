"""What the conformance kit of runners works with: a bench that performs one execution, and questions about its end.

Used by the modules of the kit (`gome.kernel.testing_runner` names them) and by nobody else. It needs Linux's /proc to
see what of a program is still alive.
"""

from __future__ import annotations

import os
import secrets
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gome.events import (
    Artifact,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Intent,
    Limits,
    Metric,
    Payload,
    PluginPin,
    RunStarted,
    Task,
    Text,
    Trajectory,
)
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.plugin import Context, Plugin, Result

OUTPUTS = """
with open("submission.csv", "w") as file: file.write("id,y\\n3,0.5\\n")
with open("oof.csv", "w") as file: file.write("id,fold,y\\n1,0,0.5\\n2,1,0.5\\n")
"""
"""What a program has to leave, as cheaply as can be."""
FOREVER = "\nimport time\nwhile True: time.sleep(60)\n"


async def _no_children(intent: Intent) -> Payload:
    raise AssertionError("a runner asks for no effects of its own")


@dataclass
class Bench:
    """Everything that `perform` needs, with a table of two rows to train on and one to predict."""

    plugin: Plugin
    home: Path
    settings: dict[str, Any]
    unsafe: bool
    store: ArtifactStore = field(init=False)
    task: Task = field(init=False)
    inputs: dict[str, Artifact] = field(init=False)

    def __post_init__(self) -> None:
        self.store = ArtifactStore(self.home / "artifacts")
        texts = {
            "train.csv": "id,x,y\n1,10,0.1\n2,20,0.9\n",
            "test.csv": "id,x\n3,30\n",
            "folds.csv": "id,p0\n1,0\n2,1\n",
            "sample_submission.csv": "id,y\n3,0\n",
            "members/boosted/oof.csv": "id,fold,y\n1,0,0.2\n2,1,0.8\n",
        }
        self.inputs = {
            name: Artifact(digest=self.store.put(text.encode()), size=len(text), name=name.rpartition("/")[2])
            for name, text in texts.items()
        }
        self.task = Task(
            name="toy",
            kind="regression",
            metric=Metric("rmse", False),
            target="y",
            id="id",
            columns=(),
            train=self.inputs["train.csv"],
            test=self.inputs["test.csv"],
            rows_train=2,
            rows_test=1,
        )

    async def run(
        self,
        program: str,
        *,
        id: str = "",
        cancelled: Callable[[], bool] = lambda: False,
        deadline: float | None = None,
        limits: dict[str, Any] | None = None,
        **fields: Any,
    ) -> ExecutionFinished:
        """Perform one execution as the kernel would."""
        limited = Limits(**{"seconds": 30.0, "memory_mb": 512, "disk_mb": 64, "processes": 64, **(limits or {})})
        wanted: dict[str, Any] = {"attempt": "a1", "purpose": "full", "seed": 7, "partition": 2, "limits": limited}
        intent = ExecutionRequested(
            program=Text.of(textwrap.dedent(program)), inputs=self.inputs, **{**wanted, **fields}
        )
        id = id or secrets.token_hex(16)
        event = Event(id=id, type=type(intent).__name__, seq=1, ts=0.0, payload=intent)
        pins = (PluginPin(self.plugin.name, "runner", self.plugin.version, "sha256-0"),)
        context = Context(
            run="kit",
            intent=event,
            attempt=1,
            started=RunStarted(task=self.task, seed=1, plugins=pins, settings={self.plugin.name: self.settings}),
            trajectory=Trajectory(),
            settings=self.settings,
            artifacts=self.store,
            workdir=self.home / "work" / "kit" / id[:16],
            home=self.home,
            draw=Draw(1, id),
            call=_no_children,
            cancelled=cancelled,
            log=structlog.get_logger(),
            deadline=deadline,
            slot=_cores(intent.limits.cores),
            unsafe=self.unsafe,
        )
        assert self.plugin.perform is not None
        answer = await self.plugin.perform(event, context)
        payload = answer.payload if isinstance(answer, Result) else answer
        assert isinstance(payload, ExecutionFinished), f"it answered with {type(payload).__name__}"
        return payload


Body = Callable[[Bench], Awaitable[None]]
"""A check: it returns, or raises AssertionError with what does not hold."""


def _cores(count: int) -> tuple[int, ...]:
    """The cores that an execution of `count` holds; none where this machine has fewer, as where none are pinned."""
    found = tuple(sorted(os.sched_getaffinity(0))[:count])
    return found if len(found) == count else ()


def same(found: Any, wanted: Any, what: str) -> None:
    """Assert that what was found is what is wanted."""
    assert found == wanted, f"{what} is {found!r}, not {wanted!r}"


def well(done: ExecutionFinished) -> ExecutionFinished:
    """Assert that an execution succeeded, and return it."""
    assert done.ok, f"it failed ({done.failure}): {done.error} {str(done.stderr)[-500:]}".strip()
    return done


def ill(done: ExecutionFinished, failure: str) -> ExecutionFinished:
    """Assert that an execution failed in a class of failure and says why, and return it."""
    assert not done.ok, "it is called a success"
    assert done.failure == failure, f"its failure is {done.failure!r}, not {failure!r}: {done.error}"
    assert done.error, "its error says nothing"
    return done


def alive(marker: str) -> list[int]:
    """Processes of this machine that have a marker among their arguments."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in arguments:
            found.append(int(name))
    return found


def gone(marker: str) -> None:
    """Assert that no process with a marker among its arguments is alive."""
    left = alive(marker)
    assert not left, f"processes of the program are still alive: {left}"


def lasting(marker: str) -> str:
    """A program that goes on for ever in a process whose arguments show a marker, and in one that has left its session
    and its parent."""
    child = f"[sys.executable, '-c', 'import time; time.sleep(600)', {marker!r}]"
    return f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, {child})
    os._exit(0)
os.wait()
os.execv(sys.executable, {child})
"""
