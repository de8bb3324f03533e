"""What of a run the playbook may look at: all of it, or what the loop without memory leaves."""

from __future__ import annotations

from gome.events import Attempt
from gome.kernel.reasoning import ReasonContext


def in_sight(context: ReasonContext) -> list[Attempt]:
    """Return the attempts that may be learnt from, in planning order: all of the run. Where the loop works without
    memory: the solutions that the step builds on, and its own trace's failures since the last acceptance."""
    attempts, own = context.trajectory.attempts, context.attempt
    if context.loop.memory:
        return list(attempts.values())
    failures: list[Attempt] = []
    for a in attempts.values():
        if a.trace == own.trace and a.accepted is not None:
            failures = [] if a.accepted else [*failures, a]
    shown = {own.parent, *own.parents, *(a.id for a in failures)}
    return [a for name, a in attempts.items() if name in shown]
