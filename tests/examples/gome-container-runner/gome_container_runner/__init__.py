"""A runner that gives every execution a container of its own, made by docker or podman.

Which executions an attempt gets, what a program finds and what becomes of what it leaves is as in the sandbox that
ships (`gome.plugins.runner.sandbox.custom`). This package is what differs: `engine.py` knows the command lines of
docker and podman, `execution.py` carries one execution out, `guard.py` is the first process inside the container.
"""

from __future__ import annotations

from gome.kernel.plugin import Check
from gome.plugins.runner.sandbox.custom import Job, Ran, runner
from gome_container_runner.settings import ContainerSettings


async def _run(job: Job) -> Ran:
    """Run one program. Imported when first needed, so that listing plugins stays quick."""
    from gome_container_runner.execution import run

    return await run(job)


async def _clear(job: Job) -> None:
    """Remove the container that a crashed attempt may have left."""
    from gome_container_runner.execution import clear

    await clear(job)


def _checks() -> list[Check]:
    """A line of `gome doctor` for each engine that is installed, made by asking it something."""
    from gome_container_runner.engine import check

    return check()


plugin = runner(
    "container",
    _run,
    clear=_clear,
    settings=ContainerSettings,
    summary="runs programs in containers of docker or podman: no network, read-only image, hard limits",
    checks=_checks,
)
"""The plugin value that the entry point `gome.runners` names."""
