"""For packages that start programs in another way (a container, a virtual machine, a batch system): a runner from one
function. This module is public; it is the only one of the sandbox that others may import.

`runner` returns a plugin that decides as the sandbox does, and whose executions are laid out, collected, classified and
reconciled as the sandbox's are; what the author writes is `run`, from a laid-out folder (`Job`) to how the program
ended (`Ran`). The contract that all runners keep is in plugins/README.md, `gome.kernel.testing.conform_runner` checks
it, and tests/examples/gome-container-runner is a whole one.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec

from gome.events import Event, ExecutionRequested, Limits, RunStarted
from gome.kernel.plugin import Check, Context, Effect, Plugin, Result
from gome.plugins.runner.sandbox import decide
from gome.plugins.runner.sandbox.capture import Capture
from gome.plugins.runner.sandbox.disk import folder_size
from gome.plugins.runner.sandbox.processes import Ended, Stop
from gome.plugins.runner.sandbox.settings import Settings

__all__ = ["Capture", "Ended", "Job", "Ran", "Stop", "folder_size", "runner"]


@dataclass(frozen=True)
class Job:
    """One execution that is ready to start.

    `intent` is its id (32 hexadecimal digits); `folder` is its own, the same one after a crash. Below it lie `box`,
    which the program finds as its working folder `/work`, writable, with `program.py` in it and an empty `input/`, and
    `inputs`, which belongs read-only at `/work/input`. When root runs gome, `box` is owned by the unprivileged user id
    that the program shall have. `limits` are cut to the time that the run has left. `env` is what the program must find
    in its environment, besides a PATH. `gpu` is the UUID (or index) of the card to hand in, "" for none. `keep` bytes
    of each output stream go into the event, `cap` bytes to disk; lines that speak of `metric` are worth keeping
    (`Capture`).
    `cancelled` says whether nobody wants the result any more; `settings` is the plugin's table.
    """

    intent: str
    folder: Path
    box: Path
    inputs: Path
    limits: Limits
    env: Mapping[str, str]
    gpu: str
    metric: str
    keep: int
    cap: int
    cancelled: Callable[[], bool]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """How a program ended, the versions of what it ran in, and the device that it had (`cpu`, `cuda`)."""

    ended: Ended
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"


Run = Callable[[Job], Awaitable[Ran]]
Clear = Callable[[Job], Awaitable[None]]


def runner(
    name: str,
    run: Run,
    *,
    clear: Clear,
    settings: type[msgspec.Struct],
    summary: str = "",
    checks: Callable[[], Sequence[Check]] | None = None,
) -> Plugin:
    """A runner plugin around `run`.

    However `run` is left, by its result, an exception or cancellation, nothing of the program may be alive afterwards.
    All failures of the program are results (`Ended`); it raises SandboxUnavailable where programs cannot be started at
    all, which no further attempt would mend, and anything else for what another attempt may mend. `clear` is called
    before the folder is laid out (`box` and `inputs` may not exist) and ends what a crashed attempt has left running.
    Neither is called for an execution that has its result already; equal executions are not answered from a cache,
    since only the author knows what they depend on. `settings` is the struct of the plugin's table; its fields with the
    names of the sandbox's settings mean what they mean there.
    """

    def evolve(state: decide.State, event: Event) -> decide.State:
        state = decide.evolve(state, event)
        if isinstance(event.payload, RunStarted):
            state.settings = habits(settings, event.payload.settings.get(name))
        return state

    async def perform(event: Event, ctx: Context) -> Result:
        return await _perform(event, ctx, run, clear, habits(settings, ctx.settings))

    return Plugin(
        name=name,
        role="runner",
        summary=summary,
        reads=decide.READS,
        answers=decide.ANSWERS,
        initial=decide.State,
        evolve=evolve,
        decide=decide.decide,
        effects=(Effect(ExecutionRequested, policy="reconcile", attempts=2, pool="cores"),),
        perform=perform,
        settings=settings,
        checks=checks,
        devices=_devices,
        modules=(run.__module__.partition(".")[0], decide.__name__.rpartition(".")[0]),
    )


def _devices() -> tuple[str, ...]:
    """The graphics cards of this machine."""
    from gome.plugins.runner.sandbox.cards import ids

    return ids()


def habits(settings: type[msgspec.Struct], table: dict[str, Any] | None) -> Settings:
    """The sandbox's settings as a table of another runner says them: the fields that both have."""
    own = msgspec.convert(table or {}, settings)
    return Settings(**{name: getattr(own, name) for name in Settings.__struct_fields__ if hasattr(own, name)})


async def _perform(event: Event, ctx: Context, run: Run, clear: Clear, settings: Settings) -> Result:
    # What carries executions out is imported when first needed, so that listing plugins stays quick.
    from gome.plugins.runner.sandbox import cards, plan
    from gome.plugins.runner.sandbox.interpreter import interpreter
    from gome.plugins.runner.sandbox.perform import lay_out, limits_of, settle
    from gome.plugins.runner.sandbox.probe import SandboxReport
    from gome.plugins.runner.sandbox.workdir import Workdir

    intent = event.payload
    assert isinstance(intent, ExecutionRequested)
    work = Workdir(ctx.workdir)
    if found := work.finished(event.id):
        return Result(found.result, found.cost)
    limits = limits_of(intent, ctx)
    card = cards.granted(ctx, limits)
    env = plan.environment(
        home=plan.WORK,
        seed=intent.seed,
        partition=intent.partition,
        debug=intent.purpose == "debug",
        # Inside there is only the one card, by whichever name.
        gpu={**cards.environment(card, limits.gpu_share), "CUDA_VISIBLE_DEVICES": "0" if card else ""},
        threads=len(ctx.slot) or limits.cores,
        python=interpreter(),
    )
    job = Job(
        intent=event.id,
        folder=work.folder,
        box=work.box,
        inputs=work.inputs,
        limits=limits,
        # Where this machine's programs and libraries lie says nothing about another world.
        env={key: value for key, value in env.items() if key not in ("PATH", "PYTHONUSERBASE")},
        gpu=card.id if card else "",
        metric=ctx.started.task.metric.name,
        keep=settings.output_kb << 10,
        cap=settings.stream_mb << 20,
        cancelled=ctx.cancelled,
        settings=ctx.settings,
    )
    await clear(job)
    isolated = SandboxReport("namespaces", "by the runner itself")
    sampled = await anyio.to_thread.run_sync(lay_out, work, intent, ctx, settings, isolated)
    ran = await run(job)
    facts = {"versions": ran.versions, "device": ran.device}
    done = functools.partial(
        settle, event, ctx, work, ran.ended, limits, sampled, interpreter(), keep=settings.keep, **facts
    )
    return await anyio.to_thread.run_sync(done)
