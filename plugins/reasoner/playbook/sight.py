"""What of a run the playbook may build on: all of it, its own trace where memory is not shared, or what the loop
without memory leaves."""

from __future__ import annotations

from collections.abc import Mapping

from gome.events import Attempt
from gome.kernel.reasoning import ReasonContext


def everything(context: ReasonContext) -> Mapping[str, Attempt]:
    """Return all attempts by name, in planning order, each as far as the step's scope shows it."""
    if not context.programs:
        return context.trajectory.attempts
    return {a.id: a for a in context.programs}


def in_sight(context: ReasonContext) -> list[Attempt]:
    """Return the attempts whose programs may be taken up, in planning order: all of the run; the own trace's and those
    that the step builds on where memory is not shared. Where the loop works without memory: the solutions that the step
    builds on, and its own trace's failures since the last acceptance."""
    attempts, own = everything(context), context.attempt
    if context.loop.reach == "shared":
        return list(attempts.values())
    shown = {own.parent, *own.parents}
    if context.loop.reach == "own":
        return [a for name, a in attempts.items() if a.trace == own.trace or name in shown]
    failures: list[Attempt] = []
    for a in attempts.values():
        if a.trace == own.trace and a.accepted is not None:
            failures = [] if a.accepted else [*failures, a]
    shown |= {a.id for a in failures}
    return [a for name, a in attempts.items() if name in shown]
