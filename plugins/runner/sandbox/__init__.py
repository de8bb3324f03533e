"""The runner that ships: programs in a sandbox of fresh namespaces, with limits, on the local machine.

`decide.py` says which executions an attempt gets; `perform.py` carries one out. The way down: `plan.py` and `world.py`
(what a program may see and use), `processes.py` (start, watch, stop), `launcher.py` (a script of its own that makes the
namespaces), `outputs.py` and `failures.py` (what came of it). Graphics cards:
`gpu_use.py` (who needs one), `cards.py` (which there are), `telemetry.py` (how they are used).
"""

from __future__ import annotations

from gome.events import Event, ExecutionRequested, RunStarted
from gome.kernel.plugin import Check, Context, Effect, Plugin, Result
from gome.plugins.runner.sandbox import decide
from gome.plugins.runner.sandbox.settings import Settings, settings_of


async def _perform(event: Event, ctx: Context) -> Result:
    """Carry out an execution. The impure half is imported when first needed, so that listing plugins stays quick."""
    from gome.plugins.runner.sandbox.perform import perform

    return await perform(event, ctx)


def _checks() -> list[Check]:
    """Lines of `gome doctor`, made by trying."""
    from gome.plugins.runner.sandbox.probe import check

    return check()


def _prepare(started: RunStarted) -> None:
    """Have the libraries imported while data are profiled, so that the first program starts warm as well."""
    from gome.plugins.runner.sandbox.starting import zygote

    settings = settings_of(started.settings.get("sandbox"))
    if settings.start == "warm" and not settings.python:
        zygote.begin()


def _devices() -> tuple[str, ...]:
    """The graphics cards that executions may be given."""
    from gome.plugins.runner.sandbox.cards import ids

    return ids()


plugin = Plugin(
    name="sandbox",
    role="runner",
    summary="runs programs in fresh namespaces: no network, nothing of this machine but libraries, hard limits",
    reads=decide.READS,
    answers=decide.ANSWERS,
    initial=decide.State,
    evolve=decide.evolve,
    decide=decide.decide,
    effects=(Effect(ExecutionRequested, policy="reconcile", attempts=2, pool="cores"),),
    perform=_perform,
    settings=Settings,
    checks=_checks,
    prepare=_prepare,
    devices=_devices,
    default=True,
)
"""The plugin value that the entry point `gome.runners` names."""
