"""A run as it stood: after each of its commits, at an event, at a time. The fold that `gome replay` and viewers share.

    async for moment in states(log, "ames-1126-0446-ed05"):
        print(moment.position, moment.active, moment.state.trajectory.best)

Nothing is decided and nothing written; any log will do, an archive's too. Hidden grades lie in the vault, which is not
read here: whoever shows them looks at `RunState.finished` first. Who decides again is `replay`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from gome.events import CODEC, Codec, Commit, Sealed, Trajectory
from gome.kernel.errors import UnknownRun
from gome.kernel.log import EventLog
from gome.kernel.state import RunState


@dataclass(frozen=True)
class Moment:
    """A run right behind one of its commits. `position` is that commit's last event (from 1), `active` the run's active
    seconds there. `state` is the fold, which moves on with the next moment; `trajectory()` is a view that stays."""

    position: int
    active: float
    commit: Commit
    state: RunState

    def trajectory(self) -> Trajectory:
        """The trajectory of this moment, to keep; it costs a copy of the undecided attempts."""
        return self.state.trajectory.snapshot()


async def states(
    log: EventLog,
    run: str,
    *,
    until: int | None = None,
    at: float | None = None,
    resolve: Callable[[str], str] | None = None,
    codec: Codec = CODEC,
) -> AsyncGenerator[Moment, None]:
    """Yield a run's moments in order: one per commit, since a decision is one commit and there is nothing in between.

    Ends before the first commit that reaches behind event `until` or lies behind `at` active seconds, else at the head
    of the time of the call. `resolve` (digest → text) puts moved-out texts back; without it they stay references.
    Raises `UnknownRun`, and `LogDamaged` behind the last moment that can be trusted.
    """
    state = RunState(run, codec, (), resolve, views=False)
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            if _behind(sealed, until, at):
                return
            commit, _ = state.apply(sealed)
            yield Moment(sealed.last, sealed.body.active, commit, state)


def _behind(sealed: Sealed, until: int | None, at: float | None) -> bool:
    return (until is not None and sealed.last > until) or (at is not None and sealed.body.active > at)


async def state_at(
    log: EventLog,
    run: str,
    *,
    until: int | None = None,
    at: float | None = None,
    resolve: Callable[[str], str] | None = None,
    codec: Codec = CODEC,
) -> RunState:
    """The fold of a run at an event or a time (see `states`; without either at its head). An event within a commit is
    rounded down to the end of the commit before: `RunState.head.seq` says where that is. Raises `UnknownRun` also where
    the run had not begun yet."""
    found: RunState | None = None
    async with aclosing(states(log, run, until=until, at=at, resolve=resolve, codec=codec)) as moments:
        async for moment in moments:
            found = moment.state
    if found is None:
        raise UnknownRun(f"run {run} has no event up to there; its first one is event 1, at 0 s")
    return found
